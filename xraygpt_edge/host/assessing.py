"""How far to trust answers, on a thread of its own: meanwhile the others go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias

from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import Answer, Trust
from xraygpt_edge.trust.assess import Told
from xraygpt_edge.trust.assessor import Assessor

Tell: TypeAlias = Callable[[Trust], object]


class Assessing:
    """Takes answers that have ended and tells, from its own thread, how far to trust each."""

    def __init__(self, assessor: Assessor) -> None:
        self._assessor = assessor
        self._work: SimpleQueue[Callable[[], object]] = SimpleQueue()
        threading.Thread(target=self._run, name="trust", daemon=True).start()

    def start(self, told: Told, deadline: Deadline, tell: Tell) -> None:
        """Return at once; tell: called from another thread."""
        self._work.put(partial(self._assess, told, deadline, tell))

    def draw(self, image: EncodedImage, answer: Answer, deadline: Deadline, tell: Callable[[Answer], object]) -> None:
        """Return at once; tell: called from another thread with the answer, to which maps were added."""
        self._work.put(lambda: tell(self._assessor.with_maps(image, answer, deadline)))

    def _run(self) -> None:
        while True:
            self._work.get()()

    def _assess(self, told: Told, deadline: Deadline, tell: Tell) -> None:
        trust = self._assessor.assess(told, deadline)
        if trust:
            tell(trust)
