"""How many sequences one context holds, and how long each may become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from xraygpt_edge.devices import Device
from xraygpt_edge.generation.packing import padded

PER_THREAD = 16
"""Sequences that one CPU thread answers at the same time. llama.cpp multiplies 16 columns at a time and unpacks the
weights once for all: two threads and 1.1 billion weights give 37, 95, 117 tokens/s with 1, 16, 32 of them."""
MAX_SLOTS = 64
CACHE_SHARE = 0.5
"""Of the memory that is free once the weights are loaded; the rest is for pictures and the system."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Slots of a context; each is a sequence that can be computed beside others."""

    n_slots: int = 1
    """To begin with."""
    most_slots: int = 1
    """When more requests wait than there are slots, a larger context is made, up to this and to what memory allows."""
    n_ctx: int = 0
    """Tokens that each slot has room for at least; it grows with the requests."""


ONE_AT_A_TIME = Capacity()
SHARED = Capacity(most_slots=7)
"""For a model that several threads ask: a second slot is made when a second question waits. Up to 7 tokens in one
decode have the same last bits as one (see `docs/log.md`), and 8 take a third longer than 7."""


class Cached(Protocol):
    """A language model, as far as room for its sequences goes."""

    @property
    def kv_bytes(self) -> int:
        """Bytes of cache per position."""


@dataclass(frozen=True, slots=True)
class KnownCache:
    """A language model that is not loaded: what its file says."""

    kv_bytes: int


def slots_for(model: Cached, device: Device, n_tokens: int, free_bytes: int, requests: int) -> int:
    """How many slots memory and cores allow, and no more than there are requests; one in any case.

    n_tokens: of a prompt with its answer.
    """
    by_memory = int(CACHE_SHARE * free_bytes) // (padded(n_tokens) * model.kv_bytes)
    return max(1, min(PER_THREAD * device.threads, MAX_SLOTS, by_memory, requests))
