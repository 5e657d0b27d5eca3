from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from xraygpt_edge.imaging.images import Radiograph
from xraygpt_edge.imaging.preprocess import fit, to_tensor
from xraygpt_edge.records import Source

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Spec:
    fit: Literal["squash", "pad"]
    size_px: int = 224
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD


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
