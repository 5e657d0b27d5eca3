"""Colour to one grey channel."""

from __future__ import annotations

import numpy as np

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.pixels import Words, luma

TRACE = 3 / 255
"""Mean distance of the channels from their brightness, as a share of white, below which a picture counts as grey."""


def rgb_to_grey(rgb: Words, notes: Notes) -> Words:
    """One channel where all three agree; else luma, with a warning where it is more than a trace of colour.

    rgb: (rows, columns, 3), uint8 or uint16. Returns (rows, columns), of the same type.
    """
    red, green, blue = np.moveaxis(rgb, -1, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        notes.step("colour", "three equal channels: one of them taken")
        return np.ascontiguousarray(red)
    grey = luma(rgb)
    if _distance(rgb, grey) < TRACE:
        notes.step("colour", "a trace of it; brightness (ITU-R 601) taken")
    else:
        notes.warn("W-IMG-001")
        notes.step("colour", "brightness (ITU-R 601) taken")
    return grey


def _distance(rgb: Words, grey: Words) -> float:
    """Mean distance of the channels from grey, as a share of white; every fourth row and column tells."""
    sample = rgb[::4, ::4].astype(np.int32) - grey[::4, ::4, None]
    return float(np.abs(sample).mean()) / float(np.iinfo(grey.dtype).max)
