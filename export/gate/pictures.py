"""The pictures that the gate learns from: collected ones, drawn phantoms, and drawings of other things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.demo import findings, phantoms
from export.gate import drawings
from export.gate.spoiling import Picture, resized

SIDE_PX = 128
"""As the collected pictures are stored."""
PHANTOMS, DRAWINGS = 200, 250
"""Phantoms in all; drawings of each kind."""
FIRST_PHANTOM = 700_000
"""Seed of the first phantom: none of the demonstration's own."""


@dataclass(frozen=True, slots=True)
class Original:
    """One picture to make copies of."""

    pixels: Picture
    kind: str
    """frontal, lateral, or the name of something else."""
    source: str


def collected(file: Path) -> list[Original]:
    """Those of a .npz file with `pixels` uint8 (n, 128, 128), `label`, `source` (n,) and `rows_columns` (n, 2)."""
    with np.load(file) as arrays:
        columns = [arrays[name] for name in ("pixels", "rows_columns", "label", "source")]
    return [Original(_as_it_was(p, *size), str(k), str(s)) for p, size, k, s in zip(*columns, strict=True)]


def _as_it_was(pixels: Picture, rows: int, columns: int) -> Picture:
    """Pictures that had been enlarged to be stored lack the detail of that size: they are made small again."""
    return resized(pixels, min(SIDE_PX, rows), min(SIDE_PX, columns))


def drawn(seed: int) -> Iterator[Original]:
    """Phantoms, and drawings of every kind, from this seed."""
    for number in range(FIRST_PHANTOM, FIRST_PHANTOM + PHANTOMS):
        film = phantoms.draw(findings.sample_case(number), SIDE_PX)
        yield Original((film >> 4).astype(np.uint8), "frontal", "phantom")
    for place, draw in enumerate((*drawings.OTHERS, drawings.lateral_chest)):
        kind = "lateral" if draw is drawings.lateral_chest else draw.__name__
        for number in range(DRAWINGS):
            yield Original(draw(SIDE_PX, np.random.default_rng((seed, place, number))), kind, "drawn")
