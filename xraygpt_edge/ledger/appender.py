"""`records.jsonl` open for writing: lines go behind what is whole, and are on disk before they count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from xraygpt_edge.files import sync_folder
from xraygpt_edge.ledger.folder import writing
from xraygpt_edge.ledger.records import RECORDS, Entry, Records


class Appender:
    """The file of records of a claimed folder; for one caller."""

    def __init__(self, folder: Path) -> None:
        """Open or make the file; raises OutputError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._folder = folder
        with writing(RECORDS):
            self._handle = os.open(folder / RECORDS, flags, 0o600)

    def recover(self, records: Records) -> Iterator[Entry]:
        """Every whole record; a last line that a crash cut off is then taken away. Raises what `Records` raises."""
        yield from records
        with writing(RECORDS):
            if records.torn_bytes:
                os.ftruncate(self._handle, records.whole_bytes)
                os.fsync(self._handle)
            sync_folder(self._folder)

    def append(self, lines: bytes) -> None:
        """Write whole lines; when this returns, they survive a power cut. Raises OutputError."""
        with writing(RECORDS):
            rest = memoryview(lines)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)

    def close(self) -> None:
        """Nothing is buffered: every record is on disk already."""
        os.close(self._handle)
