"""From a radiograph to the encoder's tensor, exactly as the checkpoint saw its pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.imaging.images import Radiograph
from xraygpt_edge.records import Fit, ReadWarning

CROPPED, SMALL = "W-IMG-030", "W-IMG-003"
GATE_SIDE_PX = 224
"""Films that are smaller than this were told so when they were read, for whatever model."""
UNSEEN_SHARE = 0.05
"""Of a film's longer side: less is a border."""
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class FitSpec(Protocol):
    """The picture that the model sees of a film."""

    @property
    def size_px(self) -> int:
        """Side of the tensor."""

    @property
    def fit(self) -> Fit:
        """How a film becomes a square."""

    @property
    def resample(self) -> Literal["bicubic", "bilinear"]:
        """Pillow's filter."""

    @property
    def pad_color(self) -> tuple[int, int, int]:
        """Red, green and blue round the picture, for pad-color."""


class ImageSpec(FitSpec, Protocol):
    """The recipe in a bundle's manifest."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of each channel, for values from 0 to 1."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Of each channel, for values from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """A picture's geometry alone, as records of schema 1 keep it."""

    fit: Fit
    size_px: int
    resample: Literal["bicubic", "bilinear"] = "bicubic"
    pad_color: tuple[int, int, int] = (0, 0, 0)


def to_tensor(radiograph: Radiograph, spec: ImageSpec) -> NDArray[np.float32]:
    """Tensor (1, 3, size, size) float32, normalised; Pillow's filters, as torchvision uses them."""
    return normalised(np.asarray(fit(radiograph.pixels, spec)), spec)


def normalised(model_view: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """Tensor (1, 3, size, size) float32 of a picture of the model's size: (size, size) or (size, size, 3)."""
    channels = model_view[np.newaxis] if model_view.ndim == 2 else model_view.transpose(2, 0, 1)
    values = np.asarray(channels, np.float32) / np.float32(255)
    mean, std = (np.array(part, np.float32).reshape(3, 1, 1) for part in (spec.mean, spec.std))
    return ((values - mean) / std)[np.newaxis]


def fit(pixels: NDArray[np.uint8], spec: FitSpec) -> Image.Image:
    """The picture of size x size that the model sees: grey, or RGB where a colour was put round it.

    The three channels of a film are equal, so one is resized and copied: converting to RGB first gives the same. A
    picture that was fitted already stays as it is.
    """
    picture, size, filtering = Image.fromarray(pixels), (spec.size_px, spec.size_px), FILTERS[spec.resample]
    if spec.fit == "crop":
        return _middle(picture, spec.size_px, filtering)
    if spec.fit == "pad":
        picture = _on_black_square(picture, spec.size_px)
    elif spec.fit == "pad-color":
        picture = _on_coloured_square(picture, spec.pad_color)
    return picture.resize(size, filtering)


def share_seen(rows: int, columns: int, spec: FitSpec) -> float:
    """Share of a film's longer side that the model sees."""
    return min(rows, columns) / max(rows, columns) if spec.fit == "crop" else 1.0


def part_seen(rows: int, columns: int, spec: FitSpec) -> str:
    """What the model sees of a film that is cropped, in words."""
    side = "height" if rows >= columns else "width"
    return f"the middle {100 * share_seen(rows, columns, spec):.0f} % of the {side}"


def with_warnings(radiograph: Radiograph, spec: FitSpec) -> Radiograph:
    """The radiograph, with what a reader of an answer should know about how much of it this model sees."""
    rows, columns = radiograph.pixels.shape[:2]
    found = []
    if share_seen(rows, columns, spec) < 1 - UNSEEN_SHARE:
        found.append(_warning(CROPPED, part_seen(rows, columns, spec)))
    if min(rows, columns) < spec.size_px > GATE_SIDE_PX:
        found.append(_warning(SMALL, f"{columns} x {rows} pixels"))
    known = radiograph.source.warnings
    new = [warning for warning in found if warning.id not in {each.id for each in known}]
    return replace(radiograph, source=replace(radiograph.source, warnings=(*known, *new))) if new else radiograph


def grey_of(model_view: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture that the model sees, (size, size) or with 3 channels, in grey."""
    return np.asarray(Image.fromarray(model_view).convert("L"))


def _warning(warning_id: str, why: str) -> ReadWarning:
    return ReadWarning(warning_id, f"{CATALOGUE[warning_id].what} ({why})")


def _middle(picture: Image.Image, side_px: int, filtering: Image.Resampling) -> Image.Image:
    """The middle square of a picture whose shortest side was resized; mlfoundations/open_clip 2.23, transform.py.

    Sizes are cut and the middle is rounded to even halves, as torchvision's Resize and CenterCrop do.
    """
    short, long = sorted(picture.size)
    longer_px = int(side_px * long / short)
    size = (side_px, longer_px) if picture.width <= picture.height else (longer_px, side_px)
    resized = picture.resize(size, filtering)
    left, top = (round((length - side_px) / 2) for length in size)
    return resized.crop((left, top, left + side_px, top + side_px))


def _on_black_square(picture: Image.Image, side_min_px: int) -> Image.Image:
    """The picture in the middle of a black square; RyanWangZf/MedCLIP @ 9c3396f, medclip/dataset.py."""
    side = max(side_min_px, picture.width, picture.height)
    square = Image.new("L", (side, side), 0)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def _on_coloured_square(picture: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    """The picture in the middle of a square of one colour; microsoft/LLaVA-Med @ d406e3f, llava/mm_utils.py.

    A square picture needs none and stays grey.
    """
    side = max(picture.size)
    if picture.width == picture.height:
        return picture
    square = Image.new("RGB", (side, side), color)
    square.paste(picture.convert("RGB"), ((side - picture.width) // 2, (side - picture.height) // 2))
    return square
