"""What a viewer shows: the picture's values before they are cut to 8 bits, and the windows offered for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.imaging.pixels import (
    BitLayout,
    Census,
    Level,
    Modality,
    Words,
    display_table,
    histogram,
    look_up,
    mimic_table,
    require_contrast,
    stored_values,
)

SAMPLE_MAX = 0xFFFF
MIDDLE = (0.01, 0.99)
"""Shares of the pixels that are darker than the window "middle 98 %" begins and ends."""
Side = Literal["stated", "not stated"]


@dataclass(frozen=True, slots=True)
class Range:
    """A window as a viewer offers it; values between its ends become grey evenly."""

    name: str
    low: float
    """Black, and what is below."""
    high: float
    """White, and what is above."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What the samples of a picture mean: 0 is `low`, 65535 is `high`, evenly between; bone is bright."""

    low: float
    high: float
    windows: tuple[Range, ...]
    """The first is what the profile `display` shows."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a viewer must know of a picture to show it."""

    rows: int
    """Of the whole picture, upright and with square pixels."""
    columns: int
    scale: Scale
    side: Side
    """Whether the file says which side of the picture is the patient's right."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture for a viewer: rescaled, the file's VOI table applied, upright."""

    samples: NDArray[np.uint16]
    """(rows, columns), perhaps smaller than the whole picture."""
    presentation: Presentation


@dataclass(frozen=True, slots=True)
class Graded:
    """The value that each word of a pixel buffer stands for."""

    values: NDArray[np.float64]
    """(256,) or (65536,), larger is brighter."""
    census: Census
    windows: tuple[Range, ...] = ()
    """The file's own."""

    @classmethod
    def as_stored(cls, census: Census, windows: tuple[Range, ...] = ()) -> Graded:
        """Stored values, not rescaled."""
        return cls(census.values.astype(np.float64), census, windows)

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest value in the picture."""
        values = self.values[self.census.used]
        return float(values.min()), float(values.max())

    @property
    def is_usable(self) -> bool:
        """There are different values, and all of them are numbers."""
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(0 < np.ptp(self.values[self.census.used]) < np.inf)

    def inverted(self) -> Graded:
        """Bright and dark exchanged, within the same range."""
        ends = sum(self.range)
        windows = (Range(each.name, ends - each.high, ends - each.low) for each in self.windows)
        return Graded(ends - self.values, self.census, tuple(windows))


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a picture is turned and stretched, as its file says."""

    rows: int
    """Of the upright picture with square pixels."""
    columns: int
    mirrored: bool = False
    """Left and right are exchanged."""
    upended: bool = False
    """Top and bottom are exchanged."""
    side: Side = "not stated"

    def applied(self, pixels: NDArray[Level]) -> NDArray[Level]:
        """Turn and stretch a picture; bicubic."""
        if self.mirrored or self.upended:
            pixels = np.ascontiguousarray(pixels[:: -1 if self.upended else 1, :: -1 if self.mirrored else 1])
        if pixels.shape == (self.rows, self.columns):
            return pixels
        from PIL import Image

        return np.asarray(Image.fromarray(pixels).resize((self.columns, self.rows), Image.Resampling.BICUBIC))


@dataclass(frozen=True, slots=True)
class Film:
    """A decoded picture, and what becomes of each of its words."""

    words: Words
    grey: NDArray[np.uint8]
    """(256,) or (65536,): as the model sees it."""
    grade: Callable[[], Graded]
    """As a viewer sees it; computed when it is wanted."""
    geometry: Geometry

    def pixels(self) -> NDArray[np.uint8]:
        """(rows, columns), 0 black, bone bright."""
        return self.geometry.applied(look_up(self.grey, self.words))

    def shown(self, max_px: int) -> Shown:
        """For a viewer, its longer side no longer than max_px."""
        graded = self.grade()
        samples = self.geometry.applied(look_up(_samples(graded), self.words))
        presentation = Presentation(self.geometry.rows, self.geometry.columns, _scale(graded), self.geometry.side)
        return Shown(_shrunk(samples, max_px), presentation)


def plain(words: Words, profile: str) -> Film:
    """A grey picture that has no header (PNG, JPEG, colour made grey).

    Under `display`, 8-bit pictures stay as they are. Raises InputRefused when it is blank.
    """
    layout = BitLayout(allocated=8 * words.dtype.itemsize, stored=8 * words.dtype.itemsize)
    counts = histogram(words)
    census = Census(stored_values(layout), counts, np.zeros(counts.shape, np.bool_))
    require_contrast(census)
    as_stored = words.dtype == np.uint8
    if profile == "mimic-jpg":
        grey = mimic_table(census, inverted=False)
    elif as_stored:
        grey = census.values.astype(np.uint8)
    else:
        grey = display_table(census, Modality(), None, inverted=False)
    windows = (Range("as stored", 0.0, 255.0),) if as_stored else ()
    return Film(words, grey, lambda: Graded.as_stored(census, windows), Geometry(*words.shape))


def _scale(graded: Graded) -> Scale:
    low, high = graded.range
    windows = (*graded.windows, Range("all", low, high), *_middle(graded))
    return Scale(low, high, windows)


def _middle(graded: Graded) -> Iterable[Range]:
    used = graded.census.used
    values, counts = graded.values[used], graded.census.counts[used]
    order = np.argsort(values)
    shares = np.cumsum(counts[order]) / counts.sum()
    low, high = values[order][np.searchsorted(shares, MIDDLE)]
    return [Range("middle 98 %", float(low), float(high))] if low < high else []


def _samples(graded: Graded) -> NDArray[np.uint16]:
    """Sample of every word; padding is black."""
    low, high = graded.range
    shares = np.nan_to_num((graded.values - low) / (high - low))
    samples = np.rint(np.clip(shares, 0, 1) * SAMPLE_MAX).astype(np.uint16)
    samples[graded.census.padding] = 0
    return samples


def _shrunk(samples: NDArray[np.uint16], max_px: int) -> NDArray[np.uint16]:
    """Each sample the mean of those that it stands for."""
    factor = max_px / max(samples.shape)
    if factor >= 1:
        return samples
    rows, columns = (max(1, round(side * factor)) for side in samples.shape)
    from PIL import Image

    return np.asarray(Image.fromarray(samples).resize((columns, rows), Image.Resampling.BOX))
