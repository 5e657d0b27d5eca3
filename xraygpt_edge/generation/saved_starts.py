"""The constant start of a prompt, as llama.cpp computed it, kept from one process to the next.

It holds the words of a template and nothing of any radiograph or question. A file is used only if it was written for
the same words, bundle, build, processor and settings, and if every bit is as it was written; any other is left alone,
and the start is computed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from xraygpt_edge.files import replacing
from xraygpt_edge.generation.context_tokens import Keys

ENDING = ".start"
MAGIC = b"xraygpt-edge start 1\n"
DIGEST_BYTES = 32
FILE_MAX_BYTES = 1 << 30
FILES_MAX = 8
"""The oldest leave: 26 MB each for a 7B model and XrayGPT's template."""


@dataclass(frozen=True, slots=True)
class SavedStarts:
    """A folder of saved starts; may be shared by threads and processes."""

    folder: Path
    identity: str
    """What decides the last bits beside the words: bundle, build, processor, settings."""

    def read(self, keys: Keys) -> memoryview | None:
        """Return the state that was saved for these tokens; None without one that is whole and ours."""
        digest = self._digest(keys)
        try:
            data = memoryview(_read(self._path(digest)))
        except OSError:
            return None
        head = MAGIC + digest
        state = data[len(head) + DIGEST_BYTES :]
        is_ours = data[: len(head)] == head and data[len(head) :][:DIGEST_BYTES] == sha256(state).digest()
        return state if is_ours else None

    def write(self, keys: Keys, state: bytes) -> None:
        """Save a state; where that is not possible, the next process computes it again."""
        digest = self._digest(keys)
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with replacing(self._path(digest)) as stream:
                stream.write(MAGIC + digest + sha256(state).digest())
                stream.write(state)
            for old in saved(self.folder)[FILES_MAX:]:
                old.unlink()

    def _digest(self, keys: Keys) -> bytes:
        return sha256(self.identity.encode() + b"\0" + keys.astype("<i8").tobytes()).digest()

    def _path(self, digest: bytes) -> Path:
        return self.folder / f"{digest.hex()[:32]}{ENDING}"


def saved(folder: Path) -> list[Path]:
    """Files of saved starts, the latest first; none where the folder cannot be read."""
    try:
        found = [(path.lstat().st_mtime_ns, path) for path in folder.glob(f"*{ENDING}")]
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)]


def _read(path: Path) -> bytes:
    """Read a regular file, never through a link; raises OSError."""
    with open(path, "rb", opener=_open_plain) as stream:
        if os.fstat(stream.fileno()).st_size > FILE_MAX_BYTES:
            raise OSError("not a file of ours")
        return stream.read()


def _open_plain(path: str, flags: int) -> int:
    """Open a regular file and nothing else: no link, no pipe, no folder."""
    handle = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError("not a regular file")
