"""What the program and its child say to each other: one line of JSON each, checked at both ends.

Behind a request may follow the file's bytes, behind a picture follow its pixels and samples; the line says how many.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.imaging.values import Presentation
from xraygpt_edge.records import Source, Step
from xraygpt_edge.sandbox import Protection


class Named(msgspec.Struct, frozen=True, tag="named"):
    """A file that the child opens."""

    path: bytes
    """As the system has it: a name on Linux need not be text."""


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """A file whose bytes follow the request."""

    n_bytes: int


def described(file: Path | bytes) -> Named | Sent:
    """How a request speaks of a file."""
    return Sent(len(file)) if isinstance(file, bytes) else Named(os.fsencode(file))


class ReadPicture(msgspec.Struct, frozen=True, tag="picture"):
    """Asks for the pixels of a radiograph; answered by Picture."""

    file: Named | Sent
    options: ReadOptions
    shown_px: int | None = None
    """Longest side of what is wanted for a viewer."""


class ReadIdentity(msgspec.Struct, frozen=True, tag="identity"):
    """Asks for patient and study of a DICOM file; answered by Identified."""

    file: Named | Sent


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child's first word: its libraries are imported."""

    protection: Protection


class ForViewer(msgspec.Struct, frozen=True):
    """A picture for a viewer; rows * columns samples of 16 bits follow, row by row."""

    rows: int
    columns: int
    presentation: Presentation


class Picture(msgspec.Struct, frozen=True, tag="picture"):
    """A radiograph; rows * columns bytes follow, row by row, 0 is black; behind them the samples for a viewer."""

    rows: int
    columns: int
    source: Source
    steps: tuple[Step, ...]
    for_viewer: ForViewer | None = None


class Identified(msgspec.Struct, frozen=True, tag="identity"):
    """Patient and study."""

    identity: Identity


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Why there is neither, and what was found out before."""

    error_id: str
    why: str
    source: Source | None
    steps: tuple[Step, ...]


Request = ReadPicture | ReadIdentity
Answer = Ready | Picture | Identified | Refused

requests = msgspec.json.Decoder(Request)
answers = msgspec.json.Decoder(Answer)


def packed(message: Request | Answer) -> bytes:
    """One line."""
    return msgspec.json.encode(message) + b"\n"
