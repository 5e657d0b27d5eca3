"""A folder that appears whole or not at all, and that replaces nothing but itself."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xraygpt_edge.errors import UsageError
from xraygpt_edge.files import sync_folder
from xraygpt_edge.ledger import RECORDS, claimed, writing
from xraygpt_edge.text import file_name


@contextmanager
def placing(out: Path) -> Iterator[Path]:
    """A new folder to write into; it takes its place once everything in it is there.

    Where the place is taken, its records must be the very same, and only the files beside them are replaced.
    Raises UsageError, Locked when another process is making the same folder, OutputError.
    """
    workshop = out.absolute().with_name(f".{out.absolute().name}.partial")
    with claimed(workshop):
        try:
            with writing(file_name(out.name)):
                new = _emptied(workshop / "new")
            yield new
            with writing(file_name(out.name)):
                _place(new, out)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)


def require_place(out: Path) -> None:
    """Before hours of work: raises UsageError for a file, or a folder of something else."""
    if out.exists() and not out.is_dir():
        raise UsageError("E-SCA-008", "it is a file")


def _emptied(folder: Path) -> Path:
    if folder.exists():  # of a merge that was killed
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    return folder


def _place(new: Path, out: Path) -> None:
    if not out.exists():
        new.rename(out)
    else:
        _replace_files(new, out)
        new.rmdir()
    sync_folder(out.parent)


def _replace_files(new: Path, out: Path) -> None:
    """Records last: without them, the folder is none of a batch."""
    if (out / RECORDS).exists() and not filecmp.cmp(new / RECORDS, out / RECORDS, shallow=False):
        raise UsageError("E-SCA-008", file_name(out.name))
    for path in sorted(new.iterdir(), key=lambda path: path.name == RECORDS):
        path.replace(out / path.name)
    sync_folder(out)
