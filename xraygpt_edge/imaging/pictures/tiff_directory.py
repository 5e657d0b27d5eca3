"""The directories of a TIFF or BigTIFF file: which tag has which numbers. Every offset is checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xraygpt_edge.imaging.pictures.refusals import damaged

NUMBER_BYTES = {1: 1, 3: 2, 4: 4, 16: 8}
"""Types of unsigned numbers: BYTE, SHORT, LONG, LONG8."""
SHORT = 3
DIRECTORIES_MAX = 2_000
ENTRIES_MAX = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory."""

    type: int
    count: int
    inline_at: int
    """Where in the file the value stands, or the offset of longer ones."""


class TiffFile:
    """The bytes of a file, read in its own byte order."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order: str = "<" if data[:2] == b"II" else ">"
        self.is_big = self.number(2, 2) == 43
        self._word_bytes, self._count_bytes = (8, 8) if self.is_big else (4, 2)

    def number(self, at: int, n_bytes: int) -> int:
        """The unsigned number at an offset; raises InputRefused when the file ends before it."""
        if at + n_bytes > len(self.data):
            raise damaged("the file ends in a directory")
        return int.from_bytes(self.data[at : at + n_bytes], "little" if self.order == "<" else "big")

    def directories(self) -> Iterator[dict[int, Entry]]:
        """Each directory of the chain; raises InputRefused where it leads nowhere, or in a circle."""
        seen: set[int] = set()
        at = self.number(8 if self.is_big else 4, self._word_bytes)
        while at:
            if at in seen or len(seen) == DIRECTORIES_MAX:
                raise damaged("the directories do not end")
            seen.add(at)
            entries, at = self._directory(at)
            yield entries

    def _directory(self, at: int) -> tuple[dict[int, Entry], int]:
        n_entries = self.number(at, self._count_bytes)
        if not 0 < n_entries <= ENTRIES_MAX:
            raise damaged("a directory without a sensible number of entries")
        at += self._count_bytes
        entry_bytes, found = 4 + 2 * self._word_bytes, {}
        for start in range(at, at + n_entries * entry_bytes, entry_bytes):
            tag, kind = self.number(start, 2), self.number(start + 2, 2)
            count = self.number(start + 4, self._word_bytes)
            if tag in found:  # libraries differ in which of the two they believe
                raise damaged("a tag stands twice in a directory")
            found[tag] = Entry(kind, count, start + 4 + self._word_bytes)
        return found, self.number(at + n_entries * entry_bytes, self._word_bytes)

    def numbers(self, entry: Entry) -> tuple[int, ...]:
        """All values of a tag; raises InputRefused for what is no number, or lies outside of the file."""
        size = NUMBER_BYTES.get(entry.type)
        if size is None or not 0 < entry.count <= len(self.data):
            raise damaged("a tag that is no list of numbers")
        is_inline = size * entry.count <= self._word_bytes
        at = entry.inline_at if is_inline else self.number(entry.inline_at, self._word_bytes)
        if at + size * entry.count > len(self.data):
            raise damaged("a tag lies behind the end of the file")
        return tuple(np.frombuffer(self.data, f"{self.order}u{size}", entry.count, at).tolist())
