"""Reads files in child processes, one child after another."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.images import DEFAULT, Radiograph, Reading, ReadOptions
from xraygpt_edge.imaging.isolated.process import Child, ChildDied
from xraygpt_edge.imaging.isolated.starter import Starter
from xraygpt_edge.sandbox import Protection

Found = TypeVar("Found")

DEADLINE_S = 20.0
"""For one file. The largest real ones take one second."""
MEMORY_BYTES = 1536 << 20
"""Address space of the child; a radiograph of 5000 x 4000 pixels needs a quarter."""
FILES_PER_CHILD = 50
ATTEMPTS = 2
RECYCLE_AFTER = frozenset({"E-DCM-008", "E-DCM-015", "E-DCM-020", "E-DCM-021", "E-DCM-023", "E-IMG-006"})
"""Refusals that come out of native code, which may have left memory in any state."""

_starter: Starter[Child] = Starter("isolated-reader-starter")


class Reader:
    """Reads files, or bytes of files, in a child process; a context manager.

    Safe to share between threads: one file is read after another, each call gets its own file's result, and an
    interrupted call takes nothing away from the next one. The child is started by the first call that needs it.
    """

    def __init__(self, deadline_s: float = DEADLINE_S, memory_bytes: int = MEMORY_BYTES) -> None:
        self._deadline_s, self._memory_bytes = deadline_s, memory_bytes
        self._lock = threading.Lock()
        self._child: Child | None = None
        """Idle, no answer under way. Whoever asks it takes it out, and puts it back only when it is so again."""

    def start(self) -> None:
        """Begin the child and return at once; it imports its libraries meanwhile."""
        if self._lock.acquire(blocking=False):  # else somebody reads, and there is one
            try:
                self._put_back(self._taken())
            finally:
                self._lock.release()

    def read(self, file: Path | bytes, options: ReadOptions = DEFAULT) -> Radiograph:
        """Read the picture in a file, or in the bytes of one, which go over a pipe and never to a disk.

        Raises InputRefused, also when the child hung, crashed or ran out of memory.
        """
        return self.read_with_account(file, options).radiograph

    def read_with_account(
        self, file: Path | bytes, options: ReadOptions = DEFAULT, shown_px: int | None = None
    ) -> Reading:
        """Read as `read` does, with the steps from file to picture, and what a viewer shows where it is wanted.

        shown_px: longest side of that.
        """
        return self._ask(lambda child: child.read(file, options, shown_px))

    def identify(self, file: Path | bytes) -> Identity:
        """Read patient and study of a DICOM file, or of the bytes of one.

        Raises InputRefused: E-REP-012 no DICOM study, 013 text that cannot be decoded with certainty; and as `read`.
        """
        return self._ask(lambda child: child.identify(file))

    @property
    def protection(self) -> Protection:
        """Which limits hold in the child; waits until it is there."""
        return self._ask(Child.wait_until_ready)

    def close(self) -> None:
        """End the child, once the file that another thread reads is read; a later call starts another one."""
        with self._lock:
            child, self._child = self._child, None
            if child is not None:
                child.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, question: Callable[[Child], Found]) -> Found:
        """Ask the child, and a second one should the first die."""
        with self._lock:
            for _ in range(ATTEMPTS):
                with contextlib.suppress(ChildDied):
                    return self._ask_once(question)
            self._child = self._begun()
        raise InputRefused("E-DCM-022")

    def _ask_once(self, question: Callable[[Child], Found]) -> Found:
        child = self._taken()
        try:
            child.wait_until_ready()
            found = question(child)
        except InputRefused as refusal:
            self._put_back(child, worn=refusal.error_id in RECYCLE_AFTER)
            raise
        except BaseException:  # interrupted, or dead: what may still come belongs to a question that nobody asks
            child.kill()
            raise
        self._put_back(child)
        return found

    def _taken(self) -> Child:
        """The idle child, which is nowhere else now; a new one if there is none."""
        child, self._child = self._child, None
        if child is not None and not child.alive:
            child.kill()
            child = None
        return child or self._begun()

    def _put_back(self, child: Child, *, worn: bool = False) -> None:
        """For the next file; instead of a worn one a fresh one, which starts while the model looks at the picture."""
        if worn or child.files >= FILES_PER_CHILD:
            child.kill()
            child = self._begun()
        self._child = child

    def _begun(self) -> Child:
        return _starter.call(lambda: Child(self._deadline_s, self._memory_bytes))
