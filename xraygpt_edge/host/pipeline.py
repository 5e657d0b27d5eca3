"""Tasks into records inside the model process: read ahead, encode, answer many at once.

    inbox ──▶ ReadAhead ──▶ inbox ──▶ encode ──▶ waiting ──▶ Decoding ──▶ records

Equal pixels are computed once: who comes later with the same image and question subscribes to the same answer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np

from xraygpt_edge.engine import Seen, XrayGPT
from xraygpt_edge.errors import InputRefused, OutOfTime, UnusableOutput, UsageError, XrayGPTError
from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.host.decoding import Decoding, NotAnswered
from xraygpt_edge.host.messages import (
    Cancel,
    Cancelled,
    Command,
    Event,
    Heartbeat,
    Load,
    Ready,
    Record,
    StageTimes,
    Started,
    Task,
    Text,
)
from xraygpt_edge.host.read_ahead import Read, ReadAhead
from xraygpt_edge.host.result_cache import Key, ResultCache
from xraygpt_edge.images import Radiograph
from xraygpt_edge.loading import Memory
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import EngineFacts, Failure, Source

Say: TypeAlias = Callable[[Event], None]
Inbox: TypeAlias = SimpleQueue[Command | Read]
NO_EMBEDDINGS = np.empty((0, 0), np.float32)
"""An answer does not keep the image embeddings: half a megabyte each for a 7B model."""
HEARTBEAT_S = 5.0
"""A sign of life at least so often, as long as llama.cpp returns."""
ONE_TASK = (InputRefused, OutOfTime, UnusableOutput, UsageError)
"""Errors that concern one task; any other ends the process."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A task that waits for an answer about its own file."""

    task: Task
    source: Source
    read_s: float


@dataclass(slots=True, eq=False)
class SharedRequest:
    """One image and one question, for every task that asks them."""

    key: Key
    seen: Seen
    deadline: Deadline
    subscribers: list[Subscriber]
    text: str = ""
    """As far as it has come."""


@dataclass(slots=True)
class Pipeline:
    """A model and the tasks on their way through it; a context manager. Everything happens in the thread of `run`."""

    settings: Load
    model: XrayGPT
    decoding: Decoding
    facts: EngineFacts
    say: Say
    times: StageTimes
    _open: dict[int, set[str]] = field(default_factory=dict)
    """Task → its questions without a record."""
    _reads: deque[Read] = field(default_factory=deque)
    _waiting: deque[SharedRequest] = field(default_factory=deque)
    _requests: dict[Key, SharedRequest] = field(default_factory=dict)
    """Those that wait and those in work."""
    _cache: ResultCache = field(default_factory=ResultCache)
    _beat_at_s: float = 0.0

    @classmethod
    def load(cls, load: Load, say: Say) -> Pipeline:
        """Load the bundle and make room for as many answers as fit; raises what `XrayGPT.load` raises."""
        began_s = time.monotonic()
        o = load.options
        # Encoder and language model take turns here, so both stay, also with little memory.
        memory: Memory = "fast" if o.memory == "fast" else "auto"
        model = XrayGPT.load(load.bundle, o.device, o.threads, vision=o.vision, language=o.language, memory=memory)
        try:
            decoding = Decoding.create(model, load)
        except BaseException:
            model.close()
            raise
        facts = replace(model.engine_facts(decoding.sampling, load.template), n_ctx=decoding.n_ctx)
        return cls(load, model, decoding, facts, say, StageTimes(load_s=time.monotonic() - began_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.decoding.close()
        self.model.close()

    def run(self, inbox: Inbox) -> None:
        """Answer tasks as they come; ends only with the process or an error."""
        read = partial(self.model.read, options=self.settings.reading)
        reader = ReadAhead(read, self._begin, inbox.put)
        self.say(Ready(self.decoding.slots, self.facts.device, self.facts.threads))
        while True:
            self._take_messages(inbox, reader)
            self._encode(reader)
            self._fill_slots()
            self._step()
            self._beat()

    def _begin(self, task: Task) -> bool:
        """In the reader's thread: whether a task is still wanted; then it begins."""
        is_wanted = task.number in self._open
        if is_wanted:
            self.say(Started(task.number))
        return is_wanted

    def _take_messages(self, inbox: Inbox, reader: ReadAhead) -> None:
        """All that has come; with nothing else to do, wait for it."""
        is_idle = not (self._reads or self._waiting or self.decoding.is_busy)
        try:
            self._take(inbox.get(block=is_idle, timeout=HEARTBEAT_S), reader)
            while True:
                self._take(inbox.get(block=False), reader)
        except Empty:
            return

    def _take(self, message: Command | Read, reader: ReadAhead) -> None:
        match message:
            case Task():
                self._open[message.number] = set(message.questions)
                reader.submit(message)
            case Cancel():
                self._cancel(message.task)
            case Read():
                self._reads.append(message)

    def _encode(self, reader: ReadAhead) -> None:
        """Meet radiographs as long as there is room for their questions."""
        while self._reads and len(self._waiting) < max(1, self.decoding.free):
            read = self._reads.popleft()
            reader.release()
            if read.task.number not in self._open:
                continue  # cancelled
            self.times = replace(self.times, read_s=self.times.read_s + read.read_s)
            if isinstance(read.found, XrayGPTError):
                source = read.found.source if isinstance(read.found, InputRefused) else None
                self._refuse(read.task, read.task.questions, read.found, source)
            else:
                self._meet(read, read.found)

    def _meet(self, read: Read, radiograph: Radiograph) -> None:
        """Answer from the cache, subscribe to what others ask as well, or encode and wait for a slot."""
        subscriber = Subscriber(read.task, radiograph.source, read.read_s)
        pixels = pixel_hash(radiograph)
        new = [question for question in read.task.questions if not self._join((pixels, question), subscriber)]
        if not new:
            return
        deadline = Deadline(self.settings.sampling.timeout_s)
        try:
            seen = self.model.see(radiograph, read.read_s, deadline)
        except ONE_TASK as error:
            self._refuse(read.task, new, error, radiograph.source)
            return
        self.times = replace(self.times, vision_s=self.times.vision_s + seen.vision_s)
        for question in new:
            request = SharedRequest((pixels, question), seen, deadline, [subscriber])
            self._requests[request.key] = request
            self._waiting.append(request)

    def _join(self, key: Key, subscriber: Subscriber) -> bool:
        """Whether somebody has asked the same before."""
        known = self._cache.recall(key)
        request = self._requests.get(key)
        if known is not None:
            self._tell_text([subscriber], key[1], known.text)
            self._answer(subscriber, key[1], known)
        elif request is not None:
            self._tell_text([subscriber], key[1], request.text)
            request.subscribers.append(subscriber)
        return known is not None or request is not None

    def _fill_slots(self) -> None:
        while self._waiting and self.decoding.free:
            request = self._waiting.popleft()
            on_text = partial(self._pass_on, request)
            try:
                self.decoding.start(request.key, request.key[1], request.seen.rows, request.deadline, on_text)
            except ONE_TASK as error:
                self._finish(request, error)

    def _step(self) -> None:
        """One token for everybody."""
        if not self.decoding.is_busy:
            return
        decoding = self.decoding
        ended = decoding.step()
        self.times = replace(self.times, prompt_s=decoding.prompt_s, decode_s=decoding.decode_s, tokens=decoding.tokens)
        for key, result in ended:
            self._finish(self._requests[key], result)

    def _finish(self, request: SharedRequest, result: Generation | NotAnswered | XrayGPTError) -> None:
        """Tell every subscriber."""
        del self._requests[request.key]
        question = request.key[1]
        for subscriber in request.subscribers:
            if isinstance(result, Generation):
                self._answer(subscriber, question, result, request.seen.vision_s)
            else:
                self._refuse(subscriber.task, (question,), result, subscriber.source)
        if isinstance(result, Generation) and result.finish_reason != "timeout":  # another time it may get further
            self._cache.keep(request.key, result)

    def _cancel(self, number: int) -> None:
        """Forget a task, and every request that nobody else waits for."""
        if self._open.pop(number, None) is None:
            return  # its last record is on its way
        for request in list(self._requests.values()):
            request.subscribers = [each for each in request.subscribers if each.task.number != number]
            if not request.subscribers:
                self._forget(request)
        self.say(Cancelled(number))

    def _forget(self, request: SharedRequest) -> None:
        del self._requests[request.key]
        if request in self._waiting:
            self._waiting.remove(request)
        else:
            self.decoding.cancel(request.key)

    def _pass_on(self, request: SharedRequest, text: str) -> None:
        request.text += text
        self._tell_text(request.subscribers, request.key[1], text)

    def _tell_text(self, subscribers: Iterable[Subscriber], question: str, text: str) -> None:
        for subscriber in subscribers:
            if subscriber.task.wants_text and text:
                self.say(Text(subscriber.task.number, question, text))

    def _answer(self, subscriber: Subscriber, question: str, generation: Generation, vision_s: float = 0.0) -> None:
        seen = Seen(subscriber.source, NO_EMBEDDINGS, subscriber.read_s, vision_s=vision_s)
        answer = self.model.signed(seen, question, generation, self.facts, load_s=0.0)
        self._record(Record.of(subscriber.task.number, question, answer))

    def _refuse(self, task: Task, questions: Iterable[str], error: XrayGPTError, source: Source | None = None) -> None:
        if not isinstance(error, ONE_TASK) and error.error_id != "E-BUG-001":
            raise error
        failure = Failure(error.error_id, error.message, int(error.code), source)
        for question in questions:
            self._record(Record.of(task.number, question, failure))

    def _record(self, record: Record) -> None:
        questions = self._open[record.task]
        questions.discard(record.question)
        if not questions:
            del self._open[record.task]
        self._beat(now=True)
        self.say(record)

    def _beat(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._beat_at_s > HEARTBEAT_S:
            self._beat_at_s = time.monotonic()
            self.say(Heartbeat(self.times))


def pixel_hash(radiograph: Radiograph) -> bytes:
    """Of the image as it was read, its shape counted in."""
    digest = blake2b(repr(radiograph.pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(radiograph.pixels).data)
    return digest.digest()
