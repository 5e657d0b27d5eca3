"""Maps of answers that were given before, on the thread of what else is said about answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.host.answering import Answering
from xraygpt_edge.host.assessing import Assessing
from xraygpt_edge.host.messages import Task
from xraygpt_edge.host.reporter import Reporter
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import Answer


@dataclass(frozen=True, slots=True)
class Drawn:
    """An answer that was given before, with maps."""

    task: Task
    answer: Answer


@dataclass(slots=True)
class Drawings:
    """Tasks whose maps are being drawn; each counts as an answer in work until it has them. For one thread."""

    answering: Answering
    assessing: Assessing
    reporter: Reporter
    _deadlines: dict[int, Deadline] = field(default_factory=dict)

    def begin(self, task: Task, answer: Answer, image: EncodedImage, put: Callable[[Drawn], None]) -> None:
        """Return at once; put: called from another thread, also with the answer of a task that was cancelled."""
        deadline = Deadline(self.answering.sampling(None).timeout_s)
        self._deadlines[task.number] = deadline
        self.answering.in_work += 1
        self.assessing.draw(image, answer, deadline, lambda drawn: put(Drawn(task, drawn)))

    def end(self, drawn: Drawn) -> None:
        """Tell it, unless nobody waits for it any more."""
        self.answering.in_work -= 1
        del self._deadlines[drawn.task.number]
        self.reporter.with_maps(drawn.task, drawn.answer)

    def cancel(self, number: int) -> None:
        """Stop drawing for a task, if that is done."""
        if number in self._deadlines:
            self._deadlines[number].expire()
