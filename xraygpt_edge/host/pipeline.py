"""Tasks into records inside the model process: read ahead, encode, answer many at once.

    inbox ──▶ ReadAhead ──▶ inbox ──▶ encode ──▶ waiting ──▶ Answering ──▶ inbox ──▶ Assessing ──▶ inbox ──▶ Reporter

Equal pixels are computed once: who comes later with the same image and question subscribes to the same answer.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeAlias

import numpy as np

from xraygpt_edge import provenance
from xraygpt_edge.engine import EncodedImage, XrayGPT
from xraygpt_edge.errors import InputRefused, UsageError, XrayGPTError
from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.request import Piece
from xraygpt_edge.generation.sequence import Event as AnswerEvent
from xraygpt_edge.host.answering import Answering
from xraygpt_edge.host.assessing import Assessing
from xraygpt_edge.host.drawing import Drawings, Drawn
from xraygpt_edge.host.known_images import Known, KnownImages
from xraygpt_edge.host.messages import Cancel, Command, Load, Ready, Room, StageTimes, Stop, Task
from xraygpt_edge.host.read_ahead import Read, ReadAhead
from xraygpt_edge.host.reporter import HEARTBEAT_S, ONE_TASK, Reporter, Say, Subscriber
from xraygpt_edge.host.result_cache import Key, ResultCache
from xraygpt_edge.host.shared_request import SharedRequest
from xraygpt_edge.imaging.images import Radiograph
from xraygpt_edge.loading import Memory
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import Answer, Trust
from xraygpt_edge.trust.assess import Told
from xraygpt_edge.trust.assessor import Assessor
from xraygpt_edge.trust.profile import findings_of


@dataclass(frozen=True, slots=True)
class Advance:
    """More of an answer, or its end."""

    request: SharedRequest
    event: AnswerEvent


@dataclass(frozen=True, slots=True)
class Assessed:
    """How far to trust an answer that has ended."""

    request: SharedRequest
    generation: Generation
    trust: Trust


Inbox: TypeAlias = SimpleQueue[Command | Read | Advance | Assessed | Drawn]


@dataclass(slots=True)
class Pipeline:
    """A model and the tasks on their way through it; a context manager.

    All but reading and decoding happens in one thread.
    """

    settings: Load
    model: XrayGPT
    answering: Answering
    reporter: Reporter
    assessing: Assessing
    _reads: deque[Read] = field(default_factory=deque)
    _waiting: deque[SharedRequest] = field(default_factory=deque)
    _requests: dict[Key, SharedRequest] = field(default_factory=dict)
    """Those that wait and those in work."""
    _images: KnownImages = field(default_factory=KnownImages)
    _cache: ResultCache = field(init=False)
    _drawings: Drawings = field(init=False)

    def __post_init__(self) -> None:
        self._cache = ResultCache(self.settings.remembers)
        self._drawings = Drawings(self.answering, self.assessing, self.reporter)

    @classmethod
    def load(cls, settings: Load, say: Say) -> Pipeline:
        """Load the bundle and make room for as many answers as fit; raises what `XrayGPT.load` raises."""
        began_s = time.monotonic()
        model = _loaded(settings)
        try:
            answering = Answering.create(model, settings)
        except BaseException:
            model.close()
            raise
        reporter = Reporter(
            provenance.bundle_facts(model.parts),
            answering.facts,
            findings_of(model.parts.plan),
            say,
            StageTimes(load_s=time.monotonic() - began_s),
        )
        return cls(settings, model, answering, reporter, Assessing(Assessor(model, settings.trust, maps=settings.maps)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.model.close()

    def run(self, inbox: Inbox) -> None:
        """Answer tasks as they come; ends only with the process or an error."""
        reader = ReadAhead(self._read, self.reporter.begin, inbox.put)
        self._say_ready()
        while True:
            with suppress(Empty):
                self._take(inbox.get(timeout=HEARTBEAT_S), inbox, reader)
            self._take_messages(inbox, reader)
            if self.answering.make_room():
                self._say_ready()
            self._begin_answers(inbox, reader)
            self._beat()

    def _say_ready(self) -> None:
        facts = self.answering.facts()
        self.reporter.say(Ready(self.answering.slots, facts.device, facts.threads))

    def _read(self, task: Task) -> Radiograph:
        """In the thread that reads ahead; raises InputRefused."""
        if task.view is None:
            return self.model.read(task.path, self.settings.reading)
        size_px = self.model.parts.plan.bundle.manifest.image.size_px
        pixels = task.view.picture(size_px)
        return Radiograph(pixels, task.view.source)

    def _take_messages(self, inbox: Inbox, reader: ReadAhead) -> None:
        """All that has come."""
        with suppress(Empty):
            while True:
                self._take(inbox.get(block=False), inbox, reader)

    def _beat(self) -> None:
        """A sign of life, unless llama.cpp has not returned since the last one."""
        if self.reporter.is_beat_due and self.answering.is_alive:
            self.answering.note(self.reporter.times)
            self.reporter.beat()

    def _take(self, message: Command | Read | Advance | Assessed | Drawn, inbox: Inbox, reader: ReadAhead) -> None:
        match message:
            case Read():
                self._reads.append(message)
            case Advance():
                self._advance(message.request, message.event, inbox)
            case Assessed():
                self._end(message.request, message.generation, message.trust)
            case Drawn():
                self._drawings.end(message)
            case _:
                self._obey(message, reader)

    def _obey(self, command: Command, reader: ReadAhead) -> None:
        match command:
            case Task():
                self.reporter.add(command)
                reader.submit(command)
            case Room():
                self.answering.wanted = command
            case Cancel():
                self._cancel(command.task)
            case Stop():
                self._stop(command.task)

    def _begin_answers(self, inbox: Inbox, reader: ReadAhead) -> None:
        """Fill the free slots; nothing is decoded meanwhile, so that all who come begin together."""
        if self._reads or (self._waiting and self.answering.free):
            with self.answering.scheduler.paused():
                self._encode(inbox, reader)
                self._fill_slots(inbox)

    def _encode(self, inbox: Inbox, reader: ReadAhead) -> None:
        """Meet radiographs, those too that come meanwhile, as long as there is room for their questions."""
        while self._reads and len(self._waiting) < max(1, self.answering.free):
            read = self._reads.popleft()
            reader.release()
            if self.reporter.is_open(read.task):  # else it was cancelled
                self.reporter.times.read_s += read.read_s
                self._meet(read, inbox)
            self._take_messages(inbox, reader)

    def _meet(self, read: Read, inbox: Inbox) -> None:
        """A radiograph is encoded for those of its questions that nobody has asked about it before."""
        if isinstance(read.found, XrayGPTError):
            source = read.found.source if isinstance(read.found, InputRefused) else None
            self.reporter.refuse(read.task, read.task.questions, read.found, source)
            return
        subscriber, pixels = Subscriber(read.task, read.found.source, read.read_s), pixel_hash(read.found)
        if read.task.maps_of is not None:
            self._draw(subscriber, pixels, read.found, read.task.maps_of, inbox)
            return
        keys = [(pixels, question, read.task.asking) for question in read.task.questions]
        new = [key for key in keys if not self._join(key, subscriber)]
        if new:
            self._request(new, subscriber, read.found)

    def _join(self, key: Key, subscriber: Subscriber) -> bool:
        """Answer from the cache, or subscribe to what another task has asked; whether either could be done."""
        known, request = self._cache.recall(key), self._requests.get(key)
        if known is not None:
            generation, trust = known
            self.reporter.text([subscriber], key[1], generation.text)
            self.reporter.answer(subscriber, key[1], generation, trust)
        elif request is not None:
            self.reporter.text([subscriber], key[1], request.text)
            request.subscribers.append(subscriber)
        return known is not None or request is not None

    def _request(self, keys: list[Key], subscriber: Subscriber, radiograph: Radiograph) -> None:
        """Encode, and wait for slots."""
        asking = subscriber.task.asking
        deadline = Deadline(self.answering.sampling(asking).timeout_s)
        try:
            known, image = self._encoded(keys[0][0], radiograph, subscriber.read_s, deadline)
        except ONE_TASK as error:
            self.reporter.refuse(subscriber.task, [key[1] for key in keys], error, radiograph.source)
            return
        prefix = self.model.prefix(image, self.settings.template) if len(keys) > 1 else None
        for key in keys:
            self._requests[key] = SharedRequest(key, image, prefix, deadline, [subscriber], asking, known)
            self._waiting.append(self._requests[key])

    def _draw(
        self, subscriber: Subscriber, pixels: bytes, radiograph: Radiograph, answer: Answer, inbox: Inbox
    ) -> None:
        """Encode, and have maps drawn of what an answer states."""
        task = subscriber.task
        try:
            _, image = self._encoded(pixels, radiograph, subscriber.read_s, Deadline(None))
        except ONE_TASK as error:
            self.reporter.refuse(task, task.questions, error, radiograph.source)
        else:
            self._drawings.begin(task, answer, image, inbox.put)

    def _encoded(
        self, pixels: bytes, radiograph: Radiograph, read_s: float, deadline: Deadline
    ) -> tuple[Known, EncodedImage]:
        """The image, with the time that it has taken now: none where it was known."""
        known = self._images.recall(pixels)
        if known is not None:
            return known, replace(known.image, source=radiograph.source, read_s=read_s, wait_s=0.0, vision_s=0.0)
        image = self.model.encode_radiograph(radiograph, read_s, deadline)
        self.reporter.times.vision_s += image.vision_s
        return self._images.keep(pixels, image), image

    def _fill_slots(self, inbox: Inbox) -> None:
        while self._waiting and self.answering.free:
            request = self._waiting.popleft()
            wanted = self.answering.request(request.image, request.key[1], request.asking, request.deadline)
            after = request.prefix
            if request.asking is not None:
                request.kept = Prefix(wanted.prompt)
                # A first question is computed as if it were alone: the same last bits.
                after = request.known.computed if request.asking.history else None
            request.cancel = self.answering.start(
                wanted, request.image, partial(_post, inbox, request), after, request.kept
            )

    def _advance(self, request: SharedRequest, event: AnswerEvent, inbox: Inbox) -> None:
        """Pass text on; at the end, ask how far to trust the answer, unless nobody waits for it any more."""
        is_wanted = self._is_wanted(request)
        if isinstance(event, Piece):
            self.reporter.times.tokens += event.token_id is not None
            if is_wanted:
                request.text += event.text
                self.reporter.text(request.subscribers, request.key[1], event.text)
        elif is_wanted and _is_too_long(event) and request.forget_a_turn():
            self.answering.in_work -= 1
            self._waiting.appendleft(request)
        elif isinstance(event, Generation) and is_wanted and self.settings.trust != "off":
            ask = self.answering.ask(request.key[1], request.asking)
            told = Told.of(request.image, ask, event)
            self.assessing.start(told, request.deadline, lambda trust: inbox.put(Assessed(request, event, trust)))
        else:
            self._end(request, event)

    def _end(self, request: SharedRequest, result: Generation | BaseException, trust: Trust | None = None) -> None:
        """Free the slot, and tell every subscriber, unless nobody waits for it any more."""
        self.answering.in_work -= 1
        if self._is_wanted(request):
            self.answering.note(self.reporter.times)
            self._finish(request, result, trust)

    def _is_wanted(self, request: SharedRequest) -> bool:
        return self._requests.get(request.key) is request

    def _finish(self, request: SharedRequest, result: Generation | BaseException, trust: Trust | None) -> None:
        """Tell every subscriber; an error that is not one task's is raised."""
        del self._requests[request.key]
        question = request.key[1]
        for subscriber in request.subscribers:
            if isinstance(result, Generation):
                self.reporter.answer(subscriber, question, result, trust, request.image.vision_s, request.forgotten)
            elif isinstance(result, XrayGPTError):
                self.reporter.refuse(subscriber.task, (question,), result, subscriber.source)
            else:
                raise result
        if isinstance(result, Generation):
            request.known.computed = request.kept
            if result.finish_reason in {"stop", "length"} and not request.forgotten:  # another time it may get further
                self._cache.keep(request.key, result, trust)

    def _cancel(self, number: int) -> None:
        """End a task, and with it every request that nobody else waits for."""
        if not self.reporter.cancel(number):
            return
        self._drawings.cancel(number)
        for request in list(self._requests.values()):
            request.subscribers = [each for each in request.subscribers if each.task.number != number]
            if not request.subscribers:
                self._forget(request)

    def _stop(self, number: int) -> None:
        """Let a task's answers end as they are; what has not begun, or is shared with others, is cancelled."""
        own = [each for each in self._requests.values() if {s.task.number for s in each.subscribers} == {number}]
        if not own or any(request.cancel is None for request in own):
            self._cancel(number)
        for request in own:
            if request.cancel is not None:
                request.cancel()

    def _forget(self, request: SharedRequest) -> None:
        del self._requests[request.key]
        if request in self._waiting:
            self._waiting.remove(request)
        elif request.cancel:
            request.cancel()
            request.deadline.expire()  # what is being said of how far to trust it ends as well


def _post(inbox: Inbox, request: SharedRequest, event: AnswerEvent) -> None:
    """Called by the scheduler's thread."""
    inbox.put(Advance(request, event))


def _is_too_long(event: AnswerEvent) -> bool:
    return isinstance(event, UsageError) and event.error_id == "E-USE-008"


def pixel_hash(radiograph: Radiograph) -> bytes:
    """Of the image as it was read, its shape counted in."""
    digest = blake2b(repr(radiograph.pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(radiograph.pixels).data)
    return digest.digest()


def _loaded(settings: Load) -> XrayGPT:
    """The model. Encoder and language model take turns here, so both stay, also with little memory."""
    o = settings.options
    memory: Memory = "fast" if o.memory == "fast" else "auto"
    return XrayGPT.load(settings.bundle, replace(o, memory=memory))
