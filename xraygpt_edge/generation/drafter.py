"""Guesses at the next words, from words that came before: radiology text repeats itself.

A guess decides nothing: the language model computes the logits behind every guessed token in one decode, and
only what it would have said itself is kept. Where memory sets the pace, a guess costs little; where arithmetic does,
nearly a decode of its own: so its price is measured. Words are looked up in the bundle's stock phrases, the question
and this answer; never in other answers, so that no patient's text can touch another's, not even in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

END = -1
"""Between texts: nothing leads from one to the next."""
KEY = 4
"""Tokens that must agree before their continuation is guessed."""
MOST = 6
"""Tokens in one guess at most."""
WORTH = 0.6
"""Least share of right guesses: somewhat more than the price up to which guesses are made at all."""
MEMORY = 0.7
"""Weight of the past in the running share."""
PATIENCE = 24
"""After so many decodes without a guess one is tried again, and after twice as many each time that it was wrong."""
PAYS_BELOW = 0.4
"""Highest price of a guess. Counted along the reports in `benchmarks`, guesses at 0.05 make an answer 1.20 times as
fast, at 0.25 1.13, at 0.4 1.08, at 0.6 1.02 times."""
TRIES = 3
"""Guesses, right or wrong, that tell the price."""


class Phrases:
    """Token ids of texts, and what followed any `KEY` of them."""

    def __init__(self, texts: Iterable[Sequence[int]] = ()) -> None:
        self._ids = [END] * KEY
        self._behind: dict[tuple[int, ...], int] = {}
        for text in texts:
            for token in text:
                self.push(token)
            self._ids += [END] * KEY

    def push(self, token: int) -> None:
        """Continue the last text."""
        self._behind[tuple(self._ids[-KEY:])] = len(self._ids)
        self._ids.append(token)

    def after(self, key: tuple[int, ...], most: int) -> list[int]:
        """What followed these tokens the last time, at most so many."""
        start = self._behind.get(key, len(self._ids))
        found = self._ids[start : start + most]
        return found[: found.index(END)] if END in found else found


@dataclass(slots=True)
class Price:
    """What a guess costs with this model on this machine, as a share of a decode of one token."""

    _alone_s: float = math.inf
    """The latest decode of one token: a neighbour's, since machines slow down. An answer begins with some, as a guess
    needs `KEY` tokens before it."""
    _tried: list[float] = field(default_factory=list)

    def learn(self, guessed: int, took_s: float) -> None:
        """How long one token and so many guesses took, with the look at their logits: a GPU is done only then."""
        if not guessed:
            self._alone_s = took_s
        elif len(self._tried) < TRIES:
            self._tried.append((took_s / self._alone_s - 1) / guessed)

    @property
    def of_a_guess(self) -> float:
        """The median of the tries; 0 before there are enough."""
        return median(self._tried) if len(self._tried) == TRIES else 0.0


@dataclass(slots=True)
class Drafter:
    """Guesses for one answer."""

    price: Price
    stock: Phrases
    own: Phrases
    """The question, continued by the answer."""
    hit_rate: float = 0.8
    """Running share of guessed tokens that were right; at first so low that one wrong guess ends the guessing."""
    _length: int = 1
    """Of the next guess: twice as long after one that was right, as long as what was right of a wrong one."""
    _patience: int = PATIENCE
    _last: list[int] = field(default_factory=list)
    _decodes_without: int = 0

    def push(self, token: int) -> None:
        """A token of the answer."""
        self._last = [*self._last, token][-KEY:]
        self.own.push(token)

    def guess(self, room: int) -> list[int]:
        """The next tokens; none when nothing is known, guesses were mostly wrong of late or cost too much here."""
        if self.price.of_a_guess >= PAYS_BELOW:
            return []
        self._decodes_without += 1
        if self.hit_rate < WORTH and self._decodes_without < self._patience:
            return []
        key, most = tuple(self._last), min(self._length, room)
        return self.own.after(key, most) or self.stock.after(key, most)

    def learn(self, guessed: int, right: int) -> None:
        """How many of the guessed tokens were right."""
        if not guessed:
            return
        all_right = right == guessed
        if self.hit_rate < WORTH:
            self._patience = PATIENCE if all_right else 2 * self._patience
        self.hit_rate = MEMORY * self.hit_rate + (1 - MEMORY) * right / guessed
        self._length = min(2 * self._length, MOST) if all_right else max(1, right)
        self._decodes_without = 0
