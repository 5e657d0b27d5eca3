"""A radiograph into the encoder's tensor, exactly as the checkpoint saw its pictures.

squash: XrayGPT @ d0baa6a, xraygpt/processors/blip_processors.py. pad: MedCLIP @ 9c3396f, medclip/dataset.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xraygpt_edge.bundle import ImageRecipe
from xraygpt_edge.images import Radiograph


def to_tensor(radiograph: Radiograph, recipe: ImageRecipe) -> NDArray[np.float32]:
    """Resize and normalise: float32 (1, 3, size, size), RGB."""
    picture = Image.fromarray(radiograph.pixels)
    if recipe.fit == "pad":
        picture = pad_to_square(picture, recipe.size_px)
    size = (recipe.size_px, recipe.size_px)
    grey = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), np.float32) / np.float32(255)
    mean, std = np.array(recipe.mean, np.float32), np.array(recipe.std, np.float32)
    return ((grey - mean[:, None, None]) / std[:, None, None])[None]


def pad_to_square(picture: Image.Image, least_px: int) -> Image.Image:
    """The picture in the middle of a black square that is at least least_px wide."""
    side = max(least_px, picture.width, picture.height)
    square = Image.new("L", (side, side), 0)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square
