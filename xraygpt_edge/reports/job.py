"""What a writer of reports is given, and what it gives back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from xraygpt_edge.errors import InputRefused, OutputError
from xraygpt_edge.files import replacing
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.ledger import Answered
from xraygpt_edge.reports.rows import Batch


@dataclass(frozen=True, slots=True)
class Job:
    """One report to write."""

    batch: Batch
    out: Path
    """A file, or for formats with one object a radiograph, a folder."""
    images: Path | None = None
    """The folder that the batch read, for what the records do not hold."""
    thumbnails: bool = False
    """Put small pictures of the radiographs into the report: they are patient images."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An answer that is not in the report."""

    id: str
    path: str
    error_id: str
    message: str

    @classmethod
    def because(cls, row: Answered, error: InputRefused) -> LeftOut:
        """The row, with the reason."""
        return cls(row.id, row.shown_path, error.error_id, error.message)


@dataclass(frozen=True, slots=True)
class Warned:
    """Something about the patient or the study in a report that its reader should know."""

    id: str
    path: str
    warning_id: str
    message: str

    @classmethod
    def of(cls, row: Answered, identity: Identity) -> list[Warned]:
        """What was found while patient and study were copied."""
        return [cls(row.id, row.shown_path, warning.id, warning.message) for warning in identity.warnings]


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer has done."""

    files: int
    left_out: tuple[LeftOut, ...] = ()
    warned: tuple[Warned, ...] = ()


@contextmanager
def output_file(target: Path) -> Iterator[BinaryIO]:
    """A file that appears whole or not at all; raises OutputError."""
    try:
        with replacing(target) as stream:
            yield stream
    except OSError as error:
        raise OutputError("E-OUT-001", error.strerror or type(error).__name__) from error


def make_folder(folder: Path) -> None:
    """A folder that only its owner can enter, unless it is there already; raises OutputError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError("E-OUT-001", os.strerror(error.errno or 0)) from error


def unused_name(row: Answered, used: set[str]) -> str:
    """A file name from the record's id, longer where another radiograph has that id too; noted as used."""
    name = row.file_stem
    while name in used:
        name = f"{name}-{sha256(bytes(row.file)).hexdigest()[:8]}"
    used.add(name)
    return name
