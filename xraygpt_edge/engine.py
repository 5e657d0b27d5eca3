"""From a radiograph and a question to an answer: the stages, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

import xraygpt_edge
from xraygpt_edge import loading
from xraygpt_edge.decoder import PromptIds
from xraygpt_edge.devices import Wish
from xraygpt_edge.generation.answer import Generation, Show, Stopwatch, compose
from xraygpt_edge.generation.prompt import Turn, render
from xraygpt_edge.generation.request import GREEDY, Sampling
from xraygpt_edge.images import Radiograph, ReadOptions
from xraygpt_edge.loading import Memory, Wishes
from xraygpt_edge.native import Deadline
from xraygpt_edge.parts import Parts
from xraygpt_edge.preprocess import to_tensor
from xraygpt_edge.records import Answer, BundleFacts, EngineFacts, Source, Timing
from xraygpt_edge.worker import Reader

DEFAULT_READING = ReadOptions()


@dataclass(frozen=True, slots=True)
class Seen:
    """A radiograph as the language model gets it."""

    source: Source
    rows: NDArray[np.float32]
    """(n_rows, n_embd)."""
    read_s: float = 0.0
    wait_s: float = 0.0
    """For the encoder to be loaded."""
    vision_s: float = 0.0


class XrayGPT:
    """A bundle that is loaded and ready to be asked; a context manager."""

    def __init__(self, parts: Parts, reader: Reader) -> None:
        self.parts, self._reader = parts, reader

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        device: Wish = "auto",
        threads: int | None = None,
        *,
        vision: str | None = None,
        language: str | None = None,
        memory: Memory = "auto",
    ) -> Self:
        """Open a bundle folder and wait until its models are loaded; with little memory, only the encoder.

        vision, language: which of the bundle's files to take, for example "int8" and "Q4_K_M"; by
        default those that suit the device. Raises NoBundle, BundleAltered, BundleIncompatible,
        RuntimeMissing or ResourceExhausted.
        """
        model = cls.begin(Path(bundle), Wishes(device, threads, vision, language, memory))
        try:
            _ = model.parts.encoder
            if memory != "low":
                _ = model.parts.decoder
        except BaseException:
            model.close()
            raise
        return model

    @classmethod
    def begin(cls, bundle: Path, wishes: Wishes) -> Self:
        """As `load`, but return at once: a file can be read and encoded while the language model is loaded."""
        reader = Reader()
        reader.start()  # its process imports the decoders meanwhile
        try:
            parts = Parts(loading.choose(bundle, wishes))
        except BaseException:
            reader.close()
            raise
        parts.begin()
        return cls(parts, reader)

    def ask(
        self,
        image: str | Path,
        question: str,
        *,
        sampling: Sampling = GREEDY,
        template: str | None = None,
        options: ReadOptions = DEFAULT_READING,
        show: Show | None = None,
    ) -> Answer:
        """Answer one question about one radiograph.

        show: called with each piece of text as soon as it is certain.
        Raises InputRefused, UsageError (the question is too long), OutOfTime before the first token, UnusableOutput.
        """
        deadline = Deadline(sampling.timeout_s)
        seen = self.look(image, options, deadline)
        return self.answer(seen, question, sampling=sampling, template=template, deadline=deadline, show=show)

    def look(self, image: str | Path, options: ReadOptions = DEFAULT_READING, deadline: Deadline | None = None) -> Seen:
        """Read a file in the decode worker and encode it; raises InputRefused, UnusableOutput, OutOfTime."""
        watch = Stopwatch()
        radiograph = self.read(image, options)
        return self.see(radiograph, watch.lap_s(), deadline)

    def read(self, image: str | Path, options: ReadOptions = DEFAULT_READING) -> Radiograph:
        """Read a file in the decode worker; raises InputRefused."""
        return self._reader.read(Path(image), options)

    def see(self, radiograph: Radiograph, read_s: float = 0.0, deadline: Deadline | None = None) -> Seen:
        """Encode a radiograph; raises UnusableOutput, OutOfTime."""
        watch = Stopwatch()
        encoder = self.parts.encoder
        wait_s = watch.lap_s()
        tensor = to_tensor(radiograph, self.parts.bundle.manifest.image)
        rows = encoder.embed(tensor, deadline)
        return Seen(radiograph.source, rows, read_s, wait_s, watch.lap_s())

    def answer(
        self,
        seen: Seen,
        question: str,
        history: Sequence[Turn] = (),
        *,
        sampling: Sampling = GREEDY,
        template: str | None = None,
        deadline: Deadline | None = None,
        show: Show | None = None,
    ) -> Answer:
        """Answer a question about a radiograph that was looked at; history: what was asked before."""
        watch = Stopwatch()
        if self.parts.memory == "low":
            self._reader.close()  # 0.1 GB; another file starts it again
        decoder = self.parts.decoder
        load_s = seen.wait_s + watch.lap_s()
        ids = self.ids(question, template, history)
        tokens = decoder.generate(ids, seen.rows, sampling, deadline)
        words = self.parts.bundle.manifest.prompt
        generation = compose(tokens, words.stop, words.clean_up, show)
        return self.signed(seen, question, generation, self.engine_facts(sampling, template), load_s)

    def signed(self, seen: Seen, question: str, generation: Generation, facts: EngineFacts, load_s: float) -> Answer:
        """What was generated, with everything that made it; load_s: seconds that the question waited for models."""
        return Answer(
            text=generation.text,
            question=question,
            finish_reason=generation.finish_reason,
            token_ids=generation.token_ids,
            input=seen.source,
            bundle=self.bundle_facts(),
            engine=facts,
            timing=_timing(seen, generation, load_s),
        )

    def embed(self, image: str | Path, options: ReadOptions = DEFAULT_READING) -> NDArray[np.float32]:
        """Image rows (n_rows, n_embd) float32, as the language model gets them."""
        return self.look(image, options).rows

    def prompt_ids(
        self, question: str, template: str | None = None, history: Sequence[Turn] = ()
    ) -> tuple[list[int], list[int]]:
        """Token ids before and after the image rows, beginning-of-sequence included."""
        ids = self.ids(question, template, history)
        return list(ids.before), list(ids.after)

    def first_logits(
        self, image: str | Path, question: str, template: str | None = None, history: Sequence[Turn] = ()
    ) -> NDArray[np.float32]:
        """Logits (n_vocab,) float32 of the answer's first token."""
        return self.parts.decoder.first_logits(self.ids(question, template, history), self.embed(image))

    def close(self) -> None:
        """Give memory and processes back."""
        self._reader.close()
        self.parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ids(self, question: str, template: str | None = None, history: Sequence[Turn] = ()) -> PromptIds:
        """Token ids around the image rows, beginning-of-sequence included."""
        return self.parts.decoder.tokenize(render(self.parts.bundle.template(template), question, history))

    def bundle_facts(self) -> BundleFacts:
        """The bundle, and which of its files answer."""
        manifest = self.parts.bundle.manifest
        return BundleFacts(
            id=manifest.id,
            manifest_sha256=self.parts.bundle.manifest_sha256,
            kind=manifest.kind,
            vision=str(self.parts.vision_file.precision),
            language=str(self.parts.language_file.precision),
            demo=manifest.demo,
        )

    def engine_facts(self, sampling: Sampling = GREEDY, template: str | None = None) -> EngineFacts:
        """The program and the settings that answer."""
        return EngineFacts(
            version=xraygpt_edge.__version__,
            device=self.parts.device.name,
            providers=self.parts.providers,
            threads=self.parts.device.threads,
            memory=self.parts.memory,
            n_ctx=self.parts.decoder.n_ctx,
            seed=sampling.seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            template=template or self.parts.bundle.manifest.prompt.default,
            draft=self.parts.decoder.guesses_ahead(sampling),
            libraries=loading.library_versions(),
        )


def _timing(seen: Seen, generation: Generation, load_s: float) -> Timing:
    tokens = len(generation.token_ids)
    first_token_s = seen.read_s + load_s + seen.vision_s + generation.prefill_s
    return Timing(
        read_s=seen.read_s,
        load_s=load_s,
        vision_s=seen.vision_s,
        prefill_s=generation.prefill_s,
        decode_s=generation.decode_s,
        first_token_s=first_token_s,
        total_s=first_token_s + generation.decode_s,
        tokens=tokens,
        # The first token comes with the prompt, so the others share the decode time.
        tokens_per_s=(tokens - 1) / generation.decode_s if tokens > 1 else 0.0,
    )
