"""Tasks into records inside the model process: read ahead, encode, answer many at once.

    inbox ──▶ ReadAhead ──▶ inbox ──▶ encode ──▶ waiting ──▶ Decoding ──▶ Reporter

Equal pixels are computed once: who comes later with the same image and question subscribes to the same answer.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np

from xraygpt_edge.engine import Seen, XrayGPT
from xraygpt_edge.errors import InputRefused, XrayGPTError
from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.host.decoding import Decoding, NotAnswered
from xraygpt_edge.host.messages import Cancel, Command, Load, Ready, StageTimes, Task
from xraygpt_edge.host.read_ahead import Read, ReadAhead
from xraygpt_edge.host.reporter import HEARTBEAT_S, ONE_TASK, Reporter, Say, Subscriber
from xraygpt_edge.host.result_cache import Key, ResultCache
from xraygpt_edge.images import Radiograph
from xraygpt_edge.loading import Memory
from xraygpt_edge.native import Deadline

Inbox: TypeAlias = SimpleQueue[Command | Read]


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
    """A model and the tasks on their way through it; a context manager. All but reading happens in one thread."""

    settings: Load
    model: XrayGPT
    decoding: Decoding
    reporter: Reporter
    _reads: deque[Read] = field(default_factory=deque)
    _waiting: deque[SharedRequest] = field(default_factory=deque)
    _requests: dict[Key, SharedRequest] = field(default_factory=dict)
    """Those that wait and those in work."""
    _cache: ResultCache = field(default_factory=ResultCache)

    @classmethod
    def load(cls, settings: Load, say: Say) -> Pipeline:
        """Load the bundle and make room for as many answers as fit; raises what `XrayGPT.load` raises."""
        began_s = time.monotonic()
        model = _loaded(settings)
        try:
            decoding = Decoding.create(model, settings)
        except BaseException:
            model.close()
            raise
        facts = replace(model.engine_facts(decoding.sampling, settings.template), n_ctx=decoding.n_ctx)
        times = StageTimes(load_s=time.monotonic() - began_s)
        return cls(settings, model, decoding, Reporter(model, facts, say, times))

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
        reader = ReadAhead(read, self.reporter.begin, inbox.put)
        facts = self.reporter.facts
        self.reporter.say(Ready(self.decoding.slots, facts.device, facts.threads))
        while True:
            self._take_messages(inbox, reader)
            self._encode(inbox, reader)
            self._fill_slots()
            self._step()
            self.reporter.beat()

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
                self.reporter.add(message)
                reader.submit(message)
            case Cancel():
                self._cancel(message.task)
            case Read():
                self._reads.append(message)

    def _encode(self, inbox: Inbox, reader: ReadAhead) -> None:
        """Meet radiographs, those too that come meanwhile, as long as there is room for their questions."""
        while self._reads and len(self._waiting) < max(1, self.decoding.free):
            read = self._reads.popleft()
            reader.release()
            if self.reporter.is_open(read.task):  # else it was cancelled
                self.reporter.times.read_s += read.read_s
                self._meet(read)
            self._take_messages(inbox, reader)

    def _meet(self, read: Read) -> None:
        """A radiograph is encoded for those of its questions that nobody has asked about it before."""
        if isinstance(read.found, XrayGPTError):
            source = read.found.source if isinstance(read.found, InputRefused) else None
            self.reporter.refuse(read.task, read.task.questions, read.found, source)
            return
        subscriber, pixels = Subscriber(read.task, read.found.source, read.read_s), pixel_hash(read.found)
        new = [(pixels, question) for question in read.task.questions if not self._join((pixels, question), subscriber)]
        if new:
            self._request(new, subscriber, read.found)

    def _join(self, key: Key, subscriber: Subscriber) -> bool:
        """Answer from the cache, or subscribe to what another task has asked; whether either could be done."""
        known, request = self._cache.recall(key), self._requests.get(key)
        if known is not None:
            self.reporter.text([subscriber], key[1], known.text)
            self.reporter.answer(subscriber, key[1], known)
        elif request is not None:
            self.reporter.text([subscriber], key[1], request.text)
            request.subscribers.append(subscriber)
        return known is not None or request is not None

    def _request(self, keys: list[Key], subscriber: Subscriber, radiograph: Radiograph) -> None:
        """Encode, and wait for slots."""
        deadline = Deadline(self.settings.sampling.timeout_s)
        try:
            seen = self.model.see(radiograph, subscriber.read_s, deadline)
        except ONE_TASK as error:
            self.reporter.refuse(subscriber.task, [question for _, question in keys], error, radiograph.source)
            return
        self.reporter.times.vision_s += seen.vision_s
        for key in keys:
            self._requests[key] = SharedRequest(key, seen, deadline, [subscriber])
            self._waiting.append(self._requests[key])

    def _fill_slots(self) -> None:
        while self._waiting and self.decoding.free:
            request = self._waiting.popleft()
            on_text = partial(self._pass_on, request)
            try:
                self.decoding.start(request.key, request.key[1], request.seen.rows, request.deadline, on_text)
            except ONE_TASK as error:
                self._finish(request, error)

    def _pass_on(self, request: SharedRequest, text: str) -> None:
        request.text += text
        self.reporter.text(request.subscribers, request.key[1], text)

    def _step(self) -> None:
        """One token for everybody."""
        if self.decoding.is_busy:
            ended = self.decoding.step()
            self.decoding.note(self.reporter.times)
            for key, result in ended:
                self._finish(self._requests[key], result)

    def _finish(self, request: SharedRequest, result: Generation | NotAnswered | XrayGPTError) -> None:
        """Tell every subscriber."""
        del self._requests[request.key]
        question = request.key[1]
        for subscriber in request.subscribers:
            if isinstance(result, Generation):
                self.reporter.answer(subscriber, question, result, request.seen.vision_s)
            else:
                self.reporter.refuse(subscriber.task, (question,), result, subscriber.source)
        if isinstance(result, Generation) and result.finish_reason != "timeout":  # another time it may get further
            self._cache.keep(request.key, result)

    def _cancel(self, number: int) -> None:
        """End a task, and with it every request that nobody else waits for."""
        if not self.reporter.cancel(number):
            return
        for request in list(self._requests.values()):
            request.subscribers = [each for each in request.subscribers if each.task.number != number]
            if not request.subscribers:
                self._forget(request)

    def _forget(self, request: SharedRequest) -> None:
        del self._requests[request.key]
        if request in self._waiting:
            self._waiting.remove(request)
        else:
            self.decoding.cancel(request.key)


def pixel_hash(radiograph: Radiograph) -> bytes:
    """Of the image as it was read, its shape counted in."""
    digest = blake2b(repr(radiograph.pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(radiograph.pixels).data)
    return digest.digest()


def _loaded(settings: Load) -> XrayGPT:
    """The model. Encoder and language model take turns here, so both stay, also with little memory."""
    o = settings.options
    memory: Memory = "fast" if o.memory == "fast" else "auto"
    return XrayGPT.load(settings.bundle, o.device, o.threads, vision=o.vision, language=o.language, memory=memory)
