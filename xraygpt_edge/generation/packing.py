"""Spans into batches, and the length of a context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xraygpt_edge.generation.llama import Span

N_BATCH = 512
"""Positions in one decode, llama.cpp's own default for the physical batch."""
CONTEXT_STEP = 256
"""A context is made for the request, rounded up to this, as llama.cpp itself does."""


def padded(n_tokens: int) -> int:
    """Round up to the length of a context that has room for so many tokens."""
    return -(-n_tokens // CONTEXT_STEP) * CONTEXT_STEP


def packed(spans: Sequence[Span], n_batch: int) -> Iterator[list[Span]]:
    """Put spans, none longer than n_batch, into batches of at most n_batch positions.

    None is cut: llama.cpp computes sequences together as far as the shortest of them goes, so half a prompt would
    slow all down. Those of a batch are of one kind.
    """
    batch: list[Span] = []
    room = n_batch
    for span in spans:
        if batch and (room < len(span.content) or span.kind != batch[0].kind):
            yield batch
            batch, room = [], n_batch
        batch.append(span)
        room -= len(span.content)
    if batch:
        yield batch
