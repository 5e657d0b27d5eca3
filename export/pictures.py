"""Pictures that we draw ourselves, to compare machines and precisions on: nobody's radiograph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZES_PX = ((224, 224), (288, 352), (420, 300))
"""Columns, rows: as the model sees it, upright, and lying."""


def draw_all() -> list[NDArray[np.uint8]]:
    """The pictures, each uint8 (rows, columns): always the same ones."""
    return [draw(columns, rows, number) for number, (columns, rows) in enumerate(SIZES_PX)]


def draw(columns: int, rows: int, number: int) -> NDArray[np.uint8]:
    """Two dark fields, a bright middle, slanting bars and a number of spots: many grey values."""
    picture = Image.fromarray(_slope(columns, rows, number))
    pen = ImageDraw.Draw(picture)
    for left, right in ((0.10, 0.42), (0.58, 0.90)):
        pen.ellipse((left * columns, 0.12 * rows, right * columns, 0.82 * rows), fill=40 + 8 * number)
    pen.ellipse((0.40 * columns, 0.45 * rows, (0.66 + 0.04 * number) * columns, 0.80 * rows), fill=215)
    for bar in range(5):
        top = (0.16 + 0.12 * bar) * rows
        pen.line((0.08 * columns, top, 0.92 * columns, top + 0.05 * rows), fill=120 + 10 * bar, width=3)
    for spot in range(number + 1):
        x, y = (0.25 + 0.15 * spot) * columns, (0.30 + 0.10 * spot) * rows
        pen.ellipse((x, y, x + 0.04 * columns, y + 0.04 * rows), fill=240)
    return np.asarray(picture)


def _slope(columns: int, rows: int, number: int) -> NDArray[np.uint8]:
    """A background that uses all grey values."""
    across = np.linspace(0, 1, columns)[None, :]
    down = np.linspace(0, 1, rows)[:, None]
    mixed = across * (number + 1) + down * (3 - number)
    return (255 * mixed / mixed.max()).astype(np.uint8)
