"""The one queue in front of the model: who waits, who is being answered, who has left. For one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import TypeAlias

from msgspec.structs import replace

from xraygpt_edge.errors import WorkerCrashed
from xraygpt_edge.host import Cancelled, Event, Fatal, ModelHost, Ready, Record, Started, Task, Text
from xraygpt_edge.records import Failure
from xraygpt_edge.serve.errors import DIED, Refused

FIRST_GUESS_S = 10.0
"""For an answer, before there was one."""
DEATHS_MAX = 2
"""A radiograph that has killed the model process so often is refused."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A place in the queue."""

    position: int
    """1 is the next one."""
    wait_s: int
    """As far as the latest answers tell."""


Happening: TypeAlias = Moved | Started | Text | Record | Cancelled | Fatal


@dataclass(slots=True, eq=False)
class Question:
    """A question from the moment it was asked until its end."""

    task: Task
    session: str = ""
    turn: int = 0
    """Everybody's first question comes before anybody's second: lower turns are answered first."""
    happenings: asyncio.Queue[Happening] = field(default_factory=asyncio.Queue)
    began_s: float = 0.0
    has_said: bool = False
    """Something of the answer that is no white space."""


class Questions:
    """Everybody who asks; one is answered at a time: sessions take turns, each asks in its own order."""

    def __init__(self, most_waiting: int) -> None:
        self._most_waiting = most_waiting
        self._waiting: list[Question] = []
        self._turn = 0
        """Of the latest question that was begun."""
        self._running: Question | None = None
        self.numbers = itertools.count(1)
        """Of tasks, whoever asks."""
        self.on_way_free: Callable[[], None] = lambda: None
        """Called when nobody waits for a first word any more."""
        self._deaths: Counter[str] = Counter()
        """SHA-256 of a radiograph → model processes that died with it."""
        self._took_s: deque[float] = deque(maxlen=8)
        self.ready: Ready | None = None
        """None until the model is loaded for the first time."""
        self.fatal: Fatal | None = None
        """Why there are no more answers."""
        self.used_at_s = time.monotonic()
        """When somebody last asked, or was last answered."""

    def attach(self, host: ModelHost, loop: asyncio.AbstractEventLoop) -> None:
        """Say who answers."""
        self._host, self._loop = host, loop

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def is_busy(self) -> bool:
        """Whether something is being answered."""
        return self._running is not None

    @property
    def awaits_first_word(self) -> bool:
        """Whether somebody's answer has not begun yet."""
        return self._running is not None and not self._running.has_said

    async def ask(
        self, session: str, task: Task, told: Callable[[Question], None] | None = None
    ) -> AsyncGenerator[Happening]:
        """Ask, and say what happens until the end; who stops listening has left. Raises Refused.

        task: about a view; it is given a number here. told: called with the question once it has a place.
        """
        asked = self._enter(session, task)
        try:
            if told:
                told(asked)
            while True:
                happening = await asked.happenings.get()
                yield happening
                if isinstance(happening, Record | Cancelled | Fatal):
                    return
        finally:
            self._leave(asked)

    def stop(self, asked: Question) -> None:
        """End a question with what it has said; one that waits is cancelled."""
        if asked is self._running:
            self._host.stop(asked.task.number)
        elif asked in self._waiting:
            asked.happenings.put_nowait(Cancelled(asked.task.number))

    def end_all(self, fatal: Fatal | None) -> None:
        """Tell everybody that there are no more answers, and why, if it is the model."""
        self.fatal = fatal
        for asked in (*self._waiting, *filter(None, [self._running])):
            asked.happenings.put_nowait(fatal or Cancelled(asked.task.number))
        self._waiting.clear()

    def _enter(self, session: str, task: Task) -> Question:
        if self.fatal is not None:
            raise Refused.of(self.fatal.error, status=503)
        if self.ready is None:
            raise Refused.because("E-SRV-014")
        if task.view and self._deaths[task.view.source.sha256] >= DEATHS_MAX:
            raise Refused.because("E-SRV-019")
        if self._running is not None and len(self._waiting) >= self._most_waiting:
            raise Refused.because("E-SRV-003", f"{len(self._waiting)}")
        asked = Question(replace(task, number=next(self.numbers)), session, self._turn_of(session))
        self.used_at_s = time.monotonic()
        place = bisect_right(self._waiting, asked.turn, key=attrgetter("turn"))
        self._waiting.insert(place, asked)
        self._go_on()
        if asked is not self._running:
            self._tell_places(place)
        return asked

    def _turn_of(self, session: str) -> int:
        """The turn of its next question."""
        own = [each.turn for each in (*self._waiting, *filter(None, [self._running])) if each.session == session]
        return max(own, default=self._turn - 1) + 1

    def _leave(self, asked: Question) -> None:
        self.used_at_s = time.monotonic()
        if asked in self._waiting:
            self._waiting.remove(asked)
            self._tell_places()
        elif asked is self._running:
            self._host.cancel(asked.task.number)

    def _go_on(self) -> None:
        if self._running is None and self._waiting:
            self._running = asked = self._waiting.pop(0)
            self._turn = asked.turn
            asked.began_s = time.monotonic()
            self._host.submit(asked.task, partial(self._hear_from, asked))

    def _hear_from(self, asked: Question, event: Event) -> None:
        """In the host's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever asked
            self._loop.call_soon_threadsafe(self._hear, asked, event)

    def _hear(self, asked: Question, event: Event) -> None:
        match event:
            case Started():
                asked.happenings.put_nowait(event)
            case Text():
                text = event.text if asked.has_said else event.text.lstrip()
                if text:
                    asked.has_said = True
                    asked.happenings.put_nowait(replace(event, text=text))
                    self.on_way_free()
            case Record() | Cancelled() | Fatal():
                asked.happenings.put_nowait(self._understood(asked, event))
                self._end(asked, event)

    def _end(self, asked: Question, event: Event) -> None:
        if isinstance(event, Record) and event.answer and asked.task.maps_of is None:
            self._took_s.append(time.monotonic() - asked.began_s)
        if asked is self._running:
            self._running = None
            self._go_on()
            self._tell_places()
            self.on_way_free()

    def _understood(self, asked: Question, event: Record | Cancelled | Fatal) -> Record | Cancelled | Fatal:
        """A death in this server's words."""
        if (
            not isinstance(event, Record)
            or event.failure is None
            or event.failure.error_id != DIED
            or not asked.task.view
        ):
            return event
        self._deaths[asked.task.view.source.sha256] += 1
        error = WorkerCrashed("E-SRV-015")
        return replace(event, failure=Failure(error.error_id, error.message, int(error.code)))

    def _tell_places(self, first: int = 0) -> None:
        for position, asked in enumerate(self._waiting[first:], first + 1):
            asked.happenings.put_nowait(self._place(position))

    def _place(self, position: int) -> Moved:
        each_s = sum(self._took_s) / len(self._took_s) if self._took_s else FIRST_GUESS_S
        spent_s = time.monotonic() - self._running.began_s if self._running else 0.0
        return Moved(position, round(max(0.0, each_s - spent_s) + (position - 1) * each_s))
