"""Reads files in child processes, one child after another."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.images import DEFAULT, Radiograph, Reading, ReadOptions
from xraygpt_edge.sandbox import Protection
from xraygpt_edge.worker.process import Child, ChildDied

DEADLINE_S = 20.0
"""For one file. The largest real ones take one second."""
MEMORY_BYTES = 1536 << 20
"""Address space of the child; a radiograph of 5000 x 4000 pixels needs a quarter."""
FILES_PER_CHILD = 50
ATTEMPTS = 2
RECYCLE_AFTER = frozenset({"E-DCM-008", "E-DCM-015", "E-DCM-020", "E-DCM-023", "E-IMG-006"})
"""Refusals that come out of native code, which may have left memory in any state."""


class Reader:
    """Reads files in a child process; a context manager, safe to use from several threads."""

    def __init__(self, deadline_s: float = DEADLINE_S, memory_bytes: int = MEMORY_BYTES) -> None:
        self._deadline_s, self._memory_bytes = deadline_s, memory_bytes
        self._child: Child | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin the child and return at once; it imports its libraries meanwhile."""
        if self._child is None:
            self._child = Child(self._deadline_s, self._memory_bytes)

    def read(self, path: Path, options: ReadOptions = DEFAULT) -> Radiograph:
        """Read one file; raises InputRefused, also when the child hung, crashed or ran out of memory."""
        return self.read_with_account(path, options).radiograph

    def read_with_account(self, path: Path, options: ReadOptions = DEFAULT) -> Reading:
        """As `read`, with the steps from file to picture."""
        with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    return self._read_once(path, options)
                except ChildDied:
                    self._recycle()
        raise InputRefused("E-DCM-022")

    @property
    def protection(self) -> Protection:
        """Which limits hold in the child."""
        with self._lock:
            return self._ready_child().protection

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_once(self, path: Path, options: ReadOptions) -> Reading:
        child = self._ready_child()
        try:
            reading = child.read(path, options)
        except InputRefused as refusal:
            if not child.alive or refusal.error_id in RECYCLE_AFTER:
                self._recycle()
            raise
        except BaseException:  # interrupted in the middle of an answer: what follows belongs to it
            self.close()
            raise
        if child.files >= FILES_PER_CHILD:
            self._recycle()
        return reading

    def _ready_child(self) -> Child:
        self.start()
        if self._child is None:
            raise ChildDied
        self._child.wait_until_ready()
        return self._child

    def _recycle(self) -> None:
        """A fresh child, which starts while the model looks at the last picture."""
        self.close()
        self.start()
