"""Which files of a folder are radiographs: in a stable order, one folder in memory at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from xraygpt_edge.imaging.sniff import HEAD_BYTES, read_format, unread_kind

BARE_DICOM = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
"""How a DICOM file without preamble begins."""
IMAGE_ENDINGS = (
    *(".dcm", ".dicom", ".dic", ".png", ".jpg", ".jpeg"),
    *(".tif", ".tiff", ".webp", ".bmp", ".jp2", ".j2k", ".j2c"),
)
"""A file of such a name is meant as an image; if it is none, that is a failure and no skip."""


class Skip(StrEnum):
    """Why a file is left out; each is counted in the summary."""

    LINK = "link"
    HIDDEN = "hidden"
    NOT_A_FILE = "not a plain file"
    DICOMDIR = "DICOMDIR"
    NO_IMAGE = "not an image"
    UNREAD = "not read"
    """A kind of picture, film or archive in which a radiograph may be."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of the folder."""

    path: str
    """Relative to the folder; bytes that are no UTF-8 are lone surrogates."""
    skip: Skip | None = None
    unreadable: str = ""
    """Why a folder could not be opened; it counts as a failure."""


def walk(root: Path, leave_out: Path) -> Iterator[Found]:
    """Every entry below root that is no folder, by name; no link is followed.

    leave_out: a folder whose contents are not ours to read, such as the output folder.
    """
    hidden_folder = _identity(leave_out)
    open_folders = [_entries(root, "")]
    while open_folders:
        found = next(open_folders[-1], None)
        if found is None:
            open_folders.pop()
        elif isinstance(found, Found):
            yield found
        elif _identity(root / found) != hidden_folder:
            open_folders.append(_entries(root, found))


@dataclass(frozen=True, slots=True)
class Look:
    """What the name and the first bytes of a file say."""

    skip: Skip | None = None
    """None where the file may be a radiograph."""
    kind: str = ""
    """Name of the kind, where it is known and not read."""

    @property
    def reason(self) -> str:
        """Why the file is left out, as it is counted."""
        return f"{self.skip}: {self.kind}" if self.kind else str(self.skip)


CANDIDATE = Look()


def look_at(path: Path) -> Look:
    """Whether a file may be a radiograph, and if not, what it is."""
    if path.name.lower().endswith(IMAGE_ENDINGS):
        return CANDIDATE
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return CANDIDATE  # what cannot be read is a failure, not a skip
    try:
        head = os.read(handle, HEAD_BYTES) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return CANDIDATE
    finally:
        os.close(handle)
    return look_at_head(head)


def look_at_head(head: bytes) -> Look:
    """Whether the first HEAD_BYTES of a file, whose name says nothing, may be those of a radiograph."""
    if read_format(head) or head.startswith(BARE_DICOM):
        return CANDIDATE
    kind = unread_kind(head)
    return Look(Skip.UNREAD, kind) if kind else Look(Skip.NO_IMAGE)


def _entries(root: Path, folder: str) -> Iterator[Found | str]:
    """A folder's files as Found, and its folders as their paths, by name."""
    try:
        with os.scandir(root / folder) as listing:
            entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield Found(folder, unreadable=error.strerror or type(error).__name__)
        return
    for entry in entries:
        path = os.path.join(folder, entry.name)  # noqa: PTH118 - a Path would drop nothing but time
        if _is_open_folder(entry):
            yield path
        else:
            yield Found(path, _reason_to_skip(entry))


def _is_open_folder(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)


def _reason_to_skip(entry: os.DirEntry[str]) -> Skip | None:
    """What can be said without opening the file."""
    if entry.is_symlink():
        return Skip.LINK
    if entry.name.startswith("."):
        return Skip.HIDDEN
    if not entry.is_file(follow_symlinks=False):
        return Skip.NOT_A_FILE
    return Skip.DICOMDIR if entry.name.upper() == "DICOMDIR" else None


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        facts = folder.stat(follow_symlinks=False)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
