"""The folders of a node: films that came, results that wait, and what of them is whole after a crash."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path

from xraygpt_edge.errors import OutputError
from xraygpt_edge.files import sync_folder

Buffer = bytes | memoryview

FILM = ".dcm"
EVENT = ".event"
"""An archive's answer about commitment, as it came."""
NAME_BYTES = 12
HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Spool:
    """Where everything of a node lies."""

    root: Path

    @property
    def films(self) -> Path:
        """Whole films, under random names."""
        return self.root / "in"

    @property
    def part(self) -> Path:
        """What is being received; whatever is there at a start belongs to nobody."""
        return self.root / "in" / "part"

    @property
    def results(self) -> Path:
        """Objects that wait to be sent."""
        return self.root / "out"

    @property
    def answers(self) -> Path:
        """A folder of records for each day."""
        return self.root / "answers"

    def make(self) -> None:
        """Make the folders, entered by their owner only. Raises OutputError."""
        try:
            for folder in (self.root, self.films, self.part, self.results, self.answers):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.root, self.films):
                sync_folder(folder)
        except OSError as error:
            raise OutputError("E-NOD-005", error.strerror or type(error).__name__) from error

    def empty_part(self) -> None:
        """Forget what was being received when everything ended: nobody was told that it is stored."""
        for path in self.part.iterdir():
            path.unlink(missing_ok=True)

    def keep_film(self, *parts: Buffer) -> str:
        """Write a film; when this returns it survives a power cut under its name. Raises OSError and leaves nothing."""
        return _keep(self.part, self.films, parts, FILM)

    def keep_result(self, data: bytes, suffix: str) -> str:
        """As `keep_film`, for an object that is to be sent. Raises OutputError."""
        try:
            return _keep(self.results, self.results, (data,), suffix)
        except OSError as error:
            raise OutputError("E-NOD-005", error.strerror or type(error).__name__) from error

    def free_bytes(self) -> int:
        """Of the disk."""
        return shutil.disk_usage(self.root).free

    def secret(self) -> bytes:
        """The key of the hashes in the queue, made at the first start; 32 bytes. Raises OutputError."""
        path = self.root / "secret.key"
        try:
            if not path.exists():
                _write(path, (secrets.token_bytes(32),))
                sync_folder(self.root)
            return path.read_bytes()
        except OSError as error:
            raise OutputError("E-NOD-005", error.strerror or type(error).__name__) from error


def keyed_hash(secret: bytes, uid: str) -> str:
    """What stands for a UID in the queue: of no use to whoever lacks the key."""
    return blake2b(uid.encode("ascii", "replace"), key=secret).hexdigest()[:HASH_DIGITS]


def file_hash(*parts: Buffer) -> str:
    """SHA-256 of a file of these parts."""
    digest = sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _keep(beginning: Path, folder: Path, parts: Iterable[Buffer], suffix: str) -> str:
    name = secrets.token_hex(NAME_BYTES) + suffix
    part = beginning / f".{name}.part"
    try:
        _write(part, parts)
        part.replace(folder / name)
        sync_folder(folder)
    except BaseException:
        part.unlink(missing_ok=True)
        (folder / name).unlink(missing_ok=True)
        raise
    return name


def _write(path: Path, parts: Iterable[Buffer]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0) as stream:
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[stream.write(rest) or 0 :]
        os.fsync(stream.fileno())
