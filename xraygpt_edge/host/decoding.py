"""Answers that are computed together: the one place of a host that knows how tokens come about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge import devices
from xraygpt_edge.engine import XrayGPT
from xraygpt_edge.errors import OutOfTime, UnusableOutput, UsageError
from xraygpt_edge.generation.answer import Composer, Generation
from xraygpt_edge.generation.request import Sampling, Token
from xraygpt_edge.host.messages import Load, StageTimes
from xraygpt_edge.host.result_cache import Key
from xraygpt_edge.native import Deadline
from xraygpt_edge.parallel import MAX_SEQUENCES, ParallelDecoder, Shape, places_for
from xraygpt_edge.records import FinishReason

SLOTS_WITH_LITTLE_MEMORY = 4
NotAnswered = UnusableOutput | OutOfTime


@dataclass(frozen=True, slots=True)
class _Sequence:
    """An answer on its way."""

    composer: Composer
    deadline: Deadline


@dataclass(slots=True)
class Decoding:
    """A decoder for many answers at a time; for one thread."""

    model: XrayGPT
    template: str | None
    sampling: Sampling
    decoder: ParallelDecoder
    _tokens: int = 0
    """Generated so far, by all."""
    _sequences: dict[Key, _Sequence] = field(default_factory=dict)

    @classmethod
    def create(cls, model: XrayGPT, load: Load) -> Decoding:
        """Make room for as many answers as fit; raises UsageError for a question that does not fit even alone."""
        sampling = replace(load.sampling, draft=False)  # many share a decode already
        prompts = [model.ids(question, load.template) for question in load.questions]
        n_after = max(len(ids.after) for ids in prompts)
        shape = Shape(prompts[0].before, model.parts.encoder.n_rows, n_after, sampling.max_tokens)
        slots = load.slots or _slots_that_fit(model, shape, load)
        decoder = ParallelDecoder.create(model.parts.decoder, model.parts.device, shape, slots)
        return cls(model, load.template, sampling, decoder)

    @property
    def slots(self) -> int:
        """Answers that can be computed at the same time."""
        return self.decoder.places

    @property
    def free(self) -> int:
        """Answers that can be started now."""
        return self.decoder.free

    @property
    def is_busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.decoder.busy)

    @property
    def n_ctx(self) -> int:
        """Tokens of context that an answer has."""
        return self.decoder.context.n_ctx

    def note(self, times: StageTimes) -> None:
        """Write down what has been spent and generated so far."""
        times.prompt_s, times.decode_s = self.decoder.spent.prompt_s, self.decoder.spent.decode_s
        times.tokens = self._tokens

    def start(
        self,
        key: Key,
        question: str,
        embeddings: NDArray[np.float32],
        deadline: Deadline,
        on_text: Callable[[str], None],
    ) -> None:
        """Begin an answer; raises UsageError when the question is too long, UnusableOutput for NaN in the embeddings.

        key: tells answers apart. embeddings: (n_image_tokens, n_embd). on_text: called in `step` with each piece.
        """
        ids = self.model.ids(question, self.template)
        if len(ids.after) > self.decoder.shape.n_after:
            raise UsageError("E-USE-008", f"{len(ids.after)} tokens, there is room for {self.decoder.shape.n_after}")
        composer = Composer(self.model.parts.bundle.manifest.prompt.stop, on_text)
        composer.begin()
        self.decoder.add(key, ids, embeddings, self.sampling)
        self._sequences[key] = _Sequence(composer, deadline)

    def step(self) -> list[tuple[Key, Generation | NotAnswered]]:
        """One token for every answer; those that have ended with it, which make room."""
        ended: list[tuple[Key, Generation | NotAnswered]] = []
        for name, token in list(self.decoder.step()):
            key = cast("Key", name)
            sequence = self._sequences[key]
            reason = self._reason_to_end(sequence, token)
            if reason is not None:
                self.cancel(key)
                ended.append((key, _finished(sequence.composer, reason)))
        return ended

    def cancel(self, key: Key) -> None:
        """Forget an answer."""
        self.decoder.drop(key)
        del self._sequences[key]

    def close(self) -> None:
        """Give the cache's memory back."""
        self.decoder.close()

    def _reason_to_end(
        self, sequence: _Sequence, token: Token | UnusableOutput
    ) -> FinishReason | UnusableOutput | None:
        """Why the answer ends with this token; None when it goes on."""
        if isinstance(token, UnusableOutput):
            return token
        self._tokens += 1
        if sequence.composer.push(token):
            return "stop"
        if len(sequence.composer) >= self.sampling.max_tokens:
            return "length"
        return "timeout" if sequence.deadline.remaining_s() == 0 else None


def _finished(composer: Composer, reason: FinishReason | UnusableOutput) -> Generation | NotAnswered:
    if isinstance(reason, UnusableOutput):
        return reason
    try:
        return composer.finish(reason)
    except (UnusableOutput, OutOfTime) as error:
        return error


def _slots_that_fit(model: XrayGPT, shape: Shape, load: Load) -> int:
    """As memory and cores allow, and no more than are of use."""
    most = load.slots_max or MAX_SEQUENCES
    if load.options.memory == "low":
        most = min(most, SLOTS_WITH_LITTLE_MEMORY)
    free_bytes = devices.available_memory_bytes()
    return places_for(model.parts.decoder.model, model.parts.device, shape, free_bytes, most)
