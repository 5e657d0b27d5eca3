from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from xraygpt_edge.imaging.images import Radiograph
from xraygpt_edge.imaging.preprocess import fit, to_tensor, with_warnings
from xraygpt_edge.records import Fit, Source

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Spec:
    fit: Fit
    size_px: int = 224
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    resample: Literal["bicubic", "bilinear"] = "bicubic"
    pad_color: tuple[int, int, int] = (0, 0, 0)


def radiograph(rows: int, columns: int) -> Radiograph:
    pixels = np.random.default_rng(rows).integers(0, 256, (rows, columns)).astype(np.uint8)
    return Radiograph(pixels, Source("0" * 64, "png", rows, columns, "mimic-jpg"))


@pytest.mark.parametrize("shape", [(300, 200), (100, 150), (224, 224), (1000, 33)])
def test_squash_is_rgb_resized_by_pillow_and_normalised(shape: tuple[int, int]) -> None:
    picture = radiograph(*shape)
    rgb = Image.fromarray(picture.pixels).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
    expected = (np.asarray(rgb, np.float32).transpose(2, 0, 1) / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(
        STD, (3, 1, 1)
    )
    tensor = to_tensor(picture, Spec("squash"))
    assert (tensor.shape, tensor.dtype) == ((1, 3, 224, 224), np.float32)
    np.testing.assert_allclose(tensor[0], expected, atol=1e-6)


@pytest.mark.parametrize(("shape", "side"), [((300, 200), 300), ((100, 150), 224), ((50, 500), 500)])
def test_pad_puts_the_picture_in_the_middle_of_a_black_square(shape: tuple[int, int], side: int) -> None:
    picture = radiograph(*shape)
    square = Image.new("L", (side, side))
    square.paste(Image.fromarray(picture.pixels), ((side - shape[1]) // 2, (side - shape[0]) // 2))
    expected = square.resize((224, 224), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(np.asarray(fit(picture.pixels, Spec("pad"))), np.asarray(expected))


def test_the_same_picture_gives_the_same_tensor() -> None:
    first, second = (to_tensor(radiograph(90, 80), Spec("pad")) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def cropped_as_torchvision_does(pixels: np.ndarray, side: int) -> np.ndarray:
    """Resize(side) and CenterCrop(side) of torchvision 0.16, in its own words."""
    picture = Image.fromarray(pixels)
    w, h = picture.size
    short, long = (w, h) if w <= h else (h, w)
    new_short, new_long = side, int(side * long / short)
    new_w, new_h = (new_short, new_long) if w <= h else (new_long, new_short)
    resized = picture.resize((new_w, new_h), Image.Resampling.BICUBIC)
    top, left = round((new_h - side) / 2.0), round((new_w - side) / 2.0)
    return np.asarray(resized)[top : top + side, left : left + side]


@pytest.mark.parametrize("shape", [(300, 200), (355, 224), (224, 355), (353, 224), (1000, 33), (224, 224), (97, 101)])
def test_crop_shows_the_middle_square_as_torchvision_cuts_it(shape: tuple[int, int]) -> None:
    pixels = radiograph(*shape).pixels
    np.testing.assert_array_equal(np.asarray(fit(pixels, Spec("crop"))), cropped_as_torchvision_does(pixels, 224))


@pytest.mark.parametrize("shape", [(301, 200), (200, 301)])
def test_a_coloured_square_is_filled_channel_by_channel(shape: tuple[int, int]) -> None:
    picture, color = radiograph(*shape), (122, 116, 104)
    spec = Spec("pad-color", pad_color=color)
    expected = np.full((301, 301, 3), color, np.uint8)
    at = (301 - min(shape)) // 2
    inside = (slice(None), slice(at, at + 200)) if shape[0] > shape[1] else (slice(at, at + 200), slice(None))
    expected[inside] = picture.pixels[..., None]
    resized = np.asarray(Image.fromarray(expected).resize((224, 224), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(np.asarray(fit(picture.pixels, spec)), resized)
    wanted = (resized.transpose(2, 0, 1) / np.float32(255) - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    np.testing.assert_allclose(to_tensor(picture, spec)[0], wanted, atol=1e-6)


@pytest.mark.parametrize("how", ["squash", "pad", "crop", "pad-color"])
def test_a_picture_that_was_fitted_already_stays_as_it_is(how: Fit) -> None:
    once = np.asarray(fit(radiograph(301, 200).pixels, Spec(how, pad_color=(9, 8, 7))))
    np.testing.assert_array_equal(np.asarray(fit(once, Spec(how, pad_color=(9, 8, 7)))), once)


@pytest.mark.parametrize(
    ("shape", "spec", "ids"),
    [
        ((720, 600), Spec("crop", 518), ["W-IMG-030"]),
        ((620, 600), Spec("crop", 518), []),
        ((400, 500), Spec("crop", 518), ["W-IMG-030", "W-IMG-003"]),
        ((400, 500), Spec("pad-color", 518), ["W-IMG-003"]),
        ((100, 300), Spec("squash"), []),
    ],
)
def test_a_film_is_told_what_this_model_does_not_see_of_it(shape: tuple[int, int], spec: Spec, ids: list[str]) -> None:
    once = with_warnings(radiograph(*shape), spec)
    assert [warning.id for warning in once.source.warnings] == ids
    assert with_warnings(once, spec) == once
