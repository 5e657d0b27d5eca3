"""Every sequence of one model: admitted, given a slot with what it shares, computed step by step, ended.

A step closes the gap between the tokens that are computed and the tokens that are wanted. What a template puts before
the image is computed once where several sequences run, and each has a copy; one alone computes all of its prompt in
one decode, so that the same request has the same last bits whoever came before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Many
from dataclasses import dataclass, field

from xraygpt_edge import devices
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import UsageError
from xraygpt_edge.generation.capacity import ONE_AT_A_TIME, Capacity, slots_for
from xraygpt_edge.generation.context_tokens import ContextTokens, Keys, agreeing
from xraygpt_edge.generation.decoding import Decoding, RunningDecode, Spent
from xraygpt_edge.generation.drafter import Drafter, DraftPrice, NGrams
from xraygpt_edge.generation.embedding_table import EmbeddingTable
from xraygpt_edge.generation.llama import FORKS, LlamaContext, LlamaModel
from xraygpt_edge.generation.packing import N_BATCH, padded
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.generation.saved_starts import SavedStarts
from xraygpt_edge.generation.sequence import AnswerSequence, Continued, Sequence
from xraygpt_edge.generation.slots import Pins, Slots

LARGE_BYTES = 100_000_000
"""Of the weights. A token of a smaller model takes less than a millisecond: keeping track of drafts costs more than
they save (the demonstration's answers took 1.01 to 1.2 times as long), and so does a saved start of the prompt."""


@dataclass(frozen=True, slots=True)
class CoreOptions:
    """How a model is used; none of it changes what is asked."""

    capacity: Capacity = ONE_AT_A_TIME
    n_ctx: int = 2048
    """Most tokens of a prompt and its answer: what the model was trained with, or less."""
    n_batch: int = N_BATCH
    phrases: tuple[str, ...] = ()
    """What answers often say, to draft from."""
    starts: SavedStarts | None = None
    """Where the constant start of a prompt is kept from one process to the next."""
    control_tokens: tuple[str, ...] = ()
    """Those that prompts name; a vocabulary that lacks one is refused when it is loaded."""
    space_after_control: bool = True
    """Whether the tokenizer puts its leading space behind a control token too."""
    thinking: tuple[str, ...] = ()
    """The two control tokens between which the model thinks aloud, where it does: that is not shown."""


DEFAULT = CoreOptions()


@dataclass(slots=True)
class Core:
    """The one place that decodes; used by one thread, but for `running_decode`."""

    model: LlamaModel
    table: EmbeddingTable
    device: Device
    options: CoreOptions
    spent: Spent = field(default_factory=Spent)
    running_decode: RunningDecode = field(default_factory=RunningDecode)
    pins: Pins = field(default_factory=Pins)
    waiting: deque[Sequence] = field(default_factory=deque)
    running: list[Sequence] = field(default_factory=list)
    _decoding: Decoding | None = None
    _beside: Decoding | None = None
    """A context of one for continuations, where the slots of several have no forks."""
    _price: DraftPrice = field(default_factory=DraftPrice)
    _phrases: NGrams = field(init=False)
    _most_slots: int = field(init=False)
    _n_batch: int = field(init=False)
    """Positions in one decode: the options', and as many as a block has that came."""

    def __post_init__(self) -> None:
        self.model.space_after_control = self.options.space_after_control
        for text in self.options.control_tokens:
            self.model.control_token(text)
        self.model.thinking = tuple(map(self.model.control_token, self.options.thinking))
        self.draft_from([self.model.tokenize(text) for text in self.options.phrases])
        self._most_slots = max(self.options.capacity.n_slots, self.options.capacity.most_slots)
        self._n_batch = self.options.n_batch

    @property
    def n_ctx(self) -> int:
        """Tokens of context that each slot has; 0 before the first request."""
        return self._decoding.slots.context.n_ctx if self._decoding else 0

    @property
    def n_slots(self) -> int:
        """Sequences that can run at once; before the first request, to begin with."""
        return len(self._decoding.slots) if self._decoding else self.options.capacity.n_slots

    @property
    def draft_price(self) -> float:
        """What a drafted token costs here, as a share of a decode of one; 0 before it was measured."""
        return self._price.per_token

    def forks(self, n_longest: int) -> bool:
        """Whether what continues one prefix can be computed together; n_longest: tokens of the longest of them."""
        return max(FORKS, n_longest) < self.options.n_batch

    @property
    def prompt_progress(self) -> tuple[int, int]:
        """Tokens computed, and tokens in all, of the first prompt that is being computed; (0, 0) without one."""
        under_way = [sequence for sequence in self.running if sequence.n_missing and not sequence.ended]
        return (under_way[0].slot.n_computed, len(under_way[0].tokens)) if under_way else (0, 0)

    @property
    def most_tokens(self) -> int:
        """Of a prompt and its answer."""
        return min(self.options.n_ctx, self.model.n_ctx_train)

    @property
    def busy(self) -> bool:
        """Something is to be computed."""
        return bool(self.waiting or self.running)

    def drafts(self, sampling: Sampling) -> bool:
        """Whether drafts may be decoded: greedy, and the model is large enough and not repacked."""
        is_greedy = sampling.draft and sampling.temperature == 0
        return is_greedy and self._is_large and not self.model.repacked

    def draft_from(self, texts: Many[Many[int]]) -> None:
        """Draft from these token ids, beside the question and the answer itself."""
        self._phrases = NGrams(texts)

    def step(self) -> None:
        """End what is not wanted, admit what fits, and compute once more for everybody."""
        self._end_unwanted()
        self._close_gaps()  # who comes enters behind all others
        self._admit()
        self._close_gaps()
        self._compute()
        self._settle()

    def close(self) -> None:
        """Give the memory back."""
        for decoding in self._decodings:
            decoding.slots.context.close()
        self._decoding = self._beside = None
        self.model.close()

    @property
    def _decodings(self) -> list[Decoding]:
        return [decoding for decoding in (self._decoding, self._beside) if decoding]

    def _compute(self) -> None:
        """One decode of continuations, and once more for everybody else."""
        others = [sequence for sequence in self.running if not sequence.is_forked]
        for sequence in self.running:
            if isinstance(sequence, Continued) and sequence.is_forked and not sequence.ended:
                self._home(sequence).forks(sequence)
        if self._decoding and others:
            self._decoding.compute(others, may_draft=not self.waiting)

    def _close_gaps(self) -> None:
        if self._decoding:
            self._decoding.slots.close_gaps()

    def end_all(self, error: BaseException) -> None:
        """Fail everybody who is here."""
        for sequence in [*self.waiting, *self.running]:
            if not sequence.ended:
                sequence.fail(error)
        self.waiting.clear()
        self._settle()

    # Who comes and who goes

    def _end_unwanted(self) -> None:
        for sequence in [*self.waiting, *self.running]:
            if sequence.stopping or sequence.deadline.remaining_s() == 0.0:
                sequence.finish(sequence.stopping or "timeout")
        self.waiting = deque(sequence for sequence in self.waiting if not sequence.ended)
        self._settle()

    def _settle(self) -> None:
        """Take back the slots of those who have ended; only what may be shared stays in them."""
        ended = [sequence for sequence in self.running if sequence.ended]
        self.running = [sequence for sequence in self.running if not sequence.ended]
        for sequence in ended:
            if sequence.keeps is not None:
                sequence.keeps.tokens = sequence.kept()
                self.pins.add(sequence.keeps)
            kept = sequence.tokens.n_start if self._shares_starts else 0
            self._home(sequence).slots.release(sequence.slot, kept)
        for decoding in self._decodings:
            if decoding.poisoned and not any(self._home(sequence) is decoding for sequence in self.running):
                decoding.slots.clear()
                decoding.poisoned = False

    def _admit(self) -> None:
        while self.waiting:
            sequence = self.waiting[0]
            try:
                if not self._make_room(sequence):
                    return
                self._begin(sequence)
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever asked
                sequence.fail(error)
            self.waiting.popleft()

    # Room

    def reserve(self, capacity: Capacity) -> None:
        """Make room for so many sequences of such a length now; raises ValueError while something runs."""
        if self.busy:
            raise ValueError("room is made before the first request")
        if capacity.n_ctx > self.most_tokens:
            raise UsageError("E-USE-008", f"{capacity.n_ctx} tokens, the model takes {self.most_tokens}")
        self._most_slots = capacity.most_slots
        self._decoding = self._grown(padded(capacity.n_ctx), capacity.n_slots)

    def _make_room(self, sequence: Sequence) -> bool:
        """Whether a slot is free that is long enough; a larger context is made once nothing runs any more.

        Raises UsageError when the request can never fit, ResourceExhausted when memory does not allow it.
        """
        n_ctx = self._needed(sequence)
        if self._goes_beside(sequence):
            return self._is_beside_ready(max(n_ctx, padded(sequence.n_cells)))
        n_ctx = max(n_ctx, self.n_ctx, self.options.capacity.n_ctx)
        n_slots = self.n_slots
        crowded = n_slots < self._most_slots and self._n_pressing > n_slots
        if crowded or (self._decoding and n_ctx > self.n_ctx):
            n_slots = self._affordable_slots(n_ctx)
        is_too_small = self._decoding and self._decoding.slots.context.n_batch < self._n_batch
        if self._decoding is None or is_too_small or (n_slots, n_ctx) != (self.n_slots, self.n_ctx):
            if self.running:
                return False
            self._decoding = self._grown(n_ctx, n_slots)
        return self._decoding.slots.free > 0

    @property
    def _n_pressing(self) -> int:
        """Requests that a larger context would be made for."""
        return sum(not sequence.is_patient for sequence in (*self.running, *self.waiting))

    def _needed(self, sequence: Sequence) -> int:
        """Tokens of context for a request."""
        tokens = sequence.prepare(self.model)
        if len(tokens) + sequence.room > self.most_tokens:
            what = f"prompt {len(tokens) - tokens.n_image} + image {tokens.n_image} + answer {sequence.room} tokens"
            raise UsageError("E-USE-008", f"{what}, the model takes {self.most_tokens}")
        self._n_batch = max(self._n_batch, *map(len, tokens.blocks), 0)
        return padded(len(tokens) + sequence.room)

    def _affordable_slots(self, n_ctx: int) -> int:
        """Slots for all who are here, as far as memory allows; where it allows no more, it is not asked again."""
        cache_bytes = self.n_slots * self.n_ctx * self.model.kv_bytes if self._decoding else 0
        free_bytes = devices.available_memory_bytes() + cache_bytes
        here = self._n_pressing
        wanted = self.n_slots if here <= self.n_slots else min(self._most_slots, max(2 * self.n_slots, here))
        n_slots = slots_for(self.model, self.device, n_ctx, free_bytes, wanted)
        if n_slots < wanted:
            self._most_slots = n_slots
        return n_slots

    def _grown(self, n_ctx: int, n_slots: int) -> Decoding:
        """A larger context. One of as many slots still holds what is pinned; llama.cpp moves no states to others."""
        kept = list(self._decoding.slots.pinned()) if self._decoding and n_slots == self.n_slots else []
        if self._decoding:
            self._decoding.slots.context.close()
            self._decoding = None
        context = LlamaContext(self.model, n_ctx, self._n_batch, self.device.threads, n_slots)
        slots = Slots(context, n_slots, self.pins)
        for keys, state in kept:
            slots.restore(keys, state)
        return Decoding(slots, self.table, self.running_decode, self._price, self.spent)

    # Beside the slots

    def _goes_beside(self, sequence: Sequence) -> bool:
        """Whether it is computed in the context of forks: several continuations, while slots have no forks."""
        return sequence.is_forked and self.n_slots > 1

    def _home(self, sequence: Sequence) -> Decoding:
        """Where a sequence that runs is computed."""
        decoding = self._beside if self._goes_beside(sequence) else self._decoding
        if decoding is None:
            raise ValueError("no context")
        return decoding

    def _is_beside_ready(self, n_ctx: int) -> bool:
        """Whether the context of forks is free; it is made when it is first needed, or too short.

        What it is to take over of the slots can be read once copies that are pending have been made.
        """
        if any(map(self._goes_beside, self.running)):
            return False
        if self._decoding and self._decoding.slots.context.copies_pending and self.running:
            return False
        n_batch = min(self._n_batch, n_ctx)
        there = self._beside.slots.context if self._beside else None
        if there is None or there.n_ctx < n_ctx or there.n_batch < n_batch:
            if self._beside:
                self._beside.slots.context.close()
                self._beside = None
            context = LlamaContext(self.model, n_ctx, n_batch, self.device.threads)
            self._beside = Decoding(
                Slots(context, 1, self.pins), self.table, self.running_decode, self._price, self.spent
            )
        return True

    def _take_over(self, decoding: Decoding, sequence: Sequence, keys: Keys) -> None:
        """Copy what a slot of another context holds of a beginning: not a bit of it changes."""
        if self._decoding is None or self._decoding is decoding:
            return
        source = self._decoding.slots.holding(keys)
        length = agreeing(source.keys, keys)
        state = self._decoding.slots.state_alone(source) if length > sequence.slot.n_computed else None
        if state:
            decoding.slots.replace(sequence.slot, source.keys, state)
            decoding.slots.cut(sequence.slot, min(length, sequence.slot.n_computed))

    # What is shared

    @property
    def _is_large(self) -> bool:
        return self.model.size_bytes >= LARGE_BYTES

    @property
    def _saves_starts(self) -> bool:
        """Only where one is answered at a time: among several, the start is computed once for all."""
        return self.options.starts is not None and self._is_large and self.n_slots == 1

    @property
    def _shares_starts(self) -> bool:
        """Whether the constant start of a prompt is a decode of its own, for all who begin with it."""
        return self.n_slots > 1 or self._saves_starts

    def _begin(self, sequence: Sequence) -> None:
        """Give a sequence its slot, with what it shares computed."""
        decoding = self._home(sequence)
        tokens, after = sequence.tokens, self._met(sequence.after)
        most = len(tokens) - max(1, sequence.n_logits)  # what its own logits come from is its own
        most = tokens.outside_blocks(most)
        start = min(most, tokens.n_start) if self._shares_starts else 0
        shared = max(start, min(most, agreeing(after.keys, tokens.keys)) if after else 0)
        self._met(sequence.leaves)
        if sequence.is_patient and decoding is self._decoding:
            decoding.slots.put_aside(tokens.keys[:shared])
        sequence.enter(decoding.slots.claim(tokens.keys[:shared]))
        self.running.append(sequence)
        self._take_over(decoding, sequence, tokens.keys[:shared])
        if isinstance(sequence, AnswerSequence) and self.drafts(sequence.request.sampling):
            sequence.drafter = Drafter(self._price, self._phrases, NGrams([tokens.last_run]))
        if self._saves_starts and sequence.slot.n_computed < start:
            self._take_saved(decoding, sequence, start)
        decoding.prompt(sequence, start)
        decoding.prompt(sequence, shared)

    def _met(self, prefix: Prefix | None) -> ContextTokens | None:
        """What a prefix stands for; from now on it is kept."""
        if prefix is None:
            return None
        self.pins.add(prefix)
        return prefix.prepare(self.model)

    def _take_saved(self, decoding: Decoding, sequence: Sequence, start: int) -> None:
        """The constant start as an earlier process computed it; else it is computed, and saved."""
        slot, starts, keys = sequence.slot, self.options.starts, sequence.tokens.keys[:start]
        if starts is None:
            return
        state = starts.read(keys)
        decoding.slots.cut(slot, 0)
        if state is not None and decoding.slots.context.restore(slot.number, state):
            slot.keys = keys
            return
        decoding.slots.cut(slot, 0)
        decoding.prompt(sequence, start)
        if slot.n_computed == start:
            starts.write(keys, decoding.slots.context.state(slot.number))
