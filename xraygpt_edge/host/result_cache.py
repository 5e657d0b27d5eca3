"""Answers about images that come again: equal pixels are computed once."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.host.messages import Asking
from xraygpt_edge.records import FinishReason

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


class ResultCache:
    """The latest answers, by image and question; for one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    def keep(self, key: Key, g: Generation) -> None:
        """Remember an answer; the oldest one is forgotten when there are too many."""
        self._kept[key] = _Kept(g.text, array("i", g.token_ids), g.finish_reason, g.prefill_s, g.decode_s, g.n_prompt)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def recall(self, key: Key) -> Generation | None:
        """The answer as it was, or None."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        times = (0.0, kept.prefill_s, kept.decode_s)
        return Generation(kept.text, tuple(kept.token_ids), kept.finish_reason, *times, kept.n_prompt)
