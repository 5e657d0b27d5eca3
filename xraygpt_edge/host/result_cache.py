"""Answers about images that come again: equal pixels are computed once."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.host.messages import Asking
from xraygpt_edge.records import FinishReason, Trust

Key: TypeAlias = tuple[bytes, str, Asking | None]
"""Hash of the pixels, the question, and how it is asked."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A generation in little memory."""

    text: str
    token_ids: array[int]
    finish_reason: FinishReason
    prefill_s: float
    decode_s: float
    n_prompt: int
    trust: bytes


class ResultCache:
    """The latest answers, each with how far to trust it, by image and question; for one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    def keep(self, key: Key, g: Generation, trust: Trust | None) -> None:
        """Remember an answer; the oldest one is forgotten when there are too many."""
        times = (g.prefill_s, g.decode_s)
        told = msgspec.json.encode(trust)
        self._kept[key] = _Kept(g.text, array("i", g.token_ids), g.finish_reason, *times, g.n_prompt, told)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def recall(self, key: Key) -> tuple[Generation, Trust | None] | None:
        """The answer as it was with how far to trust it, or None."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        times = (0.0, kept.prefill_s, kept.decode_s)
        generation = Generation(kept.text, tuple(kept.token_ids), kept.finish_reason, *times, n_prompt=kept.n_prompt)
        return generation, msgspec.json.decode(kept.trust, type=Trust | None)
