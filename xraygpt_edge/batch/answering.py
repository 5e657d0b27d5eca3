"""Files into records inside the model process: read ahead, encode, answer many at once.

Equal pixels are computed once: who comes later with the same picture and question gets the same answer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from queue import Empty, Queue, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Self

import numpy as np

from xraygpt_edge import devices
from xraygpt_edge.batch.known import Key, KnownAnswers
from xraygpt_edge.batch.plan import Plan
from xraygpt_edge.decoder import PromptIds
from xraygpt_edge.engine import Seen, XrayGPT
from xraygpt_edge.errors import InputRefused, OutOfTime, UnusableOutput, XrayGPTError
from xraygpt_edge.generation.answer import Composer, Generation
from xraygpt_edge.generation.request import Token
from xraygpt_edge.images import Radiograph, ReadOptions
from xraygpt_edge.native import Deadline
from xraygpt_edge.parallel import ParallelDecoder, Shape, places_for
from xraygpt_edge.records import EngineFacts, Failure, FinishReason, Source

Say = Callable[[dict[str, Any]], None]
READ_AHEAD = 2
"""Radiographs in memory beyond the one in work; each may be 20 MB."""
NO_ROWS = np.empty((0, 0), np.float32)
"""An answer does not keep the image rows: half a megabyte each for a 7B model."""
BUSY_EVERY_S = 5.0
"""A sign of life at least so often, as long as llama.cpp returns."""
ONE_RADIOGRAPH = (InputRefused, OutOfTime, UnusableOutput)
"""Errors that concern one radiograph; any other ends the batch."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file that waits for an answer."""

    task: int
    source: Source
    read_s: float


@dataclass(frozen=True, slots=True)
class Read:
    """A task whose file was read, or refused."""

    task: dict[str, Any]
    found: Radiograph | XrayGPTError
    read_s: float


@dataclass(slots=True)
class Work:
    """One picture and one question, for everybody who asks them."""

    key: Key
    ids: PromptIds
    seen: Seen
    members: list[Member]
    deadline: Deadline
    composer: Composer


@dataclass(slots=True)
class Busy:
    """Seconds of this process by stage. Reading runs beside the others."""

    load_s: float = 0.0
    read_s: float = 0.0
    vision_s: float = 0.0
    prompt_s: float = 0.0
    decode_s: float = 0.0
    tokens: float = 0.0


@dataclass(slots=True)
class Answering:
    """A model, a decoder for many, and the radiographs on their way through."""

    plan: Plan
    model: XrayGPT
    decoder: ParallelDecoder
    facts: EngineFacts
    say: Say
    busy: Busy
    _reads: Queue[Read] = field(default_factory=lambda: Queue(READ_AHEAD))
    _waiting: deque[Work] = field(default_factory=deque)
    _works: dict[Key, Work] = field(default_factory=dict)
    _known: KnownAnswers = field(default_factory=KnownAnswers)
    _told_at_s: float = 0.0

    @classmethod
    def load(cls, plan: Plan, say: Say) -> Answering:
        """Load the bundle and make room for as many radiographs as fit; raises what `XrayGPT.load` raises."""
        began = time.monotonic()
        wishes = plan.wishes
        model = XrayGPT.load(plan.bundle, wishes.device, wishes.threads, memory=wishes.memory)
        try:
            prompts = [model.ids(question, plan.settings.template) for question in plan.questions]
            n_after = max(len(ids.after) for ids in prompts)
            shape = Shape(prompts[0].before, model.parts.encoder.n_rows, n_after, plan.settings.max_tokens)
            language, device = model.parts.decoder.model, model.parts.device
            free_bytes = devices.available_memory_bytes()
            places = plan.running.parallel or places_for(language, device, shape, free_bytes, plan.most_places)
            decoder = ParallelDecoder.create(model.parts.decoder, device, shape, places)
        except BaseException:
            model.close()
            raise
        facts = replace(model.engine_facts(plan.sampling, plan.settings.template), n_ctx=decoder.context.n_ctx)
        return cls(plan, model, decoder, facts, say, Busy(load_s=time.monotonic() - began))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.decoder.close()
        self.model.close()

    def answer_all(self, tasks: SimpleQueue[dict[str, Any]]) -> None:
        """Answer tasks as they come; ends only with the process or an error."""
        self.say(
            {"ready": {"parallel": self.decoder.places, "device": self.facts.device, "threads": self.facts.threads}}
        )
        Thread(target=self._read_all, args=(tasks,), daemon=True).start()
        while True:
            self._take_reads()
            self._fill_places()
            self._step()
            self._tell_busy()

    def _read_all(self, tasks: SimpleQueue[dict[str, Any]]) -> None:
        """The other thread: read files in the decode worker, a few ahead."""
        options = self.plan.reading
        while True:
            task = tasks.get()
            self.say({"started": task["task"]})
            began = time.monotonic()
            found = self._read(self.plan.folder / task["path"], options)
            self._reads.put(Read(task, found, time.monotonic() - began))

    def _read(self, path: Path, options: ReadOptions) -> Radiograph | XrayGPTError:
        try:
            return self.model.read(path, options)
        except XrayGPTError as error:
            return error
        except Exception as error:  # noqa: BLE001 - our bug in one file is one failed row
            return XrayGPTError("E-BUG-001", type(error).__name__)

    def _take_reads(self) -> None:
        """Meet radiographs while there is room for them; with nothing else to do, wait for the next."""
        while len(self._waiting) < max(1, self.decoder.free):
            idle = not self._waiting and not self.decoder.busy
            try:
                read = self._reads.get(block=idle, timeout=BUSY_EVERY_S if idle else None)
            except Empty:
                return
            self.busy.read_s += read.read_s
            if isinstance(read.found, XrayGPTError):
                source = read.found.source if isinstance(read.found, InputRefused) else None
                self._refuse(read.task["task"], read.task["questions"], read.found, source)
            else:
                self._meet(read, read.found)

    def _meet(self, read: Read, radiograph: Radiograph) -> None:
        """Answer from memory, join others who ask the same, or encode and wait for a place."""
        member = Member(read.task["task"], radiograph.source, read.read_s)
        pixels = pixel_hash(radiograph)
        new = [question for question in read.task["questions"] if not self._join((pixels, question), member)]
        if not new:
            return
        deadline = Deadline(self.plan.running.timeout_s)
        try:
            seen = self.model.see(radiograph, read.read_s, deadline)
        except ONE_RADIOGRAPH as error:
            self._refuse(member.task, new, error, radiograph.source)
            return
        self.busy.vision_s += seen.vision_s
        for question in new:
            ids = self.model.ids(question, self.plan.settings.template)
            words = self.model.parts.bundle.manifest.prompt
            composer = Composer(words.stop, words.clean_up)
            work = Work((pixels, question), ids, seen, [member], deadline, composer)
            self._works[work.key] = work
            self._waiting.append(work)

    def _join(self, key: Key, member: Member) -> bool:
        known = self._known.recall(key)
        if known is not None:
            self._report(member, key[1], known)
        elif key in self._works:
            self._works[key].members.append(member)
        else:
            return False
        return True

    def _fill_places(self) -> None:
        while self._waiting and self.decoder.free:
            work = self._waiting.popleft()
            work.composer.begin()
            self.decoder.add(work.key, work.ids, work.seen.rows, self.plan.sampling)

    def _step(self) -> None:
        """One token for everybody; who has ended makes room."""
        if not self.decoder.busy:
            return
        for key, token in list(self.decoder.step()):
            work = self._works[key]  # type: ignore[index]
            ending = self._ending(work, token)
            if ending is not None:
                self.decoder.drop(key)
                del self._works[work.key]
                self._finish(work, ending)
        self.busy.prompt_s, self.busy.decode_s = self.decoder.spent.prompt_s, self.decoder.spent.decode_s

    def _ending(self, work: Work, token: Token | UnusableOutput) -> FinishReason | UnusableOutput | None:
        """Why the answer ends with this token; None when it goes on."""
        if isinstance(token, UnusableOutput):
            return token
        self.busy.tokens += 1
        if work.composer.push(token):
            return "stop"
        if len(work.composer) >= self.plan.settings.max_tokens:
            return "length"
        return "timeout" if work.deadline.remaining_s() == 0 else None

    def _finish(self, work: Work, ending: FinishReason | UnusableOutput) -> None:
        try:
            if isinstance(ending, UnusableOutput):
                raise ending
            generation = work.composer.finish(ending)
        except ONE_RADIOGRAPH as error:
            for member in work.members:
                self._refuse(member.task, [work.key[1]], error, member.source)
            return
        for member in work.members:
            self._report(member, work.key[1], generation, work.seen.vision_s)
        if ending != "timeout":  # another time it may get further
            self._known.keep(work.key, generation)

    def _report(self, member: Member, question: str, generation: Generation, vision_s: float = 0.0) -> None:
        seen = Seen(member.source, NO_ROWS, member.read_s, vision_s=vision_s)
        answer = self.model.signed(seen, question, generation, self.facts, load_s=0.0)
        self._tell_record(member.task, question, answer.to_dict())

    def _refuse(self, task: int, questions: list[str], error: XrayGPTError, source: Source | None = None) -> None:
        if not isinstance(error, ONE_RADIOGRAPH) and error.error_id != "E-BUG-001":
            raise error
        failure = Failure(error.error_id, error.message, int(error.code), source)
        for question in questions:
            self._tell_record(task, question, failure.to_dict())

    def _tell_record(self, task: int, question: str, record: dict[str, Any]) -> None:
        self._tell_busy(now=True)
        self.say({"record": record, "task": task, "question": question})

    def _tell_busy(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._told_at_s > BUSY_EVERY_S:
            self._told_at_s = time.monotonic()
            self.say({"busy": {name: getattr(self.busy, name) for name in Busy.__slots__}})


def pixel_hash(radiograph: Radiograph) -> bytes:
    """Of the picture as it was read, its shape counted in."""
    digest = blake2b(repr(radiograph.pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(radiograph.pixels).data)
    return digest.digest()
