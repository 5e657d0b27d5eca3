"""Reading `records.jsonl`: every whole record, typed, and one rule about lines that are not whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xraygpt_edge.errors import OutputError, UsageError
from xraygpt_edge.ledger.rows import Row
from xraygpt_edge.ledger.versions import Damaged, decoded

RECORDS = "records.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One whole record."""

    line: bytes
    """As it was written, line end included."""
    row: Row


class Records:
    """The whole records of a folder, in the order of writing, one in memory at a time. One reader at a time.

    The one rule about damage: a record counts only once it is on the disk with all before it, so a crash can leave
    nothing worse than a last line that is not whole. That line is passed over and counted in `torn_bytes`. Any
    other line that is not whole was edited, or the disk is failing: E-OUT-003 with its number.
    """

    def __init__(self, folder: Path, kind: Any = Row) -> None:
        """Nothing is opened yet. kind: the types that a line may be, where they are not those of answers."""
        self._path, self._kind = folder / RECORDS, kind
        self.whole_bytes = 0
        """Of the whole lines read so far."""
        self.torn_bytes = 0
        """Of a last line that is not whole; known at the end."""

    def __iter__(self) -> Iterator[Entry]:
        """From the first line on.

        Raises UsageError where there are no records, OutputError for damage or a disk that fails, and
        BundleIncompatible for a record of a newer version.
        """
        self.whole_bytes = self.torn_bytes = 0
        with _reading(), self._path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if self.torn_bytes:  # something follows: this was no crash
                    raise OutputError("E-OUT-003", f"{RECORDS}, line {number - 1}")
                row = _whole(line, number, self._kind)
                if row is None:
                    self.torn_bytes = len(line)
                else:
                    self.whole_bytes += len(line)
                    yield Entry(line, row)


def _whole(line: bytes, number: int, kind: Any) -> Row | None:
    """What a line says, or None for one that is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        row: Row = decoded(line, kind, f"{RECORDS}, line {number}")
    except Damaged:
        return None
    return row


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError("E-REP-001") from error
    except OSError as error:
        raise OutputError("E-OUT-004", error.strerror or type(error).__name__) from error
