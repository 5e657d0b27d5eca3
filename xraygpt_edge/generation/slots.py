"""The cache as slots: what each holds, who uses it, and how a prefix gets from one to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from weakref import ref

import numpy as np

from xraygpt_edge.generation.context_tokens import Keys, agreeing
from xraygpt_edge.generation.llama import LlamaContext
from xraygpt_edge.generation.llama_state import alone
from xraygpt_edge.generation.prefix import Prefix

NOTHING: Keys = np.empty(0, np.int64)


@dataclass(slots=True, eq=False)
class Slot:
    """One sequence of the cache."""

    number: int
    """As llama.cpp counts them; changes when the slot moves into a gap."""
    keys: Keys = field(default_factory=lambda: NOTHING)
    """What is computed."""
    busy: bool = False
    used_at: int = 0

    @property
    def n_computed(self) -> int:
        """Positions that are computed."""
        return len(self.keys)


class Pins:
    """Prefixes that somebody means to use again: until they are closed, or nobody has them any more."""

    def __init__(self) -> None:
        self._prefixes: list[ref[Prefix]] = []

    def add(self, prefix: Prefix) -> None:
        """Keep a prefix."""
        if not any(weak() is prefix for weak in self._prefixes):
            self._prefixes.append(ref(prefix))

    def all(self) -> list[Keys]:
        """Return what stands at the positions of each."""
        held = [prefix for weak in self._prefixes if (prefix := weak()) is not None and not prefix.closed]
        self._prefixes = [ref(prefix) for prefix in held]
        return [prefix.tokens.keys for prefix in held if prefix.tokens]


class Slots:
    """All sequences of one context; used by the thread that owns it.

    llama.cpp computes only neighbours together and reads all weights again behind a gap, so the slots in use are kept
    at the beginning. Nothing goes from one request to another but what the caller says may be shared.
    """

    def __init__(self, context: LlamaContext, n_slots: int, pins: Pins) -> None:
        self.context, self._pins = context, pins
        self._slots = [Slot(number) for number in range(n_slots)]
        self._clock = count(1)
        self._aside: tuple[Keys, bytes] | None = None

    def __len__(self) -> int:
        """Count the slots."""
        return len(self._slots)

    @property
    def free(self) -> int:
        """Slots that nobody uses now."""
        return sum(not slot.busy for slot in self._slots)

    def claim(self, keys: Keys) -> Slot:
        """Take a free slot and make it hold as much of these tokens as any slot has; keys: what may be shared.

        Raises ValueError when none is free.
        """
        slot = self._cheapest(keys)
        self._take_back(slot, keys)
        source = self.holding(keys)
        shared = agreeing(source.keys, keys)
        if agreeing(slot.keys, keys) < shared:
            self.context.copy(source.number, slot.number)
            slot.keys = source.keys
        self.cut(slot, shared)
        slot.busy, slot.used_at = True, next(self._clock)
        return slot

    def put_aside(self, keys: Keys) -> None:
        """Copy what is pinned and `claim` of these tokens would lose: bit by bit the same when it is needed again.

        One copy is kept, the first, as long as somebody wants it: more would be memory that nobody has planned.
        """
        slot = self._cheapest(keys)
        length, kept = self._pinned(slot), agreeing(slot.keys, keys)
        elsewhere = (agreeing(other.keys, slot.keys) for other in self._slots if other is not slot)
        is_lost = length > max(kept, *elsewhere, 0)
        if is_lost and self._put_aside() is None and not self.context.copies_pending:
            self._aside = slot.keys, self.context.state(slot.number)

    def _put_aside(self) -> tuple[Keys, bytes] | None:
        """What was put aside and is still pinned."""
        if self._aside and not any(agreeing(pinned, self._aside[0]) == len(pinned) for pinned in self._pins.all()):
            self._aside = None
        return self._aside

    def _take_back(self, slot: Slot, keys: Keys) -> None:
        """Put what was put aside into a free slot, if more of these tokens is in it than in any slot."""
        held, state = self._put_aside() or (NOTHING, b"")
        if agreeing(held, keys) > max(agreeing(other.keys, keys) for other in self._slots):
            self._aside = None
            self.replace(slot, held, state)

    def _cheapest(self, keys: Keys) -> Slot:
        """The free slot that costs least to take."""
        return min((slot for slot in self._slots if not slot.busy), key=lambda slot: self._cost(slot, keys))

    def _cost(self, slot: Slot, keys: Keys) -> tuple[int, int, int]:
        """Pinned tokens that would be lost, then tokens that would have to be copied, then how lately it was used."""
        here = agreeing(slot.keys, keys)
        return max(0, self._pinned(slot) - here), -here, slot.used_at

    def cut(self, slot: Slot, length: int) -> None:
        """Forget what is behind so many tokens, also what a decode that failed may have left there.

        All of it, where what is left could not be continued.
        """
        if not self.context.forget_from(length, slot.number):
            length = 0
            self.context.forget_from(length, slot.number)
        slot.keys = slot.keys[:length]

    def release(self, slot: Slot, kept: int) -> None:
        """Give a slot back; it keeps so many tokens, or what is pinned."""
        slot.busy = False
        self.cut(slot, min(slot.n_computed, max(kept, self._pinned(slot))))

    def close_gaps(self) -> None:
        """Move the last slots in use to where others have ended: a copy in the cache, not a bit of it changes.

        A gap stays where the slot in it holds a prefix that would be lost.
        """
        busy = sorted((slot for slot in self._slots if slot.busy), key=lambda slot: slot.number)
        gaps = sorted(
            (slot for slot in self._slots if not slot.busy and slot.number < len(busy)), key=lambda slot: slot.number
        )
        for gap, last in zip(gaps, reversed(busy), strict=False):
            common = agreeing(gap.keys, last.keys)
            if self._pinned(gap) > common:
                continue
            self.context.copy(last.number, gap.number)
            gap.number, last.number = last.number, gap.number
            self.cut(gap, common)

    def holding(self, keys: Keys) -> Slot:
        """The slot that begins with most of these tokens."""
        return max(self._slots, key=lambda slot: agreeing(slot.keys, keys))

    def state_alone(self, slot: Slot) -> bytes | None:
        """What a slot holds, for a context of one; None while copies are pending, or where it is laid out otherwise."""
        if self.context.copies_pending:
            return None
        window_bytes = self.context.window_bytes(slot.number)
        return alone(self.context.state(slot.number), len(self), slot.number, window_bytes)

    def replace(self, slot: Slot, keys: Keys, state: bytes) -> None:
        """Make a slot what another context held; empty where llama.cpp does not take it."""
        self.cut(slot, 0)
        slot.keys = keys if self.context.restore(slot.number, state) else NOTHING

    def clear(self) -> None:
        """Forget everything; for when nothing runs."""
        self.context.clear()
        self._aside = None
        for slot in self._slots:
            slot.keys = NOTHING

    def pinned(self) -> Iterator[tuple[Keys, bytes]]:
        """Pinned prefixes that are in the cache, each with its state; for when nothing runs."""
        if self.context.copies_pending:
            return  # after a decode that failed; they are computed again
        for slot in self._slots:
            length = self._pinned(slot)
            if length:
                self.cut(slot, length)
            if length and slot.n_computed:
                yield slot.keys, self.context.state(slot.number)

    def restore(self, keys: Keys, state: bytes) -> bool:
        """Give a free and empty slot what another context held; whether there was one and llama.cpp took it."""
        slot = next((slot for slot in self._slots if not slot.busy and not slot.n_computed), None)
        if slot is None or not self.context.restore(slot.number, state):
            return False
        slot.keys = keys
        return True

    def _pinned(self, slot: Slot) -> int:
        """Length of the longest pinned prefix that a slot holds."""
        return max((len(pin) for pin in self._pins.all() if agreeing(pin, slot.keys) == len(pin)), default=0)
