"""What is true of films, as a clinic gives it: a CSV file with the columns id, finding and label."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from xraygpt_edge.errors import UsageError

COLUMNS = ("id", "finding", "label")
VALUES = {"1": 1, "0": 0, "-1": -1}
MOST_BYTES = 64 << 20


def read(path: Path, places: Collection[str]) -> dict[str, dict[str, int]]:
    """Labels by film and place: 1 present, 0 absent, -1 where nobody knows. places: names that the panel asks about.

    Raises UsageError with the number of the first line that cannot be used; no value of it is repeated.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError("E-TRU-004", "the file is larger than 64 MiB")
        lines = list(csv.reader(path.read_text("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError("E-TRU-004", f"the file cannot be read: {type(error).__name__}") from error
    if not lines or tuple(cell.strip() for cell in lines[0]) != COLUMNS:
        raise UsageError("E-TRU-004", f"line 1 must be {','.join(COLUMNS)}")
    found: dict[str, dict[str, int]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not cells:
            continue
        film, place, value = _row(cells, number, places)
        if found.setdefault(film, {}).setdefault(place, value) != value:
            raise UsageError("E-TRU-004", f"line {number} contradicts an earlier one")
    return found


def _row(cells: list[str], number: int, places: Collection[str]) -> tuple[str, str, int]:
    if len(cells) != len(COLUMNS):
        raise UsageError("E-TRU-004", f"line {number} has {len(cells)} cells")
    film, place, value = (cell.strip() for cell in cells)
    if place not in places:
        raise UsageError("E-TRU-004", f"line {number} names no finding of {', '.join(places)}")
    if value not in VALUES:
        raise UsageError("E-TRU-004", f"line {number} has a label other than 1, 0 or -1")
    return film, place, VALUES[value]
