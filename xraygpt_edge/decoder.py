"""The language half: prompt and image rows into tokens, with the guards that llama.cpp lacks.

llama.cpp is not told the width of a row, aborts the process when a batch is too long, and
lets NaN through; so this module checks each before and after every decode.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, UnusableOutput, UsageError
from xraygpt_edge.generation.drafter import Drafter, Phrases, Price
from xraygpt_edge.generation.embedding_table import TokenRows
from xraygpt_edge.generation.llama import LlamaContext, LlamaModel, Span
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import GREEDY, Sampling, Token
from xraygpt_edge.native import Deadline, NativeThread

N_BATCH = 512
"""Positions in one decode, llama.cpp's own default for the physical batch."""
CONTEXT_STEP = 256
"""A context is made for the request, rounded up to this, as llama.cpp itself does."""
MAX_CONTEXT = 2048
"""What LLaMA v1 was trained with; upstream uses as much."""

GUESSED_FROM_BYTES = 100_000_000
"""Of the weights. A token of a smaller model takes less than a millisecond, and keeping track of guesses costs more
than they save: the demonstration's answers took 1.01 to 1.2 times as long."""
DOUBT = 0.2
"""Logits of a few tokens in one decode may differ from those of one, by less than half of this: on AVX-512 not in a
single bit with rounded weights as in the file, by 0.006 with F16; by 0.25 with repacked ones, which guess nothing."""


@dataclass(frozen=True, slots=True)
class PromptIds:
    """The token ids around the image rows; the first piece begins with the beginning-of-sequence."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


class Decoder:
    """A language model with a context of the size that the requests need."""

    def __init__(self, model: LlamaModel, words: TokenRows, threads: int, n_batch: int = N_BATCH) -> None:
        self.model, self.words, self._threads, self._n_batch = model, words, threads, n_batch
        self._context: LlamaContext | None = None
        self.phrases = Phrases()
        """What answers often say, to guess ahead from."""
        self.n_ctx_most = min(MAX_CONTEXT, model.n_ctx_train)
        """Most positions of prompt, image and answer."""
        self._price = Price()
        self._thread = NativeThread("decoder")
        self.n_embd, self.n_vocab = model.n_embd, model.n_vocab

    @classmethod
    def load(cls, path: Path, device: Device, n_batch: int = N_BATCH, *, repack: bool = False) -> Decoder:
        """Open a GGUF file; raises BundleIncompatible when llama.cpp cannot. repack: as in LlamaModel."""
        model = LlamaModel(path, device, repack=repack)
        return cls(model, TokenRows(path, model.n_embd), device.threads, n_batch)

    @property
    def n_ctx(self) -> int:
        """Positions of the context in use; 0 before the first request."""
        return self._context.n_ctx if self._context else 0

    def tokenize(self, prompt: Prompt) -> PromptIds:
        """Token ids of both pieces, each tokenised alone; text is never a control token."""
        before = (self.model.bos, *self.model.tokenize(prompt.before))
        return PromptIds(before, tuple(self.model.tokenize(prompt.after)))

    def first_logits(
        self, ids: PromptIds, rows: NDArray[np.float32], deadline: Deadline | None = None
    ) -> NDArray[np.float32]:
        """Logits (n_vocab,) of the first token of the answer."""
        return self._prefill(self.fitting_context(ids, rows, 1), ids, rows, deadline)

    def logits_along(self, ids: PromptIds, rows: NDArray[np.float32], answer: Sequence[int]) -> NDArray[np.float32]:
        """Logits (len(answer) + 1, n_vocab): after the prompt, and after each token of a given answer."""
        context = self.fitting_context(ids, rows, len(answer) + 1)
        along = [self._prefill(context, ids, rows, None)]
        position = len(ids) + len(rows)
        for offset, token in enumerate(answer):
            along.append(self._step(context, token, position + offset, None))
        return np.stack(along)

    def generate(
        self,
        ids: PromptIds,
        rows: NDArray[np.float32],
        sampling: Sampling = GREEDY,
        deadline: Deadline | None = None,
    ) -> Iterator[Token]:
        """Tokens of the answer until the model ends it or max_tokens are reached.

        Raises UsageError when prompt, rows and answer do not fit the context, before anything is decoded;
        OutOfTime when the deadline passes.
        """
        context = self.fitting_context(ids, rows, sampling.max_tokens)
        logits = self._prefill(context, ids, rows, deadline)
        start = len(ids) + len(rows)
        if self.guesses_ahead(sampling):
            span = range(start, start + sampling.max_tokens)
            tokens = self._drafted(context, logits, ids, span, deadline)
        else:
            tokens = self._one_by_one(context, logits, start, chooser(sampling), deadline)
        for token in islice(tokens, sampling.max_tokens):
            is_end = self.model.is_end(token)
            yield Token(token, b"" if is_end else self.model.piece(token), is_end)
            if is_end:
                return

    def guesses_ahead(self, sampling: Sampling) -> bool:
        """Whether words may be guessed: the likeliest token is wanted, the model is large enough and not repacked."""
        is_greedy = sampling.draft and sampling.temperature == 0
        return is_greedy and self.model.size_bytes >= GUESSED_FROM_BYTES and not self.model.repacked

    def close(self) -> None:
        """Give the memory back."""
        self._thread.close()
        if self._context:
            self._context.close()
        self.model.close()

    def fitting_context(self, ids: PromptIds, rows: NDArray[np.float32], max_tokens: int) -> LlamaContext:
        """An empty context with room for prompt, rows and answer."""
        if rows.ndim != 2 or rows.shape[1] != self.n_embd or rows.dtype != np.float32:
            raise BundleIncompatible("E-BND-021", f"rows {rows.shape}, the language model takes {self.n_embd}")
        if not np.isfinite(rows).all():
            raise UnusableOutput("E-RUN-031", "in the image rows")
        needed = len(ids) + len(rows) + max_tokens
        most = self.n_ctx_most
        if needed > most:
            raise UsageError(
                "E-USE-008",
                f"prompt {len(ids)} + image {len(rows)} + answer {max_tokens} tokens, the model takes {most}",
            )
        context = self._context
        if context is None or context.n_ctx < needed:
            if context:
                context.close()
            context = self._context = LlamaContext(self.model, padded(needed), self._n_batch, self._threads)
        context.clear()
        return context

    def _prefill(
        self, context: LlamaContext, ids: PromptIds, rows: NDArray[np.float32], deadline: Deadline | None
    ) -> NDArray[np.float32]:
        """Decode words, image and words, all as rows, in as few decodes as hold them; logits after the last position.

        One decode for all makes the best use of the weights, and the same prompt always has the same last bits.
        """
        prompt = self.prompt_rows(ids, rows)
        for start in range(0, len(prompt), self._n_batch):
            part = prompt[start : start + self._n_batch]
            is_last = start + len(part) == len(prompt)
            self._decode(context, [Span(part, start, wants_logits=is_last)], deadline)
        return _finite_logits(context)

    def prompt_rows(self, ids: PromptIds, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The whole prompt (n, n_embd): a row for each word and the image's own."""
        return np.concatenate([self.words.of(ids.before), rows, self.words.of(ids.after)])

    def _one_by_one(
        self,
        context: LlamaContext,
        logits: NDArray[np.float32],
        start: int,
        choose: Callable[[NDArray[np.float32]], int],
        deadline: Deadline | None,
    ) -> Iterator[int]:
        """Token ids without end; `start` is the position of the first."""
        for position in count(start):
            token = choose(logits)
            yield token
            logits = self._step(context, token, position, deadline)

    def _drafted(
        self, context: LlamaContext, logits: NDArray[np.float32], ids: PromptIds, span: range, deadline: Deadline | None
    ) -> Iterator[int]:
        """The likeliest token ids, several a decode where guesses are right; `span` are the answer's positions."""
        drafter = Drafter(self._price, self.phrases, Phrases([ids.after]))
        upcoming, position = [int(logits.argmax())], span.start
        while True:
            for token in upcoming:
                drafter.push(token)
                yield token
            guesses = drafter.guess(span.stop - position - 1)
            began_s = time.perf_counter()
            upcoming = self._checked(context, token, guesses, position, deadline)
            self._price.learn(len(guesses), time.perf_counter() - began_s)
            drafter.learn(len(guesses), len(upcoming) - 1)
            position += len(upcoming)

    def _checked(
        self, context: LlamaContext, token: int, guesses: Sequence[int], position: int, deadline: Deadline | None
    ) -> list[int]:
        """What follows a token: the guesses as far as they are right, and one token more."""
        ids = np.array([token, *guesses], np.int32)
        spans = [Span(ids[i : i + 1], position + i, wants_logits=True) for i in range(len(ids))]
        self._decode(context, spans, deadline)
        following: list[int] = []
        for index in range(len(ids)):
            logits = _finite_logits(context, index)
            doubtful = bool(guesses) and _is_doubtful(logits)
            if doubtful:  # sums in another order could turn this one: ask as without guesses
                context.forget_from(position + index)
                logits = self._step(context, int(ids[index]), position + index, deadline)
            following.append(int(logits.argmax()))
            if doubtful or index == len(guesses) or following[-1] != guesses[index]:
                break
        context.forget_from(position + len(following))
        return following

    def _step(self, context: LlamaContext, token: int, position: int, deadline: Deadline | None) -> NDArray[np.float32]:
        self._decode(context, [Span(np.array([token], np.int32), position, wants_logits=True)], deadline)
        return _finite_logits(context)

    def _decode(self, context: LlamaContext, spans: Sequence[Span], deadline: Deadline | None) -> None:
        self._thread.call(lambda: context.decode(spans), deadline, cancel=context.cancel)


def padded(positions: int) -> int:
    """Of a context that has room for so many."""
    return -(-positions // CONTEXT_STEP) * CONTEXT_STEP


def chooser(sampling: Sampling) -> Callable[[NDArray[np.float32]], int]:
    """A function from logits to the next token id; a draw depends on the seed alone."""
    if sampling.temperature == 0:
        return lambda logits: int(logits.argmax())
    random = np.random.Generator(np.random.PCG64(sampling.seed))

    def draw(logits: NDArray[np.float32]) -> int:
        likeliest = np.argsort(-logits, kind="stable")
        scaled = (logits[likeliest].astype(np.float64) - logits.max()) / sampling.temperature
        probability = np.exp(scaled) / np.exp(scaled).sum()
        # The smallest set that reaches top_p; the likeliest token is always in it.
        kept = int(np.searchsorted(probability.cumsum(), sampling.top_p)) + 1
        cumulative = probability[:kept].cumsum()
        return int(likeliest[min(kept - 1, np.searchsorted(cumulative, random.random() * cumulative[-1]))])

    return draw


def _is_doubtful(logits: NDArray[np.float32]) -> bool:
    second, first = np.partition(logits, -2)[-2:]
    return bool(first - second < DOUBT)


def _finite_logits(context: LlamaContext, index: int = -1) -> NDArray[np.float32]:
    logits = context.logits(index)
    if not np.isfinite(logits).all():
        raise UnusableOutput("E-RUN-031", "in the logits")
    return logits
