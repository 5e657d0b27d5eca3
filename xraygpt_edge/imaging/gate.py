"""A cheap look at the picture itself, since headers lie. Only warnings come of it, but for tiny pictures.

The limits below separate the frontal chest radiographs from the other pictures among the files that
docs/images.md lists; they say "look at this", never "this is".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.pixels import equalize

SIDE_MIN_PX = 32
MODEL_SIDE_PX = 224
MIN_LEVELS = 32
CLIPPED_SHARE = 0.25
"""Of all pixels, at the brightest level: something was overexposed, or a white frame is in the picture."""
GRID = 64
"""Cells on a side of the coarse picture that is looked at."""
LUNGS_BELOW_MIDDLE = 40.0
"""Grey levels by which the lung fields are darker than the mediastinum; 72 is the least among real films."""
TURNED = -20.0
"""Below the heart it is brighter than above the lungs, by 26 levels at least in upright films."""


@dataclass(frozen=True, slots=True)
class Regions:
    """Mean grey levels of parts of the picture, relative to the whole."""

    lungs: float
    middle: float
    above: float
    below: float

    @property
    def chest_like(self) -> bool:
        """Two dark fields beside a bright middle."""
        return self.lungs < 0 < self.middle and self.middle - self.lungs >= LUNGS_BELOW_MIDDLE


def look(pixels: NDArray[np.uint8], notes: Notes) -> None:
    """Warn of what a reader of the answer should doubt; refuse what is too small (unless forced)."""
    rows, columns = pixels.shape
    if min(rows, columns) < SIDE_MIN_PX:
        notes.refuse("E-IMG-011", f"{columns} x {rows} pixels")
        return
    if min(rows, columns) < MODEL_SIDE_PX:
        notes.warn("W-IMG-003", f"{columns} x {rows} pixels")
    _look_at_levels(pixels, notes)
    _look_at_anatomy(coarse(pixels), notes)


def _look_at_levels(pixels: NDArray[np.uint8], notes: Notes) -> None:
    counts = np.bincount(pixels[::4, ::4].ravel(), minlength=256)
    if np.count_nonzero(counts) < MIN_LEVELS:
        notes.warn("W-IMG-008", f"{np.count_nonzero(counts)} grey levels")
    brightest = counts[np.flatnonzero(counts)[-1]] / counts.sum()
    if brightest > CLIPPED_SHARE:
        notes.warn("W-IMG-007", f"{brightest:.0%} of the pixels")


def _look_at_anatomy(grid: NDArray[np.float64], notes: Notes) -> None:
    upright, turned, inverted = regions(grid), regions(grid[::-1]), regions(-grid)
    tilt = upright.below - upright.above
    if (upright.chest_like or turned.chest_like) and tilt < TURNED:
        notes.warn("W-IMG-005")
    elif upright.chest_like:
        return
    elif inverted.chest_like and tilt < TURNED:
        notes.warn("W-IMG-004")
    else:
        notes.warn("W-IMG-006")


def coarse(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """GRID x GRID grey levels of the equalised picture, each a sample of its cell, with mean 0."""
    rows, columns = pixels.shape
    step = max(1, min(rows, columns) // (4 * GRID))
    sample = equalize(np.ascontiguousarray(pixels[::step, ::step]))
    down = np.arange(GRID + 1) * sample.shape[0] // GRID
    across = np.arange(GRID + 1) * sample.shape[1] // GRID
    sums = np.zeros((sample.shape[0] + 1, sample.shape[1] + 1))
    sums[1:, 1:] = sample.cumsum(0, np.float64).cumsum(1)
    corners = sums[np.ix_(down, across)]
    totals = corners[1:, 1:] - corners[:-1, 1:] - corners[1:, :-1] + corners[:-1, :-1]
    cells = np.outer(np.maximum(1, np.diff(down)), np.maximum(1, np.diff(across)))
    means: NDArray[np.float64] = totals / cells
    return np.asarray(means - means.mean(), np.float64)


def regions(grid: NDArray[np.float64]) -> Regions:
    """Where lungs, mediastinum, neck and abdomen lie on a frontal film."""
    return Regions(
        lungs=float(np.concatenate([grid[16:40, 10:26], grid[16:40, 38:54]], 1).mean()),
        middle=float(grid[16:48, 28:36].mean()),
        above=float(grid[:14, 12:52].mean()),
        below=float(grid[50:, 12:52].mean()),
    )
