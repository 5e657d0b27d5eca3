"""Tokens into the text of an answer: cut at the stop text, cleaned, with its reason to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xraygpt_edge.errors import OutOfTime, UnusableOutput
from xraygpt_edge.generation.detokenizer import Detokenizer
from xraygpt_edge.native import Stopwatch
from xraygpt_edge.records import FinishReason


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What is taken out of a model's text before it is an answer."""

    role: str = ""
    """The model sometimes writes the role's name again before the answer itself: what stands before it goes."""
    own_names: tuple[str, ...] = ()
    """What the language model calls itself, from the data that it was tuned on."""
    name: str = ""
    """What stands in their place."""


NO_CLEAN_UP = CleanUp()


@dataclass(frozen=True, slots=True)
class Wording:
    """Where an answer's text ends, and what is taken out of it."""

    stop: tuple[str, ...] = ()
    clean_up: CleanUp = NO_CLEAN_UP


PLAIN = Wording()
"""The answer ends where the model ends it, and is taken as it is."""


@dataclass(frozen=True, slots=True)
class TokenSignal:
    """What is known of one generated token beside its id."""

    piece: bytes
    """What it adds to the text; may be half a character."""
    entropy: float
    """Of the distribution that it was chosen from, at temperature 1, in nats."""
    log_probability: float
    """Its own natural log-probability there."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One generated answer."""

    text: str
    """Cleaned; never empty unless tokens or time ran out, or it was cancelled."""
    token_ids: tuple[int, ...]
    """Every token generated, the one that ended the answer included."""
    finish_reason: FinishReason
    wait_s: float
    """From the request until its prompt was begun: others came first."""
    prefill_s: float
    """From there to the first token."""
    decode_s: float
    """From the first token to the last."""
    signals: tuple[TokenSignal, ...] = ()
    """One for each token id; empty for an answer that was given or kept."""
    n_prompt: int = 0
    """Positions of the prompt, those of the image among them; 0 where the answer ended before its prompt was begun."""


class Composer:
    """Takes the tokens of one answer, one at a time; used by one thread."""

    def __init__(self, wording: Wording) -> None:
        self._wording = wording
        self._watch = Stopwatch()
        self._wait_s = self._prefill_s = 0.0
        self._n_prompt = 0
        self._detokenizer = Detokenizer(wording.stop)
        self._token_ids: list[int] = []
        self._signals: list[TokenSignal] = []

    def __len__(self) -> int:
        """Count the tokens taken so far."""
        return len(self._token_ids)

    @property
    def stopped(self) -> bool:
        """A stop string has been generated."""
        return self._detokenizer.stopped

    def begin(self, n_prompt: int) -> None:
        """Note that a prompt of so many positions is begun: what went before was waiting."""
        self._wait_s, self._n_prompt = self._watch.lap_s(), n_prompt

    def push(self, token: int, signal: TokenSignal) -> str:
        """Take a token and what is known of it; return the text that is now certain."""
        if not self._token_ids:
            self._prefill_s = self._watch.lap_s()
        self._token_ids.append(token)
        self._signals.append(signal)
        return self._detokenizer.push(signal.piece)

    def finish(self, reason: FinishReason) -> tuple[str, Generation]:
        """Return the text that was held back, and the answer.

        Raises OutOfTime when time ran out before a token, UnusableOutput when the model ended before its first word.
        """
        if reason == "timeout" and not self._token_ids:
            raise OutOfTime("E-RUN-017")
        held_back = self._detokenizer.finish()
        text = clean_answer(self._detokenizer.text, self._wording.stop, self._wording.clean_up)
        if not text and reason == "stop":
            raise UnusableOutput("E-RUN-032")
        times = (self._wait_s, self._prefill_s, self._watch.lap_s() if self._token_ids else 0.0)
        taken = tuple(self._token_ids)
        return held_back, Generation(text, taken, reason, *times, tuple(self._signals), self._n_prompt)


def clean_answer(text: str, stop: Sequence[str], clean_up: CleanUp) -> str:
    """Cut at the first stop string, drop a repeated role, name the model by its own name."""
    for mark in stop:
        text = text.split(mark, 1)[0]
    if clean_up.role:
        text = text.rsplit(clean_up.role, 1)[-1]
    for name in clean_up.own_names:
        text = text.replace(name, clean_up.name)
    return text.strip()
