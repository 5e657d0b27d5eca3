"""From a phantom to the picture that the encoder is trained on: the same steps as at run time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xraygpt_edge.imaging.pixels import BitLayout, Census, histogram, look_up, mimic_table, stored_values

from .findings import LABELS, Case, sample_case
from .phantoms import PLACE_GRID, draw, places

PICTURE_PX = 224
MEAN, STD = 0.5862785803043838, 0.27950088968644304
DRAWN_PX = 256
_CHUNK = 250


@dataclass(frozen=True, slots=True)
class Pictures:
    """A drawn data set: `pixels` uint8 (n, 224, 224), `labels` bool (n, 13), `places` bool (n, 14, 14, 10)."""

    cases: tuple[Case, ...]
    pixels: NDArray[np.uint8]
    labels: NDArray[np.bool_]
    places: NDArray[np.bool_]


def render(seeds: Iterable[int], workers: int = 2) -> Pictures:
    """Draw the cases of `seeds` and bring them to what the encoder sees."""
    numbers = list(seeds)
    chunks = [numbers[at : at + _CHUNK] for at in range(0, len(numbers), _CHUNK)]
    with ProcessPoolExecutor(workers) as pool:
        parts = list(pool.map(_render_chunk, chunks))
    cases = tuple(sample_case(seed) for seed in numbers)
    pixels, placed = (np.concatenate([part[i] for part in parts]) for i in range(2))
    return Pictures(cases, pixels, label_table(cases), placed.astype(bool))


def _render_chunk(seeds: list[int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    pixels = np.empty((len(seeds), PICTURE_PX, PICTURE_PX), np.uint8)
    placed = np.empty((len(seeds), PLACE_GRID, PLACE_GRID, 10), bool)
    for row, case in enumerate(map(sample_case, seeds)):
        pixels[row], placed[row] = picture(draw(case, DRAWN_PX)), places(case)
    return pixels, placed


def label_table(cases: Iterable[Case]) -> NDArray[np.bool_]:
    """Truth as a table (n, 13) in the order of `LABELS`."""
    return np.array([[label in case.labels for label in LABELS] for case in cases], bool)


def picture(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Stored values to 8 bit, equalised, and MedCLIP's 224-pixel geometry for a square film."""
    counts = histogram(values)
    census = Census(stored_values(BitLayout(16, 16)), counts, np.zeros(counts.size, np.bool_))
    grey = look_up(mimic_table(census, inverted=False), values)
    return np.asarray(Image.fromarray(grey).resize((PICTURE_PX, PICTURE_PX), Image.Resampling.BICUBIC))


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices that cover 0..count in steps of `size`."""
    return (slice(at, min(at + size, count)) for at in range(0, count, size))
