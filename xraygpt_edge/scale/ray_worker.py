"""One machine's share of a pool: a model host that answers chunks of films. It imports no Ray: Ray imports it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from xraygpt_edge import bundle
from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.host import Fatal, Load, ModelHost, Record, Started, Task
from xraygpt_edge.host.messages import packed, unpacked
from xraygpt_edge.scale import guard
from xraygpt_edge.scale.messages import Begun
from xraygpt_edge.version import __version__


class FilmWorker:
    """Starts the model process of a batch on this machine, and keeps nothing but films that it was sent."""

    def __init__(self, load: bytes) -> None:
        """Nothing is loaded yet. load: a packed Load."""
        self._load: Load = unpacked(load, Load)
        self._host = ModelHost(self._load)
        self._temp = tempfile.TemporaryDirectory(prefix="xraygpt-")  # 0700

    def begin(self) -> bytes:
        """Start the model process; a packed Begun that says why where it cannot take part."""
        error_id = why = manifest = ""
        try:
            manifest = bundle.opened(Path(self._load.bundle)).manifest_sha256
            self._host.__enter__()
        except XrayGPTError as error:
            error_id, why = error.error_id, error.why
        return packed(Begun(__version__, manifest, guard.facts(), error_id, why))

    def answer(self, tasks: Sequence[bytes], films: Sequence[bytes | None]) -> Iterator[bytes]:
        """Answer a chunk: packed Started and Record as they come; Fatal is the last one where the host has ended.

        films: the bytes of each task's film, or None where its path is to be opened. Several threads may call this.
        """
        given = [self._placed(unpacked(task, Task), film) for task, film in zip(tasks, films, strict=True)]
        paths = {task.number: Path(task.path) for task, film in zip(given, films, strict=True) if film is not None}
        open_questions = {task.number: len(task.questions) for task in given}
        try:
            for event in self._host.answer_all(given):
                if isinstance(event, Record):
                    open_questions[event.task] -= 1
                    if not open_questions[event.task] and event.task in paths:
                        paths.pop(event.task).unlink(missing_ok=True)
                if isinstance(event, Started | Record):
                    yield packed(event)
        except XrayGPTError as error:
            yield packed(Fatal.of(error))
        finally:
            for path in paths.values():
                path.unlink(missing_ok=True)

    def _placed(self, task: Task, film: bytes | None) -> Task:
        """The task, its film in a file of ours where it was sent; the name says nothing."""
        if film is None:
            return task
        path = Path(self._temp.name) / f"{task.number}"
        with open(path, "xb", opener=_private) as stream:
            stream.write(film)
        return replace(task, path=str(path))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
