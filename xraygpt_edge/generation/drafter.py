"""Speculative decoding by prompt lookup: drafts from tokens that came before, since radiology text repeats itself.

A draft decides nothing: the language model computes the logits behind every drafted token in one decode, and only what
it would have said itself is accepted. Where memory sets the pace, a drafted token costs little; where arithmetic does,
nearly a decode of its own: so its price is measured. N-grams are looked up in the bundle's stock phrases, the question
and this answer; never in other answers, so that no patient's text can touch another's, not even in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

END = -1
"""Between texts: nothing leads from one to the next."""
N_GRAM = 4
"""Tokens that must agree before their continuation is drafted."""
DRAFT_MAX = 6
"""Tokens in one draft at most."""
ACCEPTANCE_LEAST = 0.6
"""Acceptance rate below which no drafts are made: somewhat more than the price up to which they are made at all."""
PAST_WEIGHT = 0.7
"""Weight of the past in the running acceptance rate."""
BACK_OFF = 24
"""After so many decodes without a draft one is tried again, and after twice as many each time that it was wrong."""
PAYS_BELOW = 0.4
"""Highest price of a drafted token. Counted along the reports in `benchmarks`, drafts at 0.05 make an answer 1.20 times
as fast, at 0.25 1.13, at 0.4 1.08, at 0.6 1.02 times."""
TRIES = 3
"""Drafts, accepted or not, that tell the price."""


class NGrams:
    """Token ids of texts, and what followed any `N_GRAM` of them."""

    def __init__(self, texts: Iterable[Sequence[int]] = ()) -> None:
        self._ids = [END] * N_GRAM
        self._behind: dict[tuple[int, ...], int] = {}
        for text in texts:
            for token in text:
                self.push(token)
            self._ids += [END] * N_GRAM

    def push(self, token: int) -> None:
        """Continue the last text."""
        self._behind[tuple(self._ids[-N_GRAM:])] = len(self._ids)
        self._ids.append(token)

    def after(self, key: tuple[int, ...], most: int) -> list[int]:
        """Return what followed these tokens the last time, at most so many."""
        start = self._behind.get(key, len(self._ids))
        found = self._ids[start : start + most]
        return found[: found.index(END)] if END in found else found


@dataclass(slots=True)
class DraftPrice:
    """What a drafted token costs with this model on this machine, as a share of a decode of one token."""

    _alone_s: float = math.inf
    """The latest decode of one token: a neighbour's, since machines slow down. An answer begins with some, as a draft
    needs `N_GRAM` tokens before it."""
    _tried: list[float] = field(default_factory=list)

    def learn(self, drafted: int, took_s: float) -> None:
        """Note how long one token and so many drafted took, with the look at their logits: a GPU is done only then."""
        if not drafted:
            self._alone_s = took_s
        elif len(self._tried) < TRIES:
            self._tried.append((took_s / self._alone_s - 1) / drafted)

    @property
    def per_token(self) -> float:
        """The median of the tries; 0 before there are enough."""
        return median(self._tried) if len(self._tried) == TRIES else 0.0


@dataclass(slots=True)
class Drafter:
    """Drafts for one answer."""

    price: DraftPrice
    stock: NGrams
    own: NGrams
    """The question, continued by the answer."""
    acceptance_rate: float = 0.8
    """Running share of drafted tokens that were accepted; at first so low that one wrong draft ends the drafting."""
    _length: int = 1
    """Of the next draft: twice as long after one that was accepted, as long as what was accepted of another."""
    _back_off: int = BACK_OFF
    _last: list[int] = field(default_factory=list)
    _decodes_without: int = 0

    def push(self, token: int) -> None:
        """Take a token of the answer."""
        self._last = [*self._last, token][-N_GRAM:]
        self.own.push(token)

    def draft(self, room: int) -> list[int]:
        """Return the next tokens; none when none is known, when drafts were mostly wrong of late or cost too much."""
        if self.price.per_token >= PAYS_BELOW:
            return []
        self._decodes_without += 1
        if self.acceptance_rate < ACCEPTANCE_LEAST and self._decodes_without < self._back_off:
            return []
        key, most = tuple(self._last), min(self._length, room)
        return self.own.after(key, most) or self.stock.after(key, most)

    def learn(self, drafted: int, accepted: int) -> None:
        """Note how many of the drafted tokens were accepted."""
        if not drafted:
            return
        whole = accepted == drafted
        if self.acceptance_rate < ACCEPTANCE_LEAST:
            self._back_off = BACK_OFF if whole else 2 * self._back_off
        self.acceptance_rate = PAST_WEIGHT * self.acceptance_rate + (1 - PAST_WEIGHT) * accepted / drafted
        self._length = min(2 * self._length, DRAFT_MAX) if whole else max(1, accepted)
        self._decodes_without = 0
