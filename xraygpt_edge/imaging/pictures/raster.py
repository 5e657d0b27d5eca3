"""What a decoder gives, and how it becomes grey."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.colour import rgb_to_grey
from xraygpt_edge.imaging.pixels import Words

ROWS_AT_ONCE = 256
"""Rows blended at once: keeps the temporary products small."""


class Alpha(Enum):
    """What the last channel of a raster is."""

    NONE = "colour or grey"
    STRAIGHT = "alpha"
    PREMULTIPLIED = "alpha that the others were multiplied with"


@dataclass(frozen=True, slots=True)
class Raster:
    """A decoded picture."""

    samples: Words
    """uint8 or uint16; (rows, columns), or (rows, columns, channels) with one or three of them, and alpha behind."""
    alpha: Alpha = Alpha.NONE


def to_grey(raster: Raster, notes: Notes) -> Words:
    """(rows, columns) of the raster's type, on black where it is transparent; raises InputRefused."""
    samples = raster.samples if raster.alpha is Alpha.NONE else _opaque(raster, notes)
    if samples.ndim == 2:
        return samples
    return samples[..., 0] if samples.shape[-1] == 1 else rgb_to_grey(samples, notes)


def _opaque(raster: Raster, notes: Notes) -> Words:
    colour, alpha = raster.samples[..., :-1], raster.samples[..., -1]
    if alpha.min() == np.iinfo(alpha.dtype).max:
        return colour
    if not alpha.any():
        raise InputRefused("E-IMG-010", "it is transparent everywhere")
    notes.warn("W-IMG-002")
    notes.step("transparency", "laid on black")
    return colour if raster.alpha is Alpha.PREMULTIPLIED else _on_black(colour, alpha)


def _on_black(colour: Words, alpha: Words) -> Words:
    """Each channel times alpha, rounded."""
    white = int(np.iinfo(alpha.dtype).max)
    blended = np.empty_like(colour)
    for start in range(0, len(colour), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        products = colour[rows].astype(np.uint32) * alpha[rows, :, None]
        blended[rows] = (products + white // 2) // white  # at most 65,535 squared: it fits
    return blended
