"""A list of films: made once, so that many machines need not walk a folder of a million files.

One JSON object a line: `{"bytes": 8388608, "path": "p10/s1.dcm"}`, with `path_b64` as in records where a name is not
UTF-8. The last line says how many there are and the SHA-256 of all lines before it, so that a list that was cut off
or edited is not taken for a smaller one.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePath
from typing import BinaryIO, TypeVar

import msgspec

from xraygpt_edge.batch.walk import Found
from xraygpt_edge.errors import InputRefused, UsageError
from xraygpt_edge.files import replacing
from xraygpt_edge.ledger import named_path, own_path, writing
from xraygpt_edge.text import file_name

SCHEMA = 1
STANDARD_INPUT = Path("-")
Kind = TypeVar("Kind")


class _Film(msgspec.Struct, frozen=True):
    size_bytes: int = msgspec.field(name="bytes")
    path: str
    path_b64: bytes | None = None


class End(msgspec.Struct, frozen=True):
    """The last line: what the lines before it must be."""

    films: int
    sha256: str
    """Of the lines before it; the list's identity."""
    schema: int = SCHEMA


_FILM = msgspec.json.Decoder(_Film)
_END = msgspec.json.Decoder(End)


@dataclass(frozen=True, slots=True)
class Listed:
    """One film of a list."""

    path: str
    """Relative to the folder; bytes that are no UTF-8 are lone surrogates."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FilmList:
    """A list that was read to its end once, and found whole; it can be read again and again."""

    end: End
    _path: Path
    _data: bytes | None = field(default=None, repr=False)
    """What standard input has said."""

    @classmethod
    def read(cls, path: Path) -> FilmList:
        """Read a list through; `-` is standard input, which is kept in memory. Raises InputRefused."""
        try:
            data = sys.stdin.buffer.read() if path == STANDARD_INPUT else None
            with _opened(path, data) as stream:
                return cls(next(entry for entry in _entries(stream) if isinstance(entry, End)), path, data)
        except OSError as error:
            raise InputRefused("E-SCA-001", error.strerror or type(error).__name__) from error

    def __iter__(self) -> Iterator[Listed]:
        """Its films, in order. Raises InputRefused where somebody has changed it meanwhile."""
        with _opened(self._path, self._data) as stream:
            for entry in _entries(stream):
                if isinstance(entry, Listed):
                    yield entry
                elif entry != self.end:
                    raise InputRefused("E-SCA-001", "it was changed while it was read")

    def found(self) -> Iterator[Found]:
        """Its films as a walk would find them."""
        return (Found(film.path) for film in self)


def write(target: Path, films: Iterable[Listed]) -> End:
    """Write a list, whole or not at all. Raises OutputError, and UsageError where a file of another kind is."""
    _require_list_or_nothing(target)
    count, digest = 0, sha256()
    with writing(file_name(target.name)), replacing(target) as stream:
        for film in films:
            line = json.dumps({"bytes": film.size_bytes, **_named(film.path)}).encode("ascii") + b"\n"
            digest.update(line)
            stream.write(line)
            count += 1
        end = End(count, digest.hexdigest())
        stream.write(msgspec.json.encode(end) + b"\n")
    return end


def _named(path: str) -> dict[str, str]:
    return named_path(path if os.sep == "/" else path.replace(os.sep, "/"))


def _require_list_or_nothing(target: Path) -> None:
    """A slip of the hand must not replace a radiograph."""
    try:
        with target.open("rb") as stream:
            first = stream.readline(1 << 16)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError("E-SCA-002", error.strerror or type(error).__name__) from error
    if first and not (_decoded(first, _FILM) or _decoded(first, _END)):
        raise UsageError("E-SCA-002")


def _opened(path: Path, data: bytes | None) -> BinaryIO:
    return path.open("rb") if data is None else io.BytesIO(data)


def _entries(stream: BinaryIO) -> Iterator[Listed | End]:
    """Films, then the end, once it is seen to be true. Raises InputRefused."""
    count, digest = 0, sha256()
    for number, line in enumerate(stream, 1):
        film = _decoded(line, _FILM)
        if film is None:
            yield _checked_end(line, number, count, digest.hexdigest(), stream)
            return
        count += 1
        digest.update(line)
        yield Listed(_confined(own_path(film.path, film.path_b64), number), film.size_bytes)
    raise InputRefused("E-SCA-001", "it has no last line" if count else "it is empty")


def _checked_end(line: bytes, number: int, count: int, digest: str, stream: BinaryIO) -> End:
    end = _decoded(line, _END)
    if end is None:
        raise InputRefused("E-SCA-001", f"line {number} is not one of a list")
    if end.schema > SCHEMA:
        raise InputRefused("E-SCA-001", f"a newer version of this program has written it: {end.schema}")
    if (end.films, end.sha256) != (count, digest) or stream.read(1):
        raise InputRefused("E-SCA-001", f"its last line speaks of other lines than the {count} before it")
    return end


def _confined(path: str, number: int) -> str:
    """The path, if it stays in the folder."""
    pure = PurePath(path)
    if pure.drive or pure.root or ".." in pure.parts:
        raise InputRefused("E-SCA-001", f"line {number} leads out of the folder")
    if not pure.name or "\0" in path:
        raise InputRefused("E-SCA-001", f"line {number} names no file")
    return path


def _decoded(line: bytes, decoder: msgspec.json.Decoder[Kind]) -> Kind | None:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        return None
