"""Patient and study of a radiograph, copied from its DICOM file: only from the very bytes that were answered."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.ledger import Answered


def read_identity(reader: Reader, images: Path, row: Answered) -> Identity:
    """Read patient and study of a row's file; its bytes are parsed in the isolated reader alone.

    Raises InputRefused: E-REP-010 no such file, 011 not the bytes that were answered, 012 no DICOM
    study, 013 text that cannot be decoded with certainty; E-DCM-02x where the bytes hang or crash the reader.
    """
    if row.input.format != "dicom":
        answered_bytes(images, row)
        raise InputRefused("E-REP-012")
    return identity_in(reader, images, row.file, row.input.sha256)


def identity_in(reader: Reader, images: Path, relative: Path, digest: str) -> Identity:
    """As `read_identity`, for a file below a folder that must still have this SHA-256."""
    identity = reader.identify(_same_bytes(images, relative, digest))
    if identity.sha256 != digest:  # of what was parsed, over there
        raise InputRefused("E-REP-011")
    return identity


def answered_bytes(images: Path, row: Answered) -> bytes:
    """The row's file, if it is below the folder and still what was answered; raises InputRefused."""
    return _same_bytes(images, row.file, row.input.sha256)


def _same_bytes(images: Path, relative: Path, digest: str) -> bytes:
    if relative.is_absolute() or ".." in relative.parts:
        raise InputRefused("E-REP-010", "its path leads out of the folder")
    try:
        handle = os.open(images / relative, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as stream:
            data = stream.read() if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except (OSError, ValueError) as error:
        raise InputRefused("E-REP-010", getattr(error, "strerror", None) or type(error).__name__) from None
    if sha256(data).hexdigest() != digest:
        raise InputRefused("E-REP-011")
    return data
