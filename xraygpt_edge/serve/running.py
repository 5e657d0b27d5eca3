"""The server that runs already: found by a file of its user alone, so that starting it twice opens its page again."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import platformdirs

from xraygpt_edge import devices

NAME = "xraygpt-edge"
READ_MAX_BYTES = 4096


class Running(msgspec.Struct, frozen=True):
    """A server of this user."""

    pid: int
    port: int
    manifest_sha256: str
    """Of its bundle."""
    key: bytes
    """Makes codes that open a session with it."""


def found(port: int, manifest_sha256: str) -> Running | None:
    """The server on a port with the same bundle, if its process is there."""
    folder = _private_folder()
    if folder is None:
        return None
    try:
        handle = os.open(_file(folder, port), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(handle, "rb") as stream:
            running = msgspec.json.decode(stream.read(READ_MAX_BYTES), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
    is_it = (running.port, running.manifest_sha256) == (port, manifest_sha256) and devices.is_running(running.pid)
    return running if is_it else None


@contextlib.contextmanager
def announced(running: Running) -> Iterator[None]:
    """Let other processes of this user find the server; where there is no private place for it, they do not."""
    folder = _private_folder()
    path = _file(folder, running.port) if folder else None
    if path:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # of a server that was killed
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(msgspec.json.encode(running))
    try:
        yield
    finally:
        if path:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _private_folder() -> Path | None:
    """The user's folder for such files, made where it is missing; None where others could put files into it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / NAME if runtime else platformdirs.user_cache_path(NAME, appauthor=False) / "running"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(facts.st_mode):
        return None
    if os.name != "nt" and (facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o022):
        return None
    return folder


def _file(folder: Path, port: int) -> Path:
    return folder / f"serve-{port}.json"
