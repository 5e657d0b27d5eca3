"""A map as a filled outline at half its maximum: where what the software's answer depends on lies, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from xraygpt_edge.records import FindingMap, MapTrust

HALF = 0.5
"""Of the maximum."""
MOST_CELLS = 64
"""In a row of a map that came from a file."""

Cells = Sequence[Sequence[bool]]


@dataclass(frozen=True, slots=True)
class Outline:
    """A map's cells at half its maximum or more, as SVG paths in units of a cell, and their number in a row."""

    finding: str
    n_cells: int
    area: str
    """Path that fills them."""
    border: str
    """Path around them."""


def outlines(maps: MapTrust | None) -> list[Outline]:
    """An outline of each map that is to be shown; a record's map that is no square of cells has none."""
    shown = [drawn for drawn in maps.findings if drawn.shown and is_square(drawn)] if maps else []
    return [outline(drawn) for drawn in shown]


def outline(drawn: FindingMap) -> Outline:
    """The outline of a map; where nothing falls, it is empty."""
    cells = inside(drawn)
    return Outline(drawn.finding, len(cells), "".join(_area(cells)), "".join(_border(cells)))


def inside(drawn: FindingMap) -> list[list[bool]]:
    """Which cells are at half the maximum or more."""
    highest = max(max(row) for row in drawn.values)
    return [[0 < highest * HALF <= value for value in row] for row in drawn.values]


def is_square(drawn: FindingMap) -> bool:
    """A map as the program draws them, whatever file it came from."""
    return 0 < len(drawn.values) <= MOST_CELLS and {len(row) for row in drawn.values} == {len(drawn.values)}


def _area(cells: Cells) -> Iterator[str]:
    for y, row in enumerate(cells):
        for is_in, run in groupby(range(len(row)), row.__getitem__):
            columns = list(run)
            if is_in:
                yield f"M{columns[0]} {y}h{len(columns)}v1h-{len(columns)}z"


def _border(cells: Cells) -> Iterator[str]:
    for y, x, is_down in edges(cells):
        yield f"M{x} {y}{'v1' if is_down else 'h1'}"


def edges(cells: Cells) -> Iterator[tuple[int, int, bool]]:
    """Sides of cells between one that is in and one that is not: row and column of the first corner, and direction."""
    n_rows, n_columns = len(cells), len(cells[0])
    padded = [[False] * (n_columns + 1), *([*row, False] for row in cells), [False] * (n_columns + 1)]
    for y in range(n_rows + 1):
        for x in range(n_columns + 1):
            here, above, before = padded[y + 1][x], padded[y][x], padded[y + 1][x - 1]
            if here != above and x < n_columns:
                yield y, x, False
            if here != before and y < n_rows:
                yield y, x, True
