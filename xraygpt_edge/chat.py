"""A conversation about one radiograph: encoded once, asked many times; no terminal here."""

from __future__ import annotations

from collections.abc import Callable

from xraygpt_edge.engine import Seen, XrayGPT
from xraygpt_edge.errors import UsageError
from xraygpt_edge.generation.prompt import Turn
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.records import Answer


class Conversation:
    """Questions and answers about one radiograph, within the model's context."""

    def __init__(self, model: XrayGPT, seen: Seen, sampling: Sampling, template: str | None = None) -> None:
        self._model, self.seen, self._sampling, self._template = model, seen, sampling, template
        self.turns: list[Turn] = []
        """What the model still sees; the oldest turns leave first, the image never."""
        self.forgotten = 0
        """How many turns have left."""

    def ask(self, question: str, show: Callable[[str], None] | None = None) -> Answer:
        """Answer the next question; raises UsageError when it alone is too long."""
        while True:
            try:
                answer = self._model.answer(
                    self.seen, question, self.turns, sampling=self._sampling, template=self._template, show=show
                )
            except UsageError as error:
                if error.error_id != "E-USE-008" or not self.turns:
                    raise
                self.turns.pop(0)
                self.forgotten += 1
            else:
                self.turns.append(Turn(question, answer.text))
                return answer
