"""Disks that fail: the N-th open, write, fsync or rename below one folder raises an error.

Everything in the batch's own process goes through the real code; only the model process is replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from tests.soak.fake_model import result
from xraygpt_edge.host import Load, Ready, Record, Started, Task
from xraygpt_edge.host.process import Hear

CALLS = ("open", "write", "fsync", "rename")


class ModelInThisProcess:
    """Takes the place of `ModelProcess`: answers at once, in this process."""

    def __init__(self, load: Load, hear: Hear) -> None:
        self._hear = hear
        hear(self, Ready(slots=2))

    def send(self, task: Task) -> None:
        data = Path(task.path).read_bytes()
        self._hear(self, Started(task.number))
        for question in task.questions:
            self._hear(self, Record.of(task.number, question, result(data, question)))

    def kill(self) -> None:
        pass

    def close(self) -> None:
        pass


class FailingDisk:
    """Counts the calls of one kind below a folder, and lets the N-th fail."""

    def __init__(self, folder: Path, call: str, number: int, error: int, *, torn: bool = False) -> None:
        self.folder, self.call, self.number, self.error, self.torn = str(folder), call, number, error, torn
        self.seen = 0
        self._handles: set[int] = set()

    @property
    def struck(self) -> bool:
        return self.seen >= self.number

    def is_ours(self, path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and str(os.fspath(path)).startswith(self.folder)

    def count(self, call: str) -> None:
        if call == self.call:
            self.seen += 1
            if self.seen == self.number:
                raise OSError(self.error, os.strerror(self.error))

    @contextmanager
    def installed(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        real = {name: getattr(os, name) for name in ("open", "write", "fsync", "replace", "rename", "fdopen", "close")}
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", self._open(real["open"]))
            patch.setattr(os, "write", self._write(real["write"]))
            patch.setattr(os, "fsync", self._fsync(real["fsync"]))
            patch.setattr(os, "replace", self._rename(real["replace"]))
            patch.setattr(os, "rename", self._rename(real["rename"]))
            patch.setattr(os, "fdopen", self._fdopen(real["fdopen"]))
            patch.setattr(os, "close", self._close(real["close"]))
            yield

    def _open(self, real: Callable[..., int]) -> Callable[..., int]:
        def open_(path: Any, *rest: Any, **more: Any) -> int:
            if not self.is_ours(path):
                return real(path, *rest, **more)
            self.count("open")
            handle = real(path, *rest, **more)
            self._handles.add(handle)
            return handle

        return open_

    def _write(self, real: Callable[..., int]) -> Callable[..., int]:
        def write(handle: int, data: Any) -> int:
            if handle in self._handles:
                try:
                    self.count("write")
                except OSError:
                    if self.torn:
                        real(handle, bytes(data)[: len(data) // 2])
                    raise
            return real(handle, data)

        return write

    def _fsync(self, real: Callable[..., None]) -> Callable[..., None]:
        def fsync(handle: int) -> None:
            if handle in self._handles:
                self.count("fsync")
            real(handle)

        return fsync

    def _rename(self, real: Callable[..., None]) -> Callable[..., None]:
        def rename(source: Any, target: Any, **more: Any) -> None:
            if self.is_ours(target):
                self.count("rename")
            real(source, target, **more)

        return rename

    def _fdopen(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def fdopen(handle: int, *rest: Any, **more: Any) -> Any:
            stream = real(handle, *rest, **more)
            return _FailingStream(stream, self) if handle in self._handles else stream

        return fdopen

    def _close(self, real: Callable[..., None]) -> Callable[..., None]:
        def close(handle: int) -> None:
            self._handles.discard(handle)
            real(handle)

        return close


class _FailingStream:
    """A buffered file whose writes are counted."""

    def __init__(self, stream: Any, disk: FailingDisk) -> None:
        self._stream, self._disk = stream, disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, data: bytes) -> int:
        self._disk.count("write")
        return self._stream.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_facts: object) -> None:
        self._disk._handles.discard(self._stream.fileno())
        self._stream.close()
