"""The output folder: made private, claimed by one process, and the one place where disk errors get their id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from xraygpt_edge.errors import Locked, OutputError
from xraygpt_edge.files import replacing
from xraygpt_edge.text import file_name

LOCK = ".lock"


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Whatever the disk refuses in here ends the batch with exit code 16."""
    try:
        yield
    except OSError as error:
        raise OutputError("E-OUT-002", f"{name}: {error.strerror or type(error).__name__}") from error


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the folder and hold it alone; the lock ends with the process, however it ends.

    Raises Locked at once when another process holds it, OutputError when it cannot be made.
    """
    with writing(file_name(folder.name)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0, mode=0o600)
    with writing(f"{file_name(folder.name)}, locking it"):
        try:
            lock.acquire()
        except Timeout:
            raise Locked("E-BAT-011") from None
    try:
        yield
    finally:
        lock.release()


def is_claimed(folder: Path) -> bool:
    """Whether another process holds the folder at this moment."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def write_whole(target: Path, data: bytes) -> None:
    """A file that appears whole or not at all; raises OutputError."""
    with writing(file_name(target.name)), replacing(target) as stream:
        stream.write(data)
