"""Which films belong to which of N machines: by the film's own name, so that nobody has to agree with anybody."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from xraygpt_edge.errors import UsageError

COUNT_MAX = 1_000_000
_WORDS = re.compile(r"(\d{1,7})/(\d{1,7})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` shares of a folder; a film's share depends on its relative path and on `count` alone."""

    index: int = 0
    """From 0 to count - 1."""
    count: int = 1

    @classmethod
    def parse(cls, words: str) -> Self:
        """`I/N` as a shard; raises UsageError."""
        found = _WORDS.fullmatch(words.strip())
        shard = cls(int(found[1]), int(found[2])) if found else None
        if shard is None or not 0 <= shard.index < shard.count <= COUNT_MAX:
            raise UsageError("E-USE-001", f"--shard takes I/N, with I from 0 to N-1 and N at most {COUNT_MAX:,}")
        return shard

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, path: str) -> bool:
        """Whether a film is in this share; path: relative to the folder, as this process names it."""
        return share_of(path, self.count) == self.index


WHOLE = Shard()


def share_of(path: str, count: int) -> int:
    """Index of a film's share: by the bytes of its path, whatever the locale and the separator."""
    if count == 1:
        return 0
    raw = os.fsencode(path if os.sep == "/" else path.replace(os.sep, "/"))
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big") % count
