"""`audit.jsonl`: one line an event, each with the hash of the line before; no patient, no UID, no text of an answer.

An event is written into the queue in the same transaction as the change that it is about, so it is on disk before
its effect is reported. The node alone copies events from there into the trail, in order, each once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from xraygpt_edge.errors import OutputError
from xraygpt_edge.files import sync_folder
from xraygpt_edge.node.database import Database

TRAIL = "audit.jsonl"
START = "0" * 64
AT_ONCE = 500
KEPT_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Broken:
    """The first line of the trail that is not as it was written."""

    file: str
    line: int


class Trail:
    """Writes the trail; for the node's one thread."""

    def __init__(self, folder: Path) -> None:
        """Find the end of the trail; a last line that a crash cut off is taken away. Raises OutputError."""
        self._path = folder / TRAIL
        self._is_broken = True
        """A write has failed, so the end of the file must be looked for again."""
        self._find_end()

    def copy(self, database: Database) -> None:
        """Move what has happened from the queue into the trail. Raises OutputError; what was not moved is later."""
        if self._is_broken:
            self._find_end()
        while rows := database.rows("SELECT seq, facts FROM events ORDER BY seq LIMIT :n", n=AT_ONCE):
            events = [(row["seq"], json.loads(row["facts"])) for row in rows]
            self._is_broken = True
            try:
                for seq, facts in events:
                    if seq > self._seq:  # else a crash came between copying and deleting
                        self._write(seq, facts)
                self._sync()
                self._is_broken = False
            except OSError as error:
                raise OutputError("E-NOD-005", error.strerror or type(error).__name__) from error
            with database.change() as cursor:
                cursor.execute("DELETE FROM events WHERE seq <= ?", (events[-1][0],))

    def _find_end(self) -> None:
        try:
            self._hash, self._seq = _end_of(self._path)
            if self._hash == START and (earlier := _rotated(self._path.parent)):
                self._hash, self._seq = _end_of(earlier[-1])
        except OSError as error:
            raise OutputError("E-NOD-005", error.strerror or type(error).__name__) from error
        self._is_broken = False

    def _write(self, seq: int, facts: dict[str, Any]) -> None:
        if self._path.exists() and _month_of(self._path) not in (None, facts["at"][:7]):
            _rotate(self._path)
        line = _line({"seq": seq, **facts, "before": self._hash})
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self._path, flags, 0o600), "ab") as stream:
            stream.write(line)
        self._hash, self._seq = _hash(line), seq

    def _sync(self) -> None:
        if self._path.exists():
            with self._path.open("rb+") as stream:
                os.fsync(stream.fileno())
            sync_folder(self._path.parent)


def verify(folder: Path) -> Broken | None:
    """The first line that was changed, is missing, or stands elsewhere; None when all is well.

    What was cut off at the very end is not seen: that needs the last hash, kept elsewhere.
    """
    before: str | None = None
    for path in (*_rotated(folder), folder / TRAIL):
        for number, line in enumerate(_lines(path), 1):
            facts = _parsed(line)
            if facts is None or (before is not None and facts.get("before") != before):
                return Broken(path.name, number)
            before = _hash(line)
    return None


def _line(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, ensure_ascii=True).encode("ascii") + b"\n"


def _hash(line: bytes) -> str:
    return sha256(line).hexdigest()


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with path.open("rb") as stream:
            yield from stream


def _parsed(line: bytes) -> dict[str, Any] | None:
    """What a line says; None for one that is not whole."""
    try:
        facts = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None


def _end_of(path: Path) -> tuple[str, int]:
    """Hash and number of the last whole line; a torn one behind it is cut off."""
    last, whole_bytes, seq = START, 0, 0
    for line in _lines(path):
        facts = _parsed(line)
        if facts is not None:
            last, seq = _hash(line), int(facts.get("seq", 0))
        if line.endswith(b"\n"):
            whole_bytes += len(line)
    if path.exists() and path.stat().st_size > whole_bytes:
        os.truncate(path, whole_bytes)
    return last, seq


def _month_of(path: Path) -> str | None:
    facts = _parsed(next(_lines(path), b""))
    return str(facts["at"])[:7] if facts and "at" in facts else None


def _rotate(path: Path) -> None:
    """Put a month's trail aside, and forget the one of a year ago."""
    month = _month_of(path)
    path.replace(path.with_name(f"audit-{month}.jsonl"))
    for old in _rotated(path.parent)[:-KEPT_MONTHS]:
        old.unlink()


def _rotated(folder: Path) -> list[Path]:
    return sorted(folder.glob("audit-????-??.jsonl"))
