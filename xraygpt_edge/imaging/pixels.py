"""Grey recipes: from the words of a pixel buffer to the 8-bit picture that the model knows.

Every step of every recipe depends on one pixel's value alone, so a recipe is computed once for
each of the 256 or 65,536 possible words, weighted with how often each occurs, and then looked up.
Nothing wraps, nothing is copied to float, and 20 million pixels cost two passes.

mimic-jpg: what the training pictures (MIMIC-CXR-JPG) were made with: shift and scale to 0..255
with truncation, invert MONOCHROME1, then OpenCV's equalizeHist. No window, no rescaling.
display: what a viewer shows: modality table, window or VOI table, invert MONOCHROME1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import InputRefused

BLANK_SHARE = 0.9995
"""One value in more than this share of the picture: nothing was exposed."""
MAX_PX = 100_000_000
"""No radiograph has more, and unpacking more could use all memory."""
BLOCK_PX = 1 << 20
"""Pixels looked up at once: keeps the temporary index array at 8 MB."""

Words = NDArray[np.uint8] | NDArray[np.uint16]
Level = TypeVar("Level", np.uint8, np.uint16)
VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, slots=True)
class BitLayout:
    """Where in a word the stored value lies."""

    allocated: int
    """8 or 16."""
    stored: int
    """Bits that belong to the value, 1 to `allocated`."""
    shift: int = 0
    """Bits below the value."""
    signed: bool = False
    """Two's complement within the stored bits."""


@dataclass(frozen=True, slots=True)
class Lut:
    """A modality or VOI table as it stands in the file."""

    first: int
    """Input value of the first entry; lower inputs take it, too."""
    entries: NDArray[np.int64]

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Look up; inputs outside the table take its nearest entry."""
        index = np.clip(np.rint(values) - self.first, 0, self.entries.size - 1)
        return np.asarray(self.entries[index.astype(np.int64)], np.float64)


@dataclass(frozen=True, slots=True)
class Window:
    """A window of PS3.3 C.11.2.1.2 and C.11.2.1.3."""

    centre: float
    width: float
    function: VoiFunction = "LINEAR"

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map to 0..1."""
        if self.function == "SIGMOID":
            exponent = np.clip(-4 * (values - self.centre) / self.width, -700, 700)
            return np.asarray(1 / (1 + np.exp(exponent)), np.float64)
        centre, width = self.centre, self.width
        if self.function == "LINEAR":
            if width <= 1:  # the formula's limit: a step
                return (values > centre - 0.5).astype(np.float64)
            centre, width = centre - 0.5, width - 1
        return np.clip((values - centre) / width + 0.5, 0, 1)

    @property
    def ends(self) -> tuple[float, float]:
        """The values that become black and white; those of a sigmoid's tangent."""
        centre, width = self.centre, self.width
        if self.function == "LINEAR":
            centre, width = centre - 0.5, width - 1
        return centre - width / 2, centre + width / 2


@dataclass(frozen=True, slots=True)
class Modality:
    """From stored values to the values that windows refer to."""

    slope: float = 1.0
    intercept: float = 0.0
    lut: Lut | None = None

    @property
    def falls(self) -> bool:
        """True when a larger stored value means a smaller output: polarity is turned round."""
        if self.lut is not None:
            return bool(self.lut.entries[-1] < self.lut.entries[0])
        return self.slope < 0

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apply the table, else the line."""
        return self.lut(values) if self.lut is not None else values * self.slope + self.intercept


@dataclass(frozen=True, slots=True)
class Census:
    """How often each stored value occurs, and which words are no picture."""

    values: NDArray[np.int64]
    """Stored value of each word, (256,) or (65536,)."""
    counts: NDArray[np.int64]
    """Pixels with each word."""
    padding: NDArray[np.bool_]
    """Words that fill space outside the picture."""

    @property
    def used(self) -> NDArray[np.bool_]:
        """Words that occur in the picture."""
        return (self.counts > 0) & ~self.padding

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest stored value in the picture."""
        values = self.values[self.used]
        return int(values.min()), int(values.max())


def histogram(words: Words) -> NDArray[np.int64]:
    """How often each of the 256 or 65,536 words occurs; int64."""
    size = 1 << (8 * words.dtype.itemsize)
    flat = words.reshape(-1)
    counts = np.zeros(size, np.int64)
    for start in range(0, flat.size, BLOCK_PX):
        counts += np.bincount(flat[start : start + BLOCK_PX], minlength=size)
    return counts


def look_up(table: NDArray[Level], words: Words) -> NDArray[Level]:
    """table[words] without an index array of 8 bytes a pixel."""
    flat = words.reshape(-1)
    out = np.empty(flat.size, table.dtype)
    for start in range(0, flat.size, BLOCK_PX):
        stop = start + BLOCK_PX
        out[start:stop] = table[flat[start:stop]]
    return out.reshape(words.shape)


def stored_values(layout: BitLayout) -> NDArray[np.int64]:
    """Stored value of every word, (2**allocated,) int64: shifted, masked, sign extended."""
    words = np.arange(1 << layout.allocated, dtype=np.int64)
    values = (words >> layout.shift) & ((1 << layout.stored) - 1)
    if layout.signed:
        values -= (values >> (layout.stored - 1)) << layout.stored
    return values


def mimic_table(census: Census, *, inverted: bool) -> NDArray[np.uint8]:
    """The 8-bit value of every word under the recipe of MIMIC-CXR-JPG.

    inverted: MONOCHROME1 (or a falling modality transform; both together cancel).
    Padding is left out of the range and painted black. Wants at least two different values.
    """
    grey = minmax8(census)
    if inverted:
        grey = 255 - grey
    grey[census.padding] = 0
    return equalize_table(_grey_counts(grey, census.counts))[grey]


def display_table(census: Census, modality: Modality, voi: Lut | Window | None, *, inverted: bool) -> NDArray[np.uint8]:
    """The 8-bit value of every word as a viewer shows it; no equalizing.

    inverted: MONOCHROME1. Without a window or VOI table the whole range is shown.
    """
    shown = modality(census.values.astype(np.float64))
    if voi is not None:
        shown = voi(shown)
    grey = _full_range(shown, voi, census.used)
    if inverted:
        grey = 255 - grey
    grey[census.padding] = 0
    return grey


def minmax8(census: Census) -> NDArray[np.uint8]:
    """((value - min) / (max - min) * 255), truncated, for every word of the picture."""
    low, high = census.range
    offsets = np.clip(census.values, low, high) - low
    scaled: NDArray[np.float64] = (offsets / (high - low)) * 255
    return scaled.astype(np.uint8)


def equalize_table(counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Table (256,) of OpenCV's equalizeHist for a picture with these 256 counts."""
    first, total = int(np.flatnonzero(counts)[0]), int(counts.sum())
    if counts[first] == total:
        return np.full(256, first, np.uint8)
    scale = np.float32(255) / np.float32(total - counts[first])
    above_first = np.cumsum(counts) - counts[: first + 1].sum()
    above_first[: first + 1] = 0
    grey: NDArray[np.float32] = np.rint(above_first.astype(np.float32) * scale)
    return np.clip(grey, 0, 255).astype(np.uint8)


def equalize(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """OpenCV's equalizeHist, bit for bit."""
    return look_up(equalize_table(histogram(grey)), grey)


def require_contrast(census: Census) -> None:
    """Refuse a picture in which there is nothing to see."""
    counts = census.counts[census.used]
    if counts.size < 2 or counts.max() > BLANK_SHARE * counts.sum():
        raise InputRefused("E-IMG-010")


def levels(table: NDArray[np.uint8], census: Census) -> int:
    """Different grey levels that the picture has under this table."""
    return int(np.unique(table[census.used]).size)


def luma(rgb: Words) -> Words:
    """ITU-R 601 luma of (rows, columns, 3), uint8 or uint16, rounded as Pillow rounds it; of the same type."""
    weights = np.array([19595, 38470, 7471], np.uint32)
    sums: NDArray[np.uint32] = rgb.astype(np.uint32) @ weights
    rounded = (sums + 0x8000) >> 16
    return rounded.astype(np.uint8) if rgb.dtype == np.uint8 else rounded.astype(np.uint16)


def _grey_counts(grey: NDArray[np.uint8], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts of the 256 grey levels that the words were mapped to, exactly."""
    summed = np.zeros(256, np.int64)
    np.add.at(summed, grey, counts)
    return summed


def _full_range(shown: NDArray[np.float64], voi: Lut | Window | None, used: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Output values to 0..255: a window gives 0..1, a table its own range, nothing the picture's range."""
    if isinstance(voi, Window):
        low, high = 0.0, 1.0
    else:
        seen = shown[used] if voi is None else voi.entries
        low, high = float(seen.min()), float(seen.max())
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint(np.clip((shown - low) * scale, 0, 255)).astype(np.uint8)
