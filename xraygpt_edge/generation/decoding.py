"""What one step computes: prompts of newcomers in one decode, the next token of all others in another."""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from threading import RLock

import numpy as np

from xraygpt_edge.errors import UnusableOutput
from xraygpt_edge.generation.drafter import Drafter, DraftPrice
from xraygpt_edge.generation.embedding_table import EmbeddingTable
from xraygpt_edge.generation.forks import ROWS, Fork, Run, fitting, gathered, tree
from xraygpt_edge.generation.llama import Aborted, LlamaContext, Span
from xraygpt_edge.generation.packing import packed
from xraygpt_edge.generation.sequence import AnswerSequence, Continued, Logits, Sequence
from xraygpt_edge.generation.slots import Slots


@dataclass(slots=True)
class Spent:
    """Seconds in llama.cpp."""

    prompt_s: float = 0.0
    decode_s: float = 0.0
    decodes: int = 0
    """Of tokens behind prompts."""
    steps: int = 0
    """Signs of life: each is one decode of prompts, of tokens, or of both."""


class RunningDecode:
    """The decode that runs and whose it is, so that it can be cancelled when nobody wants it; any thread may ask."""

    def __init__(self) -> None:
        self._lock = RLock()  # an answer that nobody reads may be collected, and so cancelled, at any moment
        self._shut = False
        self._context: LlamaContext | None = None
        self._sequences: Many[Sequence] = ()

    def begin(self, context: LlamaContext, sequences: Many[Sequence]) -> None:
        """Note what is computed next; raises Aborted when nobody wants it any more."""
        with self._lock:
            if self._shut or all(sequence.stopping for sequence in sequences):
                raise Aborted
            context.resume()
            self._context, self._sequences = context, sequences

    def end(self) -> None:
        """Note that no decode runs."""
        with self._lock:
            self._context, self._sequences = None, ()

    def cancel_if_unwanted(self) -> None:
        """Cancel the decode that runs if all its sequences are to stop."""
        with self._lock:
            if self._context and all(sequence.stopping for sequence in self._sequences):
                self._context.cancel()

    def shut(self) -> None:
        """Cancel the decode that runs, and let no other begin."""
        with self._lock:
            self._shut = True
            if self._context:
                self._context.cancel()


@dataclass(slots=True)
class Decoding:
    """Decodes over the slots of one context; used by the scheduler's thread."""

    slots: Slots
    table: EmbeddingTable
    running_decode: RunningDecode
    price: DraftPrice
    spent: Spent
    poisoned: bool = field(default=False)
    """NaN was computed, and may lie in the cache."""

    def compute(self, running: Many[Sequence], *, may_draft: bool) -> None:
        """Compute what all sequences want next; one whose decode was cancelled holds what it held before.

        Newcomers' prompts come first; when others are in the middle of an answer, only one decode of prompts.
        """
        under_way = any(sequence.is_under_way for sequence in running)
        self.spent.steps += 1
        try:
            if not self._prompts(running) or under_way:
                self._next_tokens(running, may_draft=may_draft)
        except Aborted:
            self._forget_unfinished(running)

    def prompt(self, sequence: Sequence, end: int) -> None:
        """Compute a sequence's prompt up to a position, in decodes of its own; between them its time may run out."""
        began_s = time.monotonic()
        try:
            while sequence.slot.n_computed < end and not sequence.ended:
                self._decode([sequence], [self._prompt_span(sequence, end)])
                if sequence.deadline.remaining_s() == 0.0:
                    sequence.finish("timeout")
        except Aborted:
            self._forget_unfinished([sequence])
        self.spent.prompt_s += time.monotonic() - began_s

    def forks(self, sequence: Continued) -> None:
        """Compute continuations of what a sequence holds: as many of those that are left as fit into one decode."""
        began_s, context, start = time.monotonic(), self.slots.context, sequence.slot.n_computed
        self.spent.steps += 1
        some = fitting(sequence.left, start, min(ROWS, context.n_batch, context.n_ctx - start))
        runs = tree(some, start)
        context.fork(start, len(some))
        try:
            found = self._all_computed(sequence, [self._fork_span(some, run) for run in runs])
        except Aborted:
            found = []
        context.forget_forks()
        if found and self._are_numbers(sequence, np.concatenate(found)):
            sequence.take_forks([gathered(fork, some, runs, found) for fork in range(len(some))])
        self.spent.prompt_s += time.monotonic() - began_s

    def _fork_span(self, forks: Many[Fork], run: Run) -> Span:
        """Positions that some forks share; the first sequence is what they continue."""
        first, *others = (1 + fork for fork in run.forks)
        tokens = forks[run.forks[0]].tokens
        content = tokens.embeddings(self.table, run.start, run.end)
        n_logits = max(forks[fork].wanted(run) for fork in run.forks)
        return Span(content, run.start, first, n_logits, tuple(others), tokens.is_block(run.start))

    def _all_computed(self, sequence: Sequence, spans: Many[Span]) -> list[Logits]:
        """Logits of each span of one sequence, in as many decodes as there must be; none when one failed."""
        found: list[Logits] = []
        for batch in packed(spans, self.slots.context.n_batch):
            logits = self._computed([sequence], batch)
            if not logits:
                return []
            found += logits
        return found

    def _prompts(self, running: Many[Sequence]) -> bool:
        """Decode as many prompts as fit into one batch; whether others are left."""
        began_s = time.monotonic()
        missing = by_slot(sequence for sequence in running if sequence.n_missing and not sequence.ended)
        spans = [self._prompt_span(sequence, len(sequence.tokens)) for sequence in missing]
        batch = next(packed(spans, self.slots.context.n_batch), [])
        for sequence, logits in self._decode(missing[: len(batch)], batch):
            sequence.collect(logits)
        self.spent.prompt_s += time.monotonic() - began_s
        return any(sequence.n_missing for sequence in missing if not sequence.ended)

    def _prompt_span(self, sequence: Sequence, end: int) -> Span:
        """The next part of a prompt, up to `end` at most, with the logits that are wanted of it."""
        tokens, start = sequence.tokens, sequence.slot.n_computed
        end = tokens.decode_end(start, min(end, start + self.slots.context.n_batch))
        n_logits = max(0, min(end - start, sequence.n_logits - (len(tokens) - end)))
        content, is_block = tokens.embeddings(self.table, start, end), tokens.is_block(start)
        return Span(content, start, sequence.slot.number, n_logits, is_whole_image=is_block)

    def _next_tokens(self, running: Many[Sequence], *, may_draft: bool) -> None:
        """Decode the next token of everybody whose prompt is computed; one alone may have a draft behind it."""
        began_s = time.monotonic()
        answering = by_slot(sequence for sequence in running if not sequence.n_missing and not sequence.ended)
        drafter = answering[0].drafter if may_draft and len(answering) == len(running) == 1 else None
        if drafter and isinstance(answering[0], AnswerSequence):
            self._drafted(answering[0], drafter)
        else:
            for sequence, logits in self._decode(answering, [_token_span(s, s.wanted) for s in answering]):
                sequence.take(logits[-1])
        self.spent.decode_s += time.monotonic() - began_s
        self.spent.decodes += 1

    def _drafted(self, sequence: AnswerSequence, drafter: Drafter) -> None:
        """Decode the next token and a draft: what the model would have said itself is kept, and one token more."""
        draft = drafter.draft(sequence.n_left - 1)
        began_s, position = time.perf_counter(), sequence.slot.n_computed
        following = self._verified(sequence, [*sequence.wanted, *draft])
        self.price.learn(len(draft), time.perf_counter() - began_s)
        drafter.learn(len(draft), len(following) - 1)
        self.slots.cut(sequence.slot, position + len(following))
        for logits in following:
            if not sequence.ended:
                sequence.take(logits)

    def _verified(self, sequence: AnswerSequence, ids: list[int]) -> list[Logits]:
        """Logits behind a token, and behind what is right of the draft that follows it."""
        position, following = sequence.slot.n_computed, list[Logits]()
        for index, logits in enumerate(self._logits_behind(sequence, ids)):
            unsure = len(ids) > 1 and sequence.is_unsure(logits)
            if unsure:  # ask as without a draft
                self.slots.cut(sequence.slot, position + index)
                following += self._logits_behind(sequence, ids[index : index + 1])
            else:
                following.append(logits)
            if unsure or [sequence.would_choose(logits, index)] != ids[index + 1 : index + 2]:
                break
        return following

    def _logits_behind(self, sequence: AnswerSequence, ids: list[int]) -> Many[Logits]:
        return [row for _, rows in self._decode([sequence], [_token_span(sequence, ids)]) for row in rows]

    def _decode(self, sequences: Many[Sequence], spans: Many[Span]) -> list[tuple[Sequence, Logits]]:
        """Compute a span of each sequence; who cannot be computed fails, the others are returned with their logits.

        Raises Aborted.
        """
        found = zip(sequences, spans, self._computed(sequences, spans), strict=False)
        return [(sequence, logits) for sequence, span, logits in found if self._noted(sequence, span, logits)]

    def _computed(self, sequences: Many[Sequence], spans: Many[Span]) -> list[Logits]:
        """Logits of each span; none when the decode failed, which is told to every sequence. Raises Aborted."""
        if not spans:
            return []
        self.running_decode.begin(self.slots.context, sequences)
        try:
            return self.slots.context.decode(spans)
        except Aborted:
            raise
        except Exception as error:  # noqa: BLE001 - it is told to everybody who was in this decode
            for sequence in sequences:
                sequence.fail(error)
            return []
        finally:
            self.running_decode.end()

    def _noted(self, sequence: Sequence, span: Span, logits: Logits) -> bool:
        """Note what the cache holds now; whether the logits are numbers."""
        is_text = span.content.ndim == 1
        keys = span.content if is_text else sequence.tokens.keys[span.start : span.start + len(span.content)]
        sequence.slot.keys = np.concatenate([sequence.slot.keys, keys])
        return self._are_numbers(sequence, logits)

    def _are_numbers(self, sequence: Sequence, logits: Logits) -> bool:
        """Whether logits are numbers; else the sequence fails, and the cache may hold what is none."""
        if np.isfinite(logits).all():
            return True
        self.poisoned = True
        sequence.fail(UnusableOutput("E-RUN-031", "in the logits"))
        return False

    def _forget_unfinished(self, running: Many[Sequence]) -> None:
        """After a cancelled decode the cache may hold a part of it."""
        for sequence in running:
            self.slots.cut(sequence.slot, sequence.slot.n_computed)


def by_slot(sequences: Iterable[Sequence]) -> list[Sequence]:
    """In the order in which llama.cpp computes neighbours together."""
    return sorted(sequences, key=lambda sequence: sequence.slot.number)


def _token_span(sequence: Sequence, ids: Many[int]) -> Span:
    """Token ids behind what is computed, with the logits behind each."""
    return Span(np.array(ids, np.int32), sequence.slot.n_computed, sequence.slot.number, len(ids))
