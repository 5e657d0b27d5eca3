"""A cheap look at the picture itself, since headers lie. Only warnings come of it, but for tiny pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.notes import Notes

SIDE_MIN_PX = 32
MODEL_SIDE_PX = 224


def look(pixels: NDArray[np.uint8], notes: Notes) -> None:
    """Warn of what a reader of the answer should doubt; refuse what is too small (unless forced)."""
    rows, columns = pixels.shape
    if min(rows, columns) < SIDE_MIN_PX:
        notes.refuse("E-IMG-011", f"{columns} x {rows} pixels")
    elif min(rows, columns) < MODEL_SIDE_PX:
        notes.warn("W-IMG-003", f"{columns} x {rows} pixels")
