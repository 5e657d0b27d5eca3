"""Questions into the text around the image, and model text into an answer.

The words belong to the model: templates, stop strings and what is cleaned come from the bundle's manifest.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """The words around the image for one way of asking."""

    before: str
    """Stands before the image rows; the beginning-of-sequence token is not part of it."""
    after: str
    """Stands behind the image rows; holds {question}."""
    follow_up: str
    """Follows `after` for each later turn; holds {answer} (the previous one) and {question}."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question that was answered."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """The two pieces of text around the image; they are tokenised separately."""

    before: str
    after: str


def render(template: Template, question: str, history: Sequence[Turn] = ()) -> Prompt:
    """Place the question, and what was said before it, around the image."""
    questions = [*(turn.question for turn in history), question]
    after = _fill(template.after, question=questions[0])
    for turn, following in zip(history, questions[1:], strict=True):
        after += _fill(template.follow_up, answer=turn.answer, question=following)
    return Prompt(template.before, after)


def _fill(text: str, **values: str) -> str:
    """Put values in their places in one pass, so that braces in a question stay plain text."""
    return re.sub(r"\{(answer|question)\}", lambda place: values[place[1]], text)


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What is taken out of a model's text before it is an answer."""

    role: str = ""
    """The model sometimes writes the role's name again before the answer itself: what stands before it goes."""
    own_names: tuple[str, ...] = ()
    """What the language model calls itself, from the data that it was tuned on."""
    name: str = ""
    """What stands in their place."""


def clean_answer(text: str, stop: Sequence[str], clean_up: CleanUp) -> str:
    """Cut at the first stop string, drop a repeated role, name the model by its own name."""
    for mark in stop:
        text = text.split(mark, 1)[0]
    if clean_up.role:
        text = text.rsplit(clean_up.role, 1)[-1]
    for name in clean_up.own_names:
        text = text.replace(name, clean_up.name)
    return text.strip()


class TextStream:
    """Token bytes into text that may be shown: no half character, nothing of a stop string.

    A stop string counts however it is tokenised, also across token borders.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._shown = 0
        self.text = ""
        """Everything that was generated so far, whole characters only."""
        self.stopped = False
        """A stop string has been generated."""

    def push(self, piece: bytes) -> str:
        """Take the bytes of one token; return what can now be shown."""
        self.text += self._decoder.decode(piece)
        return self._release(self._held_back())

    def finish(self) -> str:
        """The generation is over: return what was held back and is no stop string."""
        return self._release(0)

    def _release(self, held_back: int) -> str:
        end = len(self.text) - held_back
        for mark in self._stop:
            found = self.text.find(mark)
            if found >= 0:
                self.stopped, end = True, min(end, found)
        shown, self._shown = self.text[self._shown : end], max(self._shown, end)
        return shown

    def _held_back(self) -> int:
        """How many characters at the end may be the beginning of a stop string."""
        longest = max((len(mark) for mark in self._stop), default=0)
        for length in range(min(longest - 1, len(self.text)), 0, -1):
            if any(mark.startswith(self.text[-length:]) for mark in self._stop):
                return length
        return 0
