"""Many radiographs in one llama.cpp context: a sequence that ends makes room for the next at once.

The constant start of the prompt is computed once; each of several sequences has a copy that stays when its answer
goes. One alone computes all of its prompt, as for a single question. Prompts of all new sequences go in one decode,
the next token of all others in another. llama.cpp computes only neighbours together and reads all weights again behind
a gap, so the last sequence moves where one has ended, and new ones come behind all others.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.decoder import N_BATCH, Decoder, PromptIds, chooser, padded
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, UnusableOutput, UsageError
from xraygpt_edge.generation.embedding_table import TokenRows
from xraygpt_edge.generation.llama import LlamaContext, LlamaModel, Span
from xraygpt_edge.generation.request import Sampling, Token

PER_THREAD = 16
"""Sequences that one CPU thread answers at the same time. llama.cpp multiplies 16 columns at a time and unpacks the
weights once for all: two threads and 1.1 billion weights give 37, 95, 117 tokens/s with 1, 16, 32 of them."""
MAX_SEQUENCES = 64
CACHE_SHARE = 0.5
"""Of the memory that is free once the weights are loaded; the rest is for pictures and the system."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How long prompts and answers of a job are: the context is made for it."""

    before: tuple[int, ...]
    """Token ids in front of the image, the same for every request."""
    n_rows: int
    n_after: int
    """Most token ids behind the image."""
    max_tokens: int

    @property
    def positions(self) -> int:
        """Of a whole prompt and its answer."""
        return len(self.before) + self.n_rows + self.n_after + self.max_tokens


@dataclass(slots=True)
class _Active:
    """A sequence that is being answered."""

    name: Hashable
    choose: Callable[[NDArray[np.float32]], int]
    position: int
    """Of the next token to decode."""
    prompt: NDArray[np.float32]
    """Rows to decode first, without what each place keeps."""
    last_token: int | None = None
    """To decode next; None until the prompt is computed."""


@dataclass(slots=True)
class Spent:
    """Seconds in llama.cpp."""

    prompt_s: float = 0.0
    decode_s: float = 0.0


@dataclass(slots=True)
class ParallelDecoder:
    """A context with room for some sequences; each is answered as if it were alone."""

    model: LlamaModel
    words: TokenRows
    shape: Shape
    places: int
    context: LlamaContext
    n_batch: int = N_BATCH
    spent: Spent = field(default_factory=Spent)
    _active: dict[int, _Active] = field(default_factory=dict)
    """Sequence number → what it answers: no gaps while a step computes, the last to come at the end."""
    _coming: list[_Active] = field(default_factory=list)
    """Without a place until the next step."""

    @classmethod
    def create(
        cls, single: Decoder, device: Device, shape: Shape, places: int, n_batch: int = N_BATCH
    ) -> ParallelDecoder:
        """Make the context and compute the start of the prompt; raises UsageError when a request cannot fit."""
        model = single.model
        needed, most = shape.positions, single.n_ctx_most
        if needed > most:
            raise UsageError("E-USE-008", f"prompt, image and answer take {needed} positions, the model takes {most}")
        context = LlamaContext(model, padded(needed), n_batch, device.threads, places)
        decoder = cls(model, single.words, shape, places, context, n_batch)
        if decoder.kept:
            decoder._decode_all([Span(single.words.of(shape.before), 0)])
            for number in range(1, places):
                context.copy(0, number)
        return decoder

    @property
    def kept(self) -> int:
        """Positions that a sequence keeps from one request to the next: the prompt's constant start."""
        return len(self.shape.before) if self.places > 1 else 0

    @property
    def free(self) -> int:
        """Sequences that can be added now."""
        return self.places - self.busy

    @property
    def busy(self) -> int:
        """Sequences that are being answered."""
        return len(self._active) + len(self._coming)

    def add(self, name: Hashable, ids: PromptIds, rows: NDArray[np.float32], sampling: Sampling) -> None:
        """Take a request; its first token comes with the next step. Raises UnusableOutput for NaN in the rows."""
        wanted = (self.shape.n_rows, self.model.n_embd)
        if rows.shape != wanted or rows.dtype != np.float32:
            raise BundleIncompatible("E-BND-021", f"rows {rows.shape} {rows.dtype}, the language model takes {wanted}")
        if not np.isfinite(rows).all():
            raise UnusableOutput("E-RUN-031", "in the image rows")
        if ids.before != self.shape.before or len(ids.after) > self.shape.n_after:
            raise ValueError("a prompt of another shape than the context was made for")
        if not self.free:
            raise ValueError(f"all {self.places} places are taken")
        prompt = np.concatenate([self.words.of(ids.before[self.kept :]), rows, self.words.of(ids.after)])
        self._coming.append(_Active(name, chooser(sampling), self.kept + len(prompt), prompt))

    def step(self) -> Iterator[tuple[Hashable, Token | UnusableOutput]]:
        """One more token for every sequence; who has ended must be dropped before the next step."""
        began = monotonic()
        self._close_gaps()
        logits = self._decode_all(list(self._seat()))
        between = monotonic()
        logits |= self._decode_all(list(self._next_tokens()))
        self.spent.prompt_s += between - began
        self.spent.decode_s += monotonic() - between
        for number, values in logits.items():
            yield self._active[number].name, self._choose(self._active[number], values)

    def drop(self, name: Hashable) -> None:
        """Forget a request, so that nothing of it reaches the next one in its place."""
        self._coming = [coming for coming in self._coming if coming.name != name]
        for number in [number for number, active in self._active.items() if active.name == name]:
            del self._active[number]
            self.context.forget_from(self.kept, number)

    def close(self) -> None:
        """Give the cache's memory back."""
        self.context.close()

    def _close_gaps(self) -> None:
        """Move the last sequences to where others have ended: a copy in the cache, not a bit of it changes."""
        gaps = [number for number in range(len(self._active)) if number not in self._active]
        for gap, last in zip(gaps, sorted(self._active, reverse=True), strict=False):
            self.context.copy(last, gap)
            self.context.forget_from(self.kept, last)
            self._active[gap] = self._active.pop(last)

    def _seat(self) -> Iterator[Span]:
        """Give those who come the places behind all others; their prompts."""
        for number, coming in enumerate(self._coming, len(self._active)):
            self._active[number] = coming
            yield Span(coming.prompt, self.kept, number, wants_logits=True)
        self._coming = []

    def _next_tokens(self) -> Iterator[Span]:
        """The last token of every sequence that has one."""
        for number, active in self._active.items():
            if active.last_token is not None:
                yield Span(np.array([active.last_token], np.int32), active.position, number, wants_logits=True)
                active.position += 1

    def _choose(self, active: _Active, logits: NDArray[np.float32]) -> Token | UnusableOutput:
        if not np.isfinite(logits).all():
            return UnusableOutput("E-RUN-031", "in the logits")
        token = active.last_token = active.choose(logits)
        is_end = self.model.is_end(token)
        return Token(token, b"" if is_end else self.model.piece(token), is_end)

    def _decode_all(self, spans: Sequence[Span]) -> dict[int, NDArray[np.float32]]:
        """Decode spans in as few batches as hold them; logits of those that want them, by sequence."""
        found: dict[int, NDArray[np.float32]] = {}
        for batch in packed(sorted(spans, key=lambda span: span.sequence), self.n_batch):
            self.context.decode(batch)
            for span, end in zip(batch, accumulate(len(span.content) for span in batch), strict=True):
                if span.wants_logits:
                    found[span.sequence] = self.context.logits(end - 1)
        return found


def packed(spans: Sequence[Span], n_batch: int) -> Iterator[list[Span]]:
    """Spans in batches of at most n_batch positions; only a longer span is cut, and only its end wants logits.

    llama.cpp computes sequences together as far as the shortest of them goes, so half a prompt would slow all down.
    """
    batch: list[Span] = []
    room = n_batch
    for span in spans:
        if batch and room < len(span.content) <= n_batch:
            yield batch
            batch, room = [], n_batch
        at = 0
        while at < len(span.content):
            part = span.content[at : at + room]
            is_end = at + len(part) == len(span.content)
            batch.append(Span(part, span.start + at, span.sequence, span.wants_logits and is_end))
            at, room = at + len(part), room - len(part)
            if room == 0:
                yield batch
                batch, room = [], n_batch
    if batch:
        yield batch


def places_for(model: LlamaModel, device: Device, shape: Shape, free_bytes: int, requests: int) -> int:
    """How many sequences memory and cores allow, and no more than there are requests; one in any case."""
    by_memory = int(CACHE_SHARE * free_bytes) // (padded(shape.positions) * model.kv_bytes)
    return max(1, min(PER_THREAD * device.threads, MAX_SEQUENCES, by_memory, requests))
