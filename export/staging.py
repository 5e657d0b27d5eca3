"""Large files appear whole under their names or not at all, and what is finished is not redone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from export.measure import Meter
from xraygpt_edge.files import replacing, sync_folder

JOURNAL = ".steps.json"


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A path to write to; it becomes target when all is on disk, and vanishes on any failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(target)
        sync_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def appearing_folder(target: Path) -> Iterator[Path]:
    """A folder to fill; it becomes target when all in it is on disk, and vanishes on any failure."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        for path in (path for path in partial.rglob("*") if path.is_file()):
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
        partial.rename(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class Workshop:
    """A folder of intermediate files, each known by what it was made from.

    A step that was finished by an earlier, interrupted run from the same input is skipped.
    """

    def __init__(self, folder: Path, meter: Meter) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._meter = folder, meter
        self._journal = folder / JOURNAL
        self._done: dict[str, dict[str, Any]] = {}
        if self._journal.is_file():
            self._done = json.loads(self._journal.read_text("utf-8"))

    def step(self, name: str, made_from: str, outputs: Sequence[str], make: Callable[[], object]) -> None:
        """Run make unless its outputs are here already, made from the same input.

        made_from: a text that changes whenever the result would.
        """
        if self._is_done(name, made_from):
            self._meter.note_skipped(name)
            return
        self._done.pop(name, None)
        with self._meter.measuring(name):
            make()
        sizes = {output: (self.folder / output).stat().st_size for output in outputs if self.has(output)}
        self._done[name] = {"made_from": made_from, "outputs": sizes}
        with replacing(self._journal) as stream:
            stream.write(json.dumps(self._done, indent=1).encode())

    def has(self, output: str) -> bool:
        """Whether this file was made; a step may have outputs that only large models need."""
        return (self.folder / output).is_file()

    def _is_done(self, name: str, made_from: str) -> bool:
        entry = self._done.get(name)
        if entry is None or entry["made_from"] != made_from:
            return False
        sizes = entry["outputs"]
        return all(self.has(output) and (self.folder / output).stat().st_size == size for output, size in sizes.items())
