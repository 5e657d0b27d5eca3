"""The model in a process that may die: tasks in, events out; it is started again, and suspects are tried alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from xraygpt_edge.errors import WorkerCrashed, XrayGPTError
from xraygpt_edge.host.flights import TRIES_MAX, Flights, Tell
from xraygpt_edge.host.messages import (
    Cancel,
    Cancelled,
    Event,
    Fatal,
    Heartbeat,
    Load,
    Ready,
    Record,
    Room,
    StageTimes,
    Started,
    Stop,
    Task,
    Text,
)
from xraygpt_edge.host.process import Died, ModelProcess

DEATHS_MAX = 3
"""So many in a row, with nothing finished in between, end the host."""
AHEAD = 4
"""Tasks beyond those being answered, so that files can be read ahead."""
OPEN_MAX = 68
"""Tasks that `answer_all` has open: as many as can be answered at once, and those read ahead."""
SILENCE_MAX_S = 900.0
"""A process that says nothing for so long is dead: one prompt of a 7B model takes a slow computer a minute."""
POLL_S = 0.2
"""Windows does not interrupt a waiting queue; so wait in short pieces."""


def _ignore(_event: Ready | Fatal) -> None:
    """Nobody watches."""


class _Closing(BaseException):
    """The client is done."""


class ModelHost:
    """Keeps one model process going; a context manager, safe to share: any thread may submit, cancel or close.

    The process starts on entering, and again whenever it has died. Three deaths in a row with nothing finished in
    between, or an error that no other task would escape, end the host: every open task is told `Fatal`, and so is
    every later one.
    """

    def __init__(
        self, load: Load, ahead: int = AHEAD, tries: int = TRIES_MAX, watch: Callable[[Ready | Fatal], None] = _ignore
    ) -> None:
        """Nothing is started yet.

        ahead: tasks that may be read while others are answered. tries: of a task in work when the process dies.
        watch: called in the host's thread whenever a process is ready, and when the host has ended; returns at once.
        """
        self.load, self._watch = load, watch
        self.ready: Ready | None = None
        """What the latest process said about itself."""
        self.times = StageTimes()
        """Of all processes together."""
        self.restarts = 0
        """How often the process has died."""
        self._past, self._deaths, self._silent_s = StageTimes(), 0, 0.0
        self._flights = Flights(ahead, tries)
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        """What the host's own thread is to do next: it alone touches tasks and process."""
        self._lock, self._is_closed = threading.Lock(), False
        self._process: ModelProcess | None = None
        self._room: Room | None = None
        self._thread = threading.Thread(target=self._run, name="model-host", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, task: Task, tell: Tell) -> None:
        """Take a task and return at once.

        tell: called with each event of the task, in the host's thread; it returns at once and never raises. The
        last event is the Record of the last question, Cancelled, or Fatal.
        """
        if not task.questions:
            raise ValueError("a task without a question would never end")
        if not self._do(partial(self._flights.add, task, tell)):
            tell(Cancelled(task.number))

    def make_room(self, room: Room) -> None:
        """Have this and every later process answer so many at the same time; `ready` says how many they are."""
        self._do(partial(self._make_room, room))

    def cancel(self, number: int) -> None:
        """End a task; its client is told `Cancelled`, unless its last record is on its way already."""
        self._do(partial(self._cancel, number))

    def stop(self, number: int) -> None:
        """End a task's answers as they are: its client gets a record of what was said, or `Cancelled` if it waits."""
        self._do(partial(self._stop, number))

    def answer_all(self, tasks: Iterable[Task]) -> Iterator[Event]:
        """Each task's events, in the order in which they come; tasks are taken only as fast as they are answered.

        Raises what has ended the host.
        """
        told: SimpleQueue[Event] = SimpleQueue()
        coming, open_questions = iter(tasks), dict[int, int]()
        while True:
            for task in islice(coming, OPEN_MAX - len(open_questions)):
                open_questions[task.number] = len(task.questions)
                self.submit(task, told.put)
            if not open_questions:
                return
            event = _next(told)
            if isinstance(event, Fatal):
                raise event.error
            _count(event, open_questions)
            yield event

    def stream(self, task: Task) -> Iterator[Event]:
        """One task's events; who stops listening cancels it. Raises what has ended the host."""
        try:
            yield from self.answer_all((task,))
        finally:
            self.cancel(task.number)

    def close(self) -> None:
        """End the process at once, and tell `Cancelled` to whoever still waits."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._inbox.put(_close)
            if self._process is not None:
                self._process.kill()  # the thread may be about to write to it
        self._thread.join()

    def _do(self, what: Callable[[], None]) -> bool:
        """Have the host's thread do something; False after `close`, when there is nobody to do it."""
        with self._lock:
            if not self._is_closed:
                self._inbox.put(what)
            return not self._is_closed

    def _run(self) -> None:
        """The host's own thread."""
        try:
            fatal = Fatal.of(self._supervise())
            self._watch(fatal)
            while True:
                for flight in self._flights.end_all():
                    flight.tell(fatal)
                self._inbox.get()()
        except _Closing:
            for flight in self._flights.end_all():
                flight.tell(Cancelled(flight.task.number))

    def _supervise(self) -> XrayGPTError:
        """One process after another; returns what no further process could mend."""
        try:
            while True:
                self._live_once()
        except XrayGPTError as error:
            return error
        except Exception as error:  # noqa: BLE001 - our bug; nobody may wait for ever because of it
            return XrayGPTError("E-BUG-001", type(error).__name__)

    def _live_once(self) -> None:
        """One process, from its start to its death."""
        process = ModelProcess(self.load, self._hear_from)
        try:
            self._adopt(process)
            if self._room:
                process.send(self._room)
            while True:
                for task in self._flights.departures():
                    process.send(task)
                self._next_thing()()
        except Died as death:
            self._bury(str(death))
        finally:
            with self._lock:
                self._process = None
            process.close()

    def _adopt(self, process: ModelProcess) -> None:
        with self._lock:
            if self._is_closed:
                raise _Closing
            self._process, self._silent_s = process, 0.0

    def _next_thing(self) -> Callable[[], None]:
        """What is to be done next; raises Died when the process has been silent for too long."""
        while True:
            began_s = time.monotonic()
            try:
                return self._inbox.get(timeout=POLL_S)
            except Empty:
                pass
            finally:  # a computer that slept in between has not heard silence
                self._silent_s += min(time.monotonic() - began_s, POLL_S)
            if self._silent_s >= SILENCE_MAX_S:
                raise Died(f"it was silent for {SILENCE_MAX_S:g} s")

    def _hear_from(self, process: ModelProcess, event: Event | Died) -> None:
        """In the listener's thread."""
        self._do(partial(self._hear, process, event))

    def _hear(self, process: ModelProcess, event: Event | Died) -> None:
        if process is not self._process:
            return  # last words of one that was given up
        self._silent_s = 0.0
        match event:
            case Died():
                raise event
            case Fatal():
                raise event.error
            case Ready():
                self.ready, self._flights.slots = event, event.slots
                self._watch(event)
            case Heartbeat():
                self.times = self._past + event.times
            case _:
                self._hear_of_task(event)

    def _hear_of_task(self, event: Started | Text | Record | Cancelled) -> None:
        match event:
            case Record():
                if self._flights.land(event):
                    self._deaths = 0
            case Cancelled():
                self._flights.end_cancelled(event.task)
            case _:
                self._flights.pass_on(event)

    def _make_room(self, room: Room) -> None:
        self._room = room
        if self._process is not None:
            self._process.send(room)

    def _cancel(self, number: int) -> None:
        if self._flights.cancel(number) and self._process is not None:
            self._process.send(Cancel(number))

    def _stop(self, number: int) -> None:
        if self._process is not None and self._flights.is_away(number):
            self._process.send(Stop(number))
        else:
            self._cancel(number)

    def _bury(self, why: str) -> None:
        self._deaths += 1
        self.restarts += 1
        self._past = self.times
        self._flights.bury(why)
        if self._deaths >= DEATHS_MAX:
            raise WorkerCrashed("E-BAT-019", why)


def _close() -> None:
    raise _Closing


def _next(told: SimpleQueue[Event]) -> Event:
    while True:
        try:
            return told.get(timeout=POLL_S)
        except Empty:
            continue


def _count(event: Event, open_questions: dict[int, int]) -> None:
    """Take off what has ended with an event."""
    if isinstance(event, Record):
        open_questions[event.task] -= 1
    if isinstance(event, Cancelled) or (isinstance(event, Record) and not open_questions[event.task]):
        del open_questions[event.task]
