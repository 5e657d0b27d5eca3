"""From a radiograph and a question to an answer: the stages, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge import loading, provenance
from xraygpt_edge.devices import Wish
from xraygpt_edge.errors import InputRefused, XrayGPTError
from xraygpt_edge.generation.answer import Generation, Wording
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Prompt, Turn, around, render
from xraygpt_edge.generation.request import GREEDY, Piece, Request, Sampling
from xraygpt_edge.generation.stream import Stream
from xraygpt_edge.imaging.images import Radiograph, ReadOptions
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.preprocess import fit, normalised, with_warnings
from xraygpt_edge.loading import LoadOptions, Memory
from xraygpt_edge.native import Deadline, Stopwatch
from xraygpt_edge.parts import Parts
from xraygpt_edge.records import Answer, Failure, Source, Timing

DEFAULT_READING = ReadOptions()
OnText: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedImage:
    """A radiograph as the language model gets it; may be shared by threads."""

    source: Source
    embeddings: NDArray[np.float32]
    """(n_image_tokens, n_embd)."""
    model_view: NDArray[np.uint8] | None = None
    """(size, size) or (size, size, 3) what the encoder was given, before its values were normalised; None where only
    embeddings are."""
    read_s: float = 0.0
    wait_s: float = 0.0
    """For the encoder to be loaded."""
    vision_s: float = 0.0
    patches: NDArray[np.float32] | None = None
    """What the encoder's patches tell beside the embeddings, as `Encoded.patches`."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """What is asked about one radiograph: it decides the answer and travels whole."""

    question: str
    history: Sequence[Turn] = ()
    """What was asked before."""
    sampling: Sampling = GREEDY
    template: str | None = None
    """Name of the words around the question; None takes the bundle's own."""

    def deadline(self) -> Deadline:
        """Begin to count its time."""
        return Deadline(self.sampling.timeout_s)


Task: TypeAlias = tuple[str | Path | EncodedImage, str]
"""An image and a question."""


class AnswerStream(Iterator[Piece]):
    """Pieces of one answer as they come, each with its `text`; a context manager that cancels what is left.

    One thread reads it, any may cancel it.
    """

    def __init__(self, stream: Stream, signed: Callable[[Generation], Answer]) -> None:
        self._stream, self._signed = stream, signed

    def __next__(self) -> Piece:
        """Wait for the next piece."""
        return next(self._stream)

    def answer(self) -> Answer:
        """Wait for the end and return the whole answer."""
        return self._signed(self.generation())

    def generation(self) -> Generation:
        """Wait for the end and return what the language model said, with what is known of each token."""
        return self._stream.result()

    def kept(self) -> Prefix | None:
        """Return what was computed, for the next turn of a conversation."""
        return self._stream.kept()

    def cancel(self) -> None:
        """End it at the next token; what there is by then is the answer."""
        self._stream.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


class XrayGPT:
    """A bundle that is loaded and ready to be asked; a context manager. Safe to share by threads.

    Questions of several threads are answered at the same time, each as if it were asked alone: nothing of one is
    visible in another. Files are read and images encoded one after another. Close it when nobody asks any more.
    """

    def __init__(self, parts: Parts, reader: Reader) -> None:
        self.parts, self._reader = parts, reader

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        device: Wish | LoadOptions = "auto",
        threads: int | None = None,
        *,
        vision: str | None = None,
        language: str | None = None,
        memory: Memory = "auto",
    ) -> Self:
        """Open a bundle folder and wait until its models are loaded; with little memory, only the encoder.

        device: where it runs, or all options in one object. vision, language: which of the bundle's files to take, for
        example "int8" and "Q4_K_M"; by default those that suit the device.
        Raises NoBundle, BundleAltered, BundleIncompatible, RuntimeMissing or ResourceExhausted.
        """
        options = device if isinstance(device, LoadOptions) else LoadOptions(device, threads, vision, language, memory)
        model = cls.begin(Path(bundle), options)
        try:
            model.parts.wait_for_encoder()
            if options.memory != "low":
                model.parts.wait_for_language()
        except BaseException:
            model.close()
            raise
        return model

    @classmethod
    def begin(cls, bundle: Path, options: LoadOptions) -> Self:
        """As `load`, but return at once: a file can be read and encoded while the language model is loaded."""
        reader = Reader()
        reader.start()  # its process imports the decoders meanwhile
        try:
            parts = Parts(loading.choose(bundle, options))
            parts.begin()
        except BaseException:
            reader.close()
            raise
        return cls(parts, reader)

    def encode(
        self, image: str | Path, options: ReadOptions = DEFAULT_READING, deadline: Deadline | None = None
    ) -> EncodedImage:
        """Read a file in the isolated reader and encode it; raises InputRefused, UnusableOutput, OutOfTime."""
        watch = Stopwatch()
        radiograph = self.read(image, options)
        return self.encode_radiograph(radiograph, watch.lap_s(), deadline)

    def encode_last(
        self, image: str | Path, options: ReadOptions = DEFAULT_READING, deadline: Deadline | None = None
    ) -> EncodedImage:
        """As `encode`, and gives the encoder's memory back: no other image is to follow."""
        encoded = self.encode(image, options, deadline)
        self.parts.release_encoder()
        return encoded

    def ask(
        self,
        image: str | Path | EncodedImage,
        question: str,
        *,
        sampling: Sampling = GREEDY,
        template: str | None = None,
        options: ReadOptions = DEFAULT_READING,
        on_text: OnText | None = None,
    ) -> Answer:
        """Answer one question about one radiograph.

        on_text: called with each piece of text as soon as it is certain.
        Raises InputRefused, UsageError (the question is too long), OutOfTime before the first token, UnusableOutput.
        """
        with self.stream(image, question, sampling=sampling, template=template, options=options) as pieces:
            for piece in pieces:
                if on_text and piece.text:
                    on_text(piece.text)
            return pieces.answer()

    def stream(
        self,
        image: str | Path | EncodedImage,
        question: str,
        *,
        sampling: Sampling = GREEDY,
        template: str | None = None,
        options: ReadOptions = DEFAULT_READING,
    ) -> AnswerStream:
        """As `ask`, with the answer's pieces as they come; a file is read before this returns."""
        deadline = Deadline(sampling.timeout_s)
        encoded = image if isinstance(image, EncodedImage) else self.encode(image, options, deadline)
        return self.begin_answer(encoded, Ask(question, (), sampling, template), deadline=deadline)

    def begin_answer(
        self,
        image: EncodedImage,
        ask: Ask,
        after: Prefix | None = None,
        *,
        keep: bool = False,
        leaving: Prefix | None = None,
        deadline: Deadline | None = None,
    ) -> AnswerStream:
        """Begin an answer about an encoded radiograph.

        after: what an earlier question computed, used as far as the prompts agree. keep: this one may be used so.
        leaving: a beginning of the prompt that stays computed for later questions, as `prefix` returns it.
        """
        watch = Stopwatch()
        if self.parts.plan.memory == "low":
            self._reader.close()  # 0.1 GB; another file starts it again
        scheduler = self.parts.wait_for_language()
        before = Timing(read_s=image.read_s, load_s=image.wait_s + watch.lap_s(), vision_s=image.vision_s)
        request = Request(self.prompt(image.embeddings, ask), ask.sampling, self.wording, deadline or ask.deadline())
        stream = scheduler.submit(request, after, keep=keep, leaving=leaving)
        return AnswerStream(stream, lambda g: self._signed(image, ask, g, before))

    def ask_all(
        self,
        tasks: Iterable[Task],
        *,
        sampling: Sampling = GREEDY,
        template: str | None = None,
        options: ReadOptions = DEFAULT_READING,
    ) -> Iterator[Answer | Failure]:
        """Answer many questions, several at the same time; in the order of the tasks, each as soon as it is ready.

        A file that is refused, or an answer that fails, is a Failure, and the next goes on.
        """
        window: deque[AnswerStream | Failure] = deque()
        for stream in self._begin_all(tasks, sampling, template, options):
            window.append(stream)
            if len(window) > self.parts.plan.capacity.most_slots:
                yield _finished(window.popleft())
        yield from map(_finished, window)

    def embed(self, image: str | Path, options: ReadOptions = DEFAULT_READING) -> NDArray[np.float32]:
        """Image embeddings (n_image_tokens, n_embd) float32, as the language model gets them."""
        return self.encode(image, options).embeddings

    def prompt_ids(
        self, question: str, template: str | None = None, history: Sequence[Turn] = ()
    ) -> tuple[list[int], list[int]]:
        """Token ids before and after the image, beginning-of-sequence included."""
        texts = around(self.parts.plan.bundle.template(template), question, history)
        before, after = self.parts.wait_for_language().token_ids(*texts)
        return before, after

    def first_logits(
        self, image: str | Path | EncodedImage, question: str, template: str | None = None, history: Sequence[Turn] = ()
    ) -> NDArray[np.float32]:
        """Logits (n_vocab,) float32 of the answer's first token."""
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        prompt = self.prompt(encoded.embeddings, Ask(question, history, template=template))
        return self.parts.wait_for_language().first_logits(prompt)

    def read(self, image: str | Path, options: ReadOptions = DEFAULT_READING) -> Radiograph:
        """Read a file in the isolated reader; raises InputRefused."""
        return self._reader.read(Path(image), options)

    def encode_radiograph(
        self, radiograph: Radiograph, read_s: float = 0.0, deadline: Deadline | None = None
    ) -> EncodedImage:
        """Encode a radiograph; raises UnusableOutput, OutOfTime."""
        watch = Stopwatch()
        self.parts.wait_for_encoder()
        wait_s = watch.lap_s()
        recipe = self.parts.plan.bundle.manifest.image
        radiograph = with_warnings(radiograph, recipe)
        model_view = np.asarray(fit(radiograph.pixels, recipe))
        found = self.parts.encode(normalised(model_view, recipe), deadline)
        times_s = (read_s, wait_s, watch.lap_s())
        return EncodedImage(radiograph.source, found.embeddings, model_view, *times_s, found.patches)

    def prompt(self, embeddings: NDArray[np.float32], ask: Ask) -> Prompt:
        """Place a question around image embeddings."""
        return render(self.parts.plan.bundle.template(ask.template), embeddings, ask.question, ask.history)

    def close(self) -> None:
        """Cancel what is being answered, and give memory and processes back."""
        self._reader.close()
        self.parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin_all(
        self, tasks: Iterable[Task], sampling: Sampling, template: str | None, options: ReadOptions
    ) -> Iterator[AnswerStream | Failure]:
        """Begin each answer; what neighbours ask about one image shares its encoding and its place in the cache."""
        for image, neighbours in groupby(tasks, key=lambda task: task[0]):
            asks = (Ask(question, (), sampling, template) for _, question in neighbours)
            first_two = list(islice(asks, 2))
            try:
                encoded = image if isinstance(image, EncodedImage) else self.encode(image, options)
            except XrayGPTError as error:
                yield from (failure_of(error) for _ in chain(first_two, asks))
                continue
            prefix = self.prefix(encoded, template) if len(first_two) > 1 else None
            for ask in chain(first_two, asks):
                try:
                    yield self.begin_answer(encoded, ask, prefix)
                except XrayGPTError as error:
                    yield failure_of(error)

    @property
    def wording(self) -> Wording:
        """Where this bundle's answers end, and what is taken out of them."""
        words = self.parts.plan.bundle.manifest.prompt
        return Wording(words.stop, words.clean_up)

    def prefix(self, image: EncodedImage, template: str | None = None) -> Prefix:
        """Return a prompt's beginning up to and with the image, for several questions about it."""
        return Prefix(Prompt(self.prompt(image.embeddings, Ask("", template=template)).segments[:-1]))

    def _signed(self, image: EncodedImage, ask: Ask, generation: Generation, before: Timing) -> Answer:
        facts = provenance.engine_facts(self.parts, ask.sampling, ask.template)
        bundle = provenance.bundle_facts(self.parts)
        return provenance.answer_of(image.source, ask.question, generation, bundle, facts, before)


def failure_of(error: XrayGPTError) -> Failure:
    """Return an error as a result, with what is known of its file."""
    source, steps = (error.source, error.steps) if isinstance(error, InputRefused) else (None, ())
    return Failure(error.error_id, error.message, int(error.code), source, steps)


def _finished(begun: AnswerStream | Failure) -> Answer | Failure:
    if isinstance(begun, Failure):
        return begun
    try:
        return begun.answer()
    except XrayGPTError as error:
        return failure_of(error)
