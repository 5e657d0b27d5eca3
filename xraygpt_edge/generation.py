"""Tokens into the text of an answer: shown as it comes, cut at the stop text, with its reason to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from xraygpt_edge.decoder import Token
from xraygpt_edge.errors import OutOfTime, UnusableOutput
from xraygpt_edge.prompt import TextStream, clean_answer
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


def compose(tokens: Iterable[Token], stop: Sequence[str], show: Show | None = None) -> Generation:
    """Take tokens until the model ends, a stop string appears, or tokens or time run out.

    show: called with each piece of text as soon as it is certain.
    Raises OutOfTime before the first token, UnusableOutput for an answer that ends before its first word.
    """
    watch, prefill_s = Stopwatch(), 0.0
    stream = TextStream(stop)
    token_ids: list[int] = []
    finish: FinishReason = "length"
    try:
        for token in tokens:
            prefill_s = prefill_s or watch.lap_s()
            token_ids.append(token.id)
            _show(show, stream.push(token.piece))
            if token.is_end or stream.stopped:
                finish = "stop"
                break
    except OutOfTime:
        if not token_ids:
            raise
        finish = "timeout"
    _show(show, stream.finish())
    text = clean_answer(stream.text, stop)
    if not text and finish == "stop":
        raise UnusableOutput("E-RUN-032")
    return Generation(text, tuple(token_ids), finish, prefill_s, watch.lap_s())


def _show(show: Show | None, text: str) -> None:
    if show and text:
        show(text)
