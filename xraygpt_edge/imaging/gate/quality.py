"""Plain statistics of a picture: clipped, flat, blurred, noisy. The limits were set on real and on spoilt films."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.imaging.account import Notes

MIN_LEVELS = 32
CLIPPED_SHARE = 0.25
"""Of all pixels, at the brightest level: something was overexposed, or a white frame is in the picture."""
DARK_SHARE = 0.3
"""Of the pixels inside a black frame, at the darkest level; good films have up to 0.21."""
FRAME_SHARE = 0.97
"""Of a row or column at the darkest level: it belongs to a frame."""
NARROW = 40
"""Grey levels that hold 98 % of the pixels of a picture without contrast."""
SHARP_SIDE_MIN_PX = 128
"""Smaller pictures lack detail by their size, which is a warning of its own."""
BLURRED = 0.21
"""Energy of second differences at one scale, relative to that at half of it: 1/16 in a smooth picture, 0.2 in films
blurred to a quarter, 0.23 and more in good ones."""
NO_DETAIL = 0.5
"""Grey levels: as `NOISE`; rounding to whole grey levels alone makes 0.29, good films have 1.5 and more."""
NOISY = 3.0
"""The same; 4 in white noise, up to 2.9 in good films."""
NOISE = 25.0
"""Grey levels: the deviation of a noise that would have this energy; 15 in the noisiest good film, 40 and more in
spoilt ones."""


def look_at_quality(sample: NDArray[np.uint8], notes: Notes) -> bool:
    """Warn of what was lost; sample is a picture or every nth pixel of its rows and columns.

    Returns whether it has contrast and detail enough to say what it is not.
    """
    _look_for_clipping(sample, notes)
    return _has_contrast(sample, notes) and _has_detail(sample, notes)


def _look_for_clipping(sample: NDArray[np.uint8], notes: Notes) -> None:
    brightest = float((sample == sample.max()).mean())
    if brightest > CLIPPED_SHARE:
        notes.warn("W-IMG-007", f"{brightest:.0%} of the pixels")
    darkest = dark_share(sample)
    if darkest > DARK_SHARE:
        notes.warn("W-IMG-028", f"{darkest:.0%} of the pixels")


def _has_contrast(sample: NDArray[np.uint8], notes: Notes) -> bool:
    counts = np.bincount(sample.ravel(), minlength=256)
    levels = np.count_nonzero(counts)
    low, high = np.searchsorted(counts.cumsum(), [0.01 * sample.size, 0.99 * sample.size])
    if levels < MIN_LEVELS:
        notes.warn("W-IMG-008", f"{levels} grey levels")
    elif high - low < NARROW:
        notes.warn("W-IMG-029", f"98 % of the pixels lie within {high - low + 1} of 256 grey levels")
    return bool(levels >= MIN_LEVELS and high - low >= NARROW)


def dark_share(sample: NDArray[np.uint8]) -> float:
    """Share of the pixels at the darkest level, without rows and columns of a black frame."""
    dark = sample == sample.min()
    inside = dark[dark.mean(1) < FRAME_SHARE][:, dark.mean(0) < FRAME_SHARE]
    return float(inside.mean()) if inside.size else 1.0


def _has_detail(sample: NDArray[np.uint8], notes: Notes) -> bool:
    if min(sample.shape) < SHARP_SIDE_MIN_PX:
        return False
    detail, ratio = sharpness(sample)
    is_blurred = ratio < BLURRED or detail < NO_DETAIL
    if is_blurred:
        notes.warn("W-IMG-026")
    elif ratio > NOISY and detail > NOISE:
        notes.warn("W-IMG-027")
    return not is_blurred


def sharpness(sample: NDArray[np.uint8]) -> tuple[float, float]:
    """Deviation in grey levels of a noise with the picture's detail; energy of detail relative to the next scale.

    Of the two axes the sharper tells: a picture that was stretched along one, as its spacing says, is not blurred.
    """
    rows, columns = (side // 2 * 2 for side in sample.shape)
    fine = sample[:rows, :columns].astype(np.float32)
    coarse = (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / np.float32(4)
    return max((_detail(axis, coarse_axis) for axis, coarse_axis in ((fine, coarse), (fine.T, coarse.T))), key=_ratio)


def _detail(fine: NDArray[np.float32], coarse: NDArray[np.float32]) -> tuple[float, float]:
    energy = _energy(fine)
    return float(np.sqrt(energy / 6)), energy / max(_energy(coarse), 1e-9)


def _ratio(detail: tuple[float, float]) -> float:
    return detail[1]


def _energy(picture: NDArray[np.float32]) -> float:
    """Mean square of second differences down the columns: 6 times the variance of white noise."""
    change = 2 * picture[1:-1] - picture[:-2] - picture[2:]
    return float(np.vdot(change, change)) / change.size
