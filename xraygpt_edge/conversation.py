"""A conversation about one radiograph: encoded once, asked many times; no terminal here."""

from __future__ import annotations

from xraygpt_edge.engine import Ask, EncodedImage, OnText, XrayGPT
from xraygpt_edge.errors import UsageError
from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Turn
from xraygpt_edge.generation.request import GREEDY, Sampling
from xraygpt_edge.records import Answer


class Conversation:
    """Questions and answers about one radiograph, within the model's context; used by one thread at a time.

    What was said stays computed: a turn costs its own tokens. Others may use the same model meanwhile.
    """

    def __init__(
        self, model: XrayGPT, image: EncodedImage, sampling: Sampling = GREEDY, template: str | None = None
    ) -> None:
        self.model, self.image, self._sampling, self._template = model, image, sampling, template
        self._computed: Prefix | None = None
        self.last: tuple[Ask, Generation] | None = None
        """How the last question was asked, and what the language model said, with what is known of each token."""
        self.turns: list[Turn] = []
        """What the model still sees; the oldest turns leave first, the image never."""
        self.forgotten = 0
        """How many turns have left."""

    def ask(self, question: str, on_text: OnText | None = None) -> Answer:
        """Answer the next question; raises UsageError when it alone is too long."""
        while True:
            try:
                answer = self._answer(question, on_text)
            except UsageError as error:
                if error.error_id != "E-USE-008" or not self.turns:
                    raise
                self.turns.pop(0)
                self.forgotten += 1
            else:
                self.turns.append(Turn(question, answer.text))
                return answer

    def _answer(self, question: str, on_text: OnText | None) -> Answer:
        ask = Ask(question, tuple(self.turns), self._sampling, self._template)
        with self.model.begin_answer(self.image, ask, self._computed, keep=True) as pieces:
            for piece in pieces:
                if on_text and piece.text:
                    on_text(piece.text)
            answer, self.last = pieces.answer(), (ask, pieces.generation())
            self._computed = pieces.kept()
        return answer
