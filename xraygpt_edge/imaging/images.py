"""From a file, or its bytes, to a grey picture: the content decides what it is, never the name."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging import gate
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.sniff import other_kind, read_format, unread_kind
from xraygpt_edge.imaging.values import Film, Shown
from xraygpt_edge.records import Format, Source, Step

PROFILES = ("mimic-jpg", "display")
FILE_MAX_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a file is read."""

    profile: str = "mimic-jpg"
    """mimic-jpg, as the model was trained; or display, as a viewer shows it."""
    frame: int | None = None
    """Which frame of several, counted from 1."""
    force: bool = False
    """Go past those refusals that allow it; recorded in the result."""


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A picture that the model can look at."""

    pixels: NDArray[np.uint8]
    """(rows, columns), 0 black, bone bright."""
    source: Source


@dataclass(frozen=True, slots=True)
class Reading:
    """A radiograph and the account of how it was read."""

    radiograph: Radiograph
    steps: tuple[Step, ...]
    shown: Shown | None = None
    """For a viewer, where that was wanted."""


DEFAULT = ReadOptions()


def read_radiograph(path: Path, options: ReadOptions = DEFAULT) -> Radiograph:
    """Read a DICOM or picture file in this process; raises InputRefused."""
    return read_with_account(path, options).radiograph


def read_with_account(file: Path | bytes, options: ReadOptions = DEFAULT, shown_px: int | None = None) -> Reading:
    """Read a file, or bytes of one, and say what was done; whatever goes wrong is an InputRefused.

    shown_px: longest side of what is wanted for a viewer; None wants nothing for it.
    """
    with _only_refusals():
        return read_bytes(_content(file), options, shown_px)


def read_identity(file: Path | bytes) -> Identity:
    """Read patient and study of a DICOM file, or of bytes of one; whatever goes wrong is an InputRefused."""
    from xraygpt_edge.imaging import dicom

    with _only_refusals():
        return dicom.read_identity(_content(file))


@contextmanager
def _only_refusals() -> Iterator[None]:
    try:
        yield
    except InputRefused:
        raise
    except MemoryError:
        raise InputRefused("E-DCM-020") from None
    except Exception as error:  # noqa: BLE001 - the cause may quote the file: only its kind is told
        raise InputRefused("E-DCM-023", type(error).__name__) from None


def _content(file: Path | bytes) -> bytes:
    return file if isinstance(file, bytes) else read_file(file)


def read_bytes(data: bytes, options: ReadOptions = DEFAULT, shown_px: int | None = None) -> Reading:
    """Read a file that is in memory already; raises InputRefused, with what was found out before."""
    notes = Notes(force=options.force)
    notes.step("size", f"{len(data):,} bytes")
    try:
        kind = sniff(data)
    except InputRefused as refusal:
        raise refusal.about(None, notes.steps) from None
    notes.step("format", kind)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        film = _from_dicom(data, options, notes) if kind == "dicom" else _from_picture(data, kind, options, notes)
        pixels = film.pixels()
        view = gate.look(pixels, notes)
        if kind != "dicom":  # whose header is a second witness, and warns
            gate.require_chest(view, notes)
    except InputRefused as refusal:
        raise refusal.about(notes.source(sha256, kind, options.profile), notes.steps) from None
    radiograph = Radiograph(pixels, notes.source(sha256, kind, options.profile))
    return Reading(radiograph, notes.steps, film.shown(shown_px) if shown_px else None)


def read_file(path: Path) -> bytes:
    """All bytes of a regular file; a pipe or a device is refused without waiting for it."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(path, flags)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no such name"
        raise InputRefused("E-IMG-003", reason) from None
    try:
        facts = os.fstat(handle)
        _require_regular(facts)
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read(facts.st_size)  # a larger number would be allocated in full
    except OSError as error:
        raise InputRefused("E-IMG-003", os.strerror(error.errno or 0)) from None
    finally:
        os.close(handle)


def _require_regular(facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise InputRefused("E-IMG-004")
    require_size(facts.st_size)


def require_size(n_bytes: int) -> None:
    """Refuse what is larger than any radiograph, before it is read into memory."""
    if n_bytes > FILE_MAX_BYTES:
        raise InputRefused("E-IMG-005", f"{n_bytes >> 20} MB")


def sniff(data: bytes) -> Format:
    """What the bytes of a file are; raises InputRefused for what is not read, by name where it is known."""
    if not data:
        raise InputRefused("E-IMG-002")
    if found := read_format(data):
        return found
    if name := unread_kind(data) or other_kind(data):
        raise InputRefused("E-IMG-012", name)
    from xraygpt_edge.imaging.dicom.container import looks_like_dicom

    if looks_like_dicom(data):
        return "dicom"
    raise InputRefused("E-IMG-001")


def _from_dicom(data: bytes, options: ReadOptions, notes: Notes) -> Film:
    from xraygpt_edge.imaging import dicom

    return dicom.read(data, options.frame, options.profile, notes)


def _from_picture(data: bytes, kind: Format, options: ReadOptions, notes: Notes) -> Film:
    from xraygpt_edge.imaging import pictures

    film = pictures.read(data, kind, options.profile, notes)
    if options.frame not in (None, 1):
        raise InputRefused("E-DCM-012", f"frame {options.frame} of 1")
    return film
