"""How far to trust answers, on a thread of its own: meanwhile the others go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeAlias

from xraygpt_edge.native import Deadline
from xraygpt_edge.records import Trust
from xraygpt_edge.trust.assess import Told
from xraygpt_edge.trust.assessor import Assessor

Tell: TypeAlias = Callable[[Trust], object]


class Assessing:
    """Takes answers that have ended and tells, from its own thread, how far to trust each."""

    def __init__(self, assessor: Assessor) -> None:
        self._assessor = assessor
        self._work: SimpleQueue[tuple[Told, Deadline, Tell]] = SimpleQueue()
        threading.Thread(target=self._run, name="trust", daemon=True).start()

    def start(self, told: Told, deadline: Deadline, tell: Tell) -> None:
        """Return at once; tell: called from another thread."""
        self._work.put((told, deadline, tell))

    def _run(self) -> None:
        while True:
            told, deadline, tell = self._work.get()
            trust = self._assessor.assess(told, deadline)
            if trust:
                tell(trust)
