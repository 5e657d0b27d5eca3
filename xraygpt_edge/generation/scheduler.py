"""The thread that owns llama.cpp: whoever wants an answer, a prefix or a score asks it, from any thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import groupby
from pathlib import Path
from queue import SimpleQueue
from threading import Event, RLock
from typing import Self

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible
from xraygpt_edge.generation import sequence as sequences
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.generation.context_tokens import tokenise
from xraygpt_edge.generation.core import DEFAULT, Core, CoreOptions
from xraygpt_edge.generation.decoding import RunningDecode, Spent
from xraygpt_edge.generation.embedding_table import EmbeddingTable
from xraygpt_edge.generation.llama import LlamaModel
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Prompt, Text
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.sampler import likeliest, log_probabilities, sampler
from xraygpt_edge.generation.sequence import AnswerSequence, Continued, GivenAnswer, Measurement
from xraygpt_edge.generation.spelling import Spelling
from xraygpt_edge.generation.stream import Stream
from xraygpt_edge.native import POLL_S, Deadline, NativeThread, wait
from xraygpt_edge.records import FinishReason


class Scheduler:
    """Every sequence of one language model. Safe to share: one thread decodes, any thread may ask or cancel.

    Each answer is computed as if it were alone, up to the last bits of sums in another order. What others ask is never
    visible in it: nothing is shared but a template's constant start and what a caller names as its prefix.
    """

    def __init__(
        self,
        path: Path,
        device: Device,
        options: CoreOptions,
        *,
        n_embd: int | None = None,
        architecture: str | None = None,
        repack: bool = False,
    ) -> None:
        """Begin to open a GGUF file, and return at once.

        n_embd: width that its embeddings must have; another would read past the image's. architecture: what it must be.
        repack: as in LlamaModel.
        """
        self._thread = NativeThread("scheduler")
        self._running_decode = RunningDecode()
        self._stepping = self._closed = self._held = False
        self._pausing = RLock()

        def load() -> Core:
            model = LlamaModel(path, device, repack=repack)
            if n_embd not in {None, model.n_embd}:
                raise BundleIncompatible("E-BND-021", f"manifest {n_embd}, language model {model.n_embd}")
            if architecture not in {None, model.architecture}:
                raise BundleIncompatible("E-BND-023", f"manifest {architecture}, language model {model.architecture}")
            table = EmbeddingTable(path, model.n_embd, model.word_scale)
            return Core(model, table, device, options, running_decode=self._running_decode)

        self._loading: Future[Core] = self._thread.start(load)

    @classmethod
    def load(cls, path: Path, device: Device, options: CoreOptions = DEFAULT, *, repack: bool = False) -> Self:
        """Open a GGUF file and wait until it is loaded; raises BundleIncompatible when llama.cpp cannot."""
        scheduler = cls(path, device, options, repack=repack)
        scheduler.wait_until_loaded()
        return scheduler

    # Facts

    def wait_until_loaded(self) -> None:
        """Wait for the weights; raises what loading raised."""
        wait(self._loading)

    @property
    def loaded(self) -> bool:
        """The weights are there."""
        return self._loading.done() and self._loading.exception() is None

    @property
    def model(self) -> LlamaModel:
        """What is known of the weights; its numbers may be read from any thread, its functions are the scheduler's."""
        return wait(self._loading).model

    @property
    def table(self) -> EmbeddingTable:
        """The embeddings of token ids."""
        return wait(self._loading).table

    @property
    def n_ctx(self) -> int:
        """Tokens of context that each sequence has now; 0 before the first request."""
        return wait(self._loading).n_ctx

    @property
    def n_slots(self) -> int:
        """Sequences that can run at once now."""
        return wait(self._loading).n_slots

    @property
    def prompt_progress(self) -> tuple[int, int]:
        """Tokens computed, and tokens in all, of the first prompt that is being computed; (0, 0) without one."""
        return self._loading.result().prompt_progress if self.loaded else (0, 0)

    @property
    def spent(self) -> Spent:
        """Seconds in llama.cpp so far."""
        return wait(self._loading).spent

    @property
    def draft_price(self) -> float:
        """What a drafted token costs here, as a share of a decode of one; 0 before it was measured."""
        return wait(self._loading).draft_price

    def drafts(self, sampling: Sampling) -> bool:
        """Whether drafts may be decoded for an answer that is alone."""
        return wait(self._loading).drafts(sampling)

    # What can be asked

    def submit(
        self, request: Request, after: Prefix | None = None, *, keep: bool = False, leaving: Prefix | None = None
    ) -> Stream:
        """Ask for an answer and return at once.

        after: a prefix whose tokens may be used as far as the prompt begins with them.
        keep: what is computed becomes a prefix, which `Stream.kept` returns.
        leaving: a beginning of the prompt that stays computed; unlike `after` it changes not a bit of the answer.
        """
        events: SimpleQueue[sequences.Event] = SimpleQueue()
        sequence = AnswerSequence(request, sampler(request.sampling), events.put, after)
        sequence.keeps = Prefix(request.prompt) if keep else None
        sequence.leaves = leaving
        self._enqueue(sequence)
        return Stream(sequence, events, self._stop, self._settled)

    def submit_telling(
        self,
        request: Request,
        tell: sequences.Tell,
        after: Prefix | None = None,
        leaving: Prefix | None = None,
        keep: Prefix | None = None,
    ) -> Callable[[], None]:
        """As `submit`, for a caller of many: `tell` is called from the scheduler's thread. Returns what cancels it.

        tell: called with each Piece, then with the Generation or the error; it must return at once.
        keep: a prefix of this prompt, which comes to stand for all that is computed.
        """
        sequence = AnswerSequence(request, sampler(request.sampling), tell, after)
        sequence.leaves, sequence.keeps = leaving, keep
        self._enqueue(sequence)
        return lambda: self._stop(sequence, "cancelled")

    def prefill(self, prompt: Prompt, deadline: Deadline | None = None) -> Prefix:
        """Compute a prompt, or its beginning, and keep it; raises what an answer would raise before its first token."""
        prefix = Prefix(prompt)
        measurement = Measurement(prompt, deadline or Deadline())
        measurement.keeps = prefix
        self._measured_all([measurement])
        self._settled()
        return prefix

    def score(
        self, pairs: Sequence[tuple[Prefix, Sequence[int]]], deadline: Deadline | None = None
    ) -> list[NDArray[np.float32]]:
        """Natural log-probabilities (n,) of given token ids behind a prefix, one array a pair.

        Pairs are computed together, as many as there are slots.
        """
        behind = self._logits_behind([(prefix, ids[:-1], len(ids)) for prefix, ids in pairs], deadline)
        return [
            log_probabilities(logits)[np.arange(len(ids)), np.array(ids, np.int64)]
            for logits, (_, ids) in zip(behind, pairs, strict=True)
        ]

    def first_logits(
        self, prompt: Prompt, deadline: Deadline | None = None, after: Prefix | None = None
    ) -> NDArray[np.float32]:
        """Logits (n_vocab,) of the first token behind a prompt."""
        return self._measured_all([Measurement(prompt, deadline or Deadline(), after)])[0][-1]  # type: ignore[no-any-return]

    def first_logits_behind(
        self, prefix: Prefix, continuations: Sequence[Sequence[int]], deadline: Deadline | None = None
    ) -> NDArray[np.float32]:
        """Logits (len(continuations), n_vocab) of the first token behind each; those that fit are computed together.

        continuations: token ids that stand behind the prefix.
        """
        found = self._logits_behind([(prefix, ids, 1) for ids in continuations], deadline)
        return np.concatenate(found) if found else np.empty((0, self.model.n_vocab), np.float32)

    def logits_along(self, prompt: Prompt, answer: Sequence[int]) -> NDArray[np.float32]:
        """Logits (len(answer) + 1, n_vocab): behind the prompt, and behind each token of a given answer.

        Each token is decoded alone, as a generated one is.
        """
        found: list[NDArray[np.float32]] = []
        self._replay([(_given(prompt, len(answer), draft=False), answer)], found.append)
        return np.stack(found)

    def replay(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], *, draft: bool = False) -> None:
        """Decode given answers, all that there are slots for at the same time, as generated ones are: to time it.

        draft: decode drafts where one is alone; one is right when it is what was given.
        """
        pairs = zip(prompts, answers, strict=True)
        self._replay([(_given(prompt, len(answer), draft=draft), answer) for prompt, answer in pairs], likeliest)

    def reserve(self, capacity: Capacity) -> None:
        """Make room for so many sequences of such a length now, before the first request.

        Raises UsageError when a sequence is longer than the model takes, ResourceExhausted without the memory.
        """
        core = wait(self._loading)
        self._thread.call(lambda: core.reserve(capacity))

    def draft_from(self, texts: Sequence[Sequence[int]]) -> None:
        """Take other token ids than the options' phrases to draft from."""
        core = wait(self._loading)
        self._thread.call(lambda: core.draft_from(texts))

    def token_ids(self, *texts: Text) -> tuple[list[int], ...]:
        """Token ids of each text, beginning-of-sequence before the first; waits for the border of a step."""
        core = wait(self._loading)
        tokens = self._thread.call(lambda: [tokenise(core.model, Prompt((text,))) for text in texts])
        return tuple(found.keys[number > 0 :].tolist() for number, found in enumerate(tokens))

    def pieces(self, token_ids: Sequence[int]) -> list[bytes]:
        """Bytes that each token id of an answer adds to its text, as they were when it was generated.

        Waits for the border of a step.
        """
        model = wait(self._loading).model
        return self._thread.call(lambda: list(map(Spelling(model).piece, token_ids)))

    def _enqueue(self, *asked: sequences.Sequence) -> None:
        try:
            self._thread.start(lambda: self._accept(asked))
        except RuntimeError as error:  # closed, or the interpreter ends
            for sequence in asked:
                sequence.fail(error)

    def _replay(
        self, given: Sequence[tuple[Request, Sequence[int]]], look: Callable[[NDArray[np.float32]], object]
    ) -> None:
        queues = [SimpleQueue[sequences.Event]() for _ in given]
        asked = [GivenAnswer(*pair, look, events.put) for pair, events in zip(given, queues, strict=True)]
        self._enqueue(*asked)
        for sequence, events in zip(asked, queues, strict=True):
            Stream(sequence, events, self._stop, self._settled).result()

    def _logits_behind(
        self, given: Sequence[tuple[Prefix, Sequence[int], int]], deadline: Deadline | None
    ) -> list[NDArray[np.float32]]:
        """The last so many logits behind token ids behind a prefix: what continues one prefix is computed together."""
        together = [list(group) for _, group in groupby(given, key=lambda each: id(each[0]))]
        if not wait(self._loading).forks(max((len(ids) for _, ids, _ in given), default=0)):
            together = [[each] for each in given]
        asked = [
            Continued(group[0][0], [(ids, n_logits) for _, ids, n_logits in group], deadline or Deadline())
            for group in together
        ]
        rows = self._measured_all(asked)
        ends = [np.cumsum([n_logits for *_, n_logits in group])[:-1] for group in together]
        return [each for found, borders in zip(rows, ends, strict=True) for each in np.split(found, borders)]

    def _measured_all(self, asked: Sequence[Measurement]) -> list[NDArray[np.float32]]:
        """Compute all and wait for them; who does not wait for one any longer wants none."""
        self._enqueue(*asked)

        def stop() -> None:
            for measurement in asked:
                self._stop(measurement, "cancelled")

        return [wait(measurement.result, measurement.deadline, stop) for measurement in asked]

    def _stop(self, sequence: sequences.Sequence, reason: FinishReason) -> None:
        """Let a sequence end at the next border of a step; a decode that is its alone is cancelled."""
        sequence.stopping = sequence.stopping or reason
        self._running_decode.cancel_if_unwanted()

    def _settled(self) -> None:
        """Wait for the border of a step: who ended in it has given its slot back."""
        if not self._closed:
            self._thread.call(lambda: None)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let other native code have the processor, which it would share badly: no decode runs meanwhile.

        One thread at a time; what it asks meanwhile begins together. While the weights are loaded, nothing is held up.
        """
        with self._pausing:
            if self._held or not self.loaded or self._closed:
                yield
                return
            self._held, reached, over = True, Event(), Event()

            def hold() -> None:
                reached.set()
                over.wait()

            holding = self._thread.start(hold)
            try:
                while not reached.wait(POLL_S) and not holding.done():
                    pass
                yield
            finally:
                over.set()
                self._held = False

    def close(self) -> None:
        """Cancel what runs and give the memory back; weights that are still being loaded end with the process."""
        if self._closed:
            return
        self._closed = True
        self._running_decode.shut()
        ending = self._thread.start(self._end)
        if self.loaded:
            wait(ending)
        self._thread.close()

    # Only on the scheduler's thread from here on

    def _accept(self, asked: Sequence[sequences.Sequence]) -> None:
        """Let requests wait for their turn."""
        try:
            core = self._core()
        except BaseException as error:  # noqa: BLE001 - whatever loading raised is told to whoever asks
            for sequence in asked:
                sequence.fail(error)
            return
        core.waiting.extend(asked)
        if not self._stepping:
            self._stepping = True
            self._step(core)

    def _core(self) -> Core:
        if self._closed:
            raise ValueError("the model is closed")
        return self._loading.result()

    def _step(self, core: Core) -> None:
        """Take one step; the next one comes behind whatever was asked meanwhile."""
        try:
            core.step()
            if core.busy and not self._closed:
                self._thread.start(lambda: self._step(core))
                return
        except BaseException as error:  # noqa: BLE001 - nobody may wait for ever
            core.end_all(error)
        self._stepping = False

    def _end(self) -> None:
        if self.loaded:
            core = self._loading.result()
            core.end_all(sequences.Cancelled())
            core.close()


def _given(prompt: Prompt, max_tokens: int, *, draft: bool) -> Request:
    return Request(prompt, Sampling(max_tokens=max_tokens, draft=draft))
