"""From a radiograph to the encoder's tensor, exactly as the checkpoint saw its pictures."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xraygpt_edge.imaging.images import Radiograph


class FitSpec(Protocol):
    """The picture that the model sees of a film."""

    @property
    def size_px(self) -> int:
        """Side of the tensor."""

    @property
    def fit(self) -> Literal["squash", "pad"]:
        """squash: the aspect ratio is lost; pad: a black square is put round the picture."""


class ImageSpec(FitSpec, Protocol):
    """The recipe in a bundle's manifest."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of each channel, for values from 0 to 1."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Of each channel, for values from 0 to 1."""


def to_tensor(radiograph: Radiograph, spec: ImageSpec) -> NDArray[np.float32]:
    """Tensor (1, 3, size, size) float32, normalised; Pillow's bicubic filter, as torchvision uses it."""
    return normalised(np.asarray(fit(radiograph.pixels, spec)), spec)


def normalised(model_view: NDArray[np.uint8], spec: ImageSpec) -> NDArray[np.float32]:
    """Tensor (1, 3, size, size) float32 of a picture that has the model's size, (size, size)."""
    grey = np.asarray(model_view, np.float32) / np.float32(255)
    mean, std = (np.array(part, np.float32).reshape(3, 1, 1) for part in (spec.mean, spec.std))
    return ((grey[np.newaxis] - mean) / std)[np.newaxis]


def fit(pixels: NDArray[np.uint8], spec: FitSpec) -> Image.Image:
    """The grey picture of size x size that the model sees.

    The three channels are equal, so one is resized and copied: converting to RGB first gives the same.
    """
    picture = Image.fromarray(pixels)
    if spec.fit == "pad":
        picture = _on_black_square(picture, spec.size_px)
    return picture.resize((spec.size_px, spec.size_px), Image.Resampling.BICUBIC)


def _on_black_square(picture: Image.Image, side_min_px: int) -> Image.Image:
    """The picture in the middle of a black square; RyanWangZf/MedCLIP @ 9c3396f, medclip/dataset.py."""
    side = max(side_min_px, picture.width, picture.height)
    square = Image.new("L", (side, side), 0)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square
