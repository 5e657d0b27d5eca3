"""Files that say something about radiographs by id or by path: references and strata."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from xraygpt_edge.errors import UsageError
from xraygpt_edge.ledger import Row

MOST_BYTES = 1 << 30
KEYS = ("id", "path")
Cells: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class Keyed:
    """What a file says, by the id or the path of a record."""

    by_id: dict[str, Cells]
    by_path: dict[str, Cells]

    def about(self, row: Row) -> Cells | None:
        """What is said of a record; its path decides where both are given."""
        return self.by_path.get(row.path) or self.by_path.get(row.own_path) or self.by_id.get(row.id)


def read(path: Path, error_id: str) -> Keyed:
    """A CSV file with a header, or JSON lines, by the name's ending.

    Raises UsageError of this id with the number of the first line that cannot be used; nothing of it is repeated.
    """
    found = Keyed({}, {})
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(error_id, "the file is larger than 1 GiB")
        lines = _json_lines if path.suffix.lower() in (".jsonl", ".ndjson", ".json") else _csv_lines
        for number, cells in lines(path):
            _add(found, cells, error_id, number)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise UsageError(error_id, f"it cannot be read: {reason}") from error
    except _Unusable as error:
        raise UsageError(error_id, f"line {error.number}") from error
    return found


class _Unusable(ValueError):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _csv_lines(path: Path) -> Iterator[tuple[int, Cells]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        table = csv.DictReader(stream, strict=True)
        if not set(KEYS) & set(table.fieldnames or ()):
            raise _Unusable(1)
        for cells in table:
            if None in cells or None in cells.values():  # more cells than the header has, or fewer
                raise _Unusable(table.line_num)
            yield table.line_num, cells


def _json_lines(path: Path) -> Iterator[tuple[int, Cells]]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, _texts(line, number)


def _texts(line: str, number: int) -> Cells:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise _Unusable(number) from None
    if not isinstance(found, dict):
        raise _Unusable(number)
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _add(found: Keyed, cells: Cells, error_id: str, number: int) -> None:
    named = [
        (place, cells[key]) for key, place in zip(KEYS, (found.by_id, found.by_path), strict=True) if cells.get(key)
    ]
    if not named:
        raise _Unusable(number)
    for place, name in named:
        if place.setdefault(name, cells) is not cells:
            raise UsageError(error_id, f"line {number} speaks of a record that an earlier line speaks of")
