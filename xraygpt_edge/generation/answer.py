"""Tokens into the text of an answer: shown as it comes, cut at the stop text, with its reason to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from xraygpt_edge.errors import OutOfTime, UnusableOutput
from xraygpt_edge.generation.prompt import CleanUp, TextStream, clean_answer
from xraygpt_edge.generation.request import Token
from xraygpt_edge.records import FinishReason

Show = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Generation:
    """What the decoder produced for one prompt."""

    text: str
    """Cleaned; never empty unless tokens or time ran out."""
    token_ids: tuple[int, ...]
    """Every token generated, the one that ended the answer included."""
    finish_reason: FinishReason
    prefill_s: float
    """Until the first token."""
    decode_s: float
    """From the first token to the last."""


class Stopwatch:
    """Seconds between the stages of one answer, on the monotonic clock."""

    def __init__(self) -> None:
        self._lap_s = time.monotonic()

    def lap_s(self) -> float:
        """Seconds since the last lap, or since the start."""
        previous, self._lap_s = self._lap_s, time.monotonic()
        return self._lap_s - previous


class Composer:
    """Takes the tokens of one answer, one at a time."""

    def __init__(self, stop: Sequence[str], clean_up: CleanUp, show: Show | None = None) -> None:
        """show: called with each piece of text as soon as it is certain."""
        self._stop, self._clean_up, self._show = stop, clean_up, show
        self._watch, self._prefill_s = Stopwatch(), 0.0
        self._stream = TextStream(stop)
        self._token_ids: list[int] = []

    def __len__(self) -> int:
        """Tokens taken so far."""
        return len(self._token_ids)

    def begin(self) -> None:
        """The decoder starts now: what was waited before is not counted."""
        self._watch.lap_s()

    def push(self, token: Token) -> bool:
        """Take a token; whether the answer has ended with it, by the model's end or a stop string."""
        self._prefill_s = self._prefill_s or self._watch.lap_s()
        self._token_ids.append(token.id)
        self._pass_on(self._stream.push(token.piece))
        return token.is_end or self._stream.stopped

    def finish(self, reason: FinishReason) -> Generation:
        """The answer; raises OutOfTime without a token, UnusableOutput when it ends before its first word."""
        if reason == "timeout" and not self._token_ids:
            raise OutOfTime("E-RUN-017")
        self._pass_on(self._stream.finish())
        text = clean_answer(self._stream.text, self._stop, self._clean_up)
        if not text and reason == "stop":
            raise UnusableOutput("E-RUN-032")
        return Generation(text, tuple(self._token_ids), reason, self._prefill_s, self._watch.lap_s())

    def _pass_on(self, text: str) -> None:
        if self._show and text:
            self._show(text)


def compose(tokens: Iterable[Token], stop: Sequence[str], clean_up: CleanUp, show: Show | None = None) -> Generation:
    """Take tokens until the model ends, a stop string appears, or tokens or time run out.

    show: called with each piece of text as soon as it is certain.
    Raises OutOfTime before the first token, UnusableOutput for an answer that ends before its first word.
    """
    composer, produced = Composer(stop, clean_up, show), False
    try:
        for token in tokens:
            produced = True
            if composer.push(token):
                return composer.finish("stop")
    except OutOfTime:
        if not produced:
            raise
        return composer.finish("timeout")
    return composer.finish("length")
