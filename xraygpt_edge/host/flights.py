"""Which tasks wait, which are with the process, and what becomes of them when it dies. No thread, no process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from xraygpt_edge.errors import WorkerCrashed
from xraygpt_edge.host.messages import Cancelled, Event, Record, Started, Task, Text
from xraygpt_edge.records import Failure

TRIES_MAX = 2
"""A radiograph that is there when the process dies is tried once more, alone."""

Tell = Callable[[Event], None]


@dataclass(slots=True, eq=False)
class Flight:
    """A task from its submission to its end."""

    task: Task
    tell: Tell
    open_questions: set[str]
    """Without a record yet."""
    attempt: int = 1
    is_started: bool = False
    """The process has begun with it and would be dead of it, perhaps."""
    is_cancelled: bool = False

    @property
    def is_suspect(self) -> bool:
        """It was there when a process died."""
        return self.attempt > 1

    @property
    def rest(self) -> Task:
        """The task with the questions that are still open."""
        return replace(self.task, questions=tuple(q for q in self.task.questions if q in self.open_questions))


@dataclass(slots=True)
class Flights:
    """Every open task; for one thread."""

    ahead: int
    """Tasks that a process may have beyond those being answered, so that files can be read ahead."""
    tries: int = TRIES_MAX
    """Of a radiograph that is there when a process dies."""
    slots: int = 0
    """Of the process that runs; 0 until it says so."""
    _waiting: deque[Flight] = field(default_factory=deque)
    _away: dict[int, Flight] = field(default_factory=dict)
    """With the process."""

    def add(self, task: Task, tell: Tell) -> None:
        """Take a task; it waits for its turn."""
        self._waiting.append(Flight(task, tell, set(task.questions)))

    def departures(self) -> Iterator[Task]:
        """Tasks that the process is to have now, up to the window; a suspect goes alone."""
        while self._waiting and len(self._away) < self._window():
            if self._waiting[0].is_suspect and self._away:
                return
            flight = self._waiting.popleft()
            self._away[flight.task.number] = flight
            yield flight.rest

    def pass_on(self, event: Started | Text) -> None:
        """Tell a task's client, unless the task has ended meanwhile."""
        flight = self._away.get(event.task)
        if flight is not None and not flight.is_cancelled:
            flight.is_started = True
            flight.tell(event)

    def land(self, record: Record) -> bool:
        """Tell a record to whom it belongs; whether it was still awaited."""
        flight = self._away.get(record.task)
        if flight is None or record.question not in flight.open_questions:
            return False
        flight.open_questions.discard(record.question)
        if not flight.open_questions:
            del self._away[record.task]
        flight.tell(replace(record, attempt=flight.attempt))
        return True

    def cancel(self, number: int) -> bool:
        """End a task that waits; whether the process must be told to end it. One that has ended is left alone."""
        for flight in self._waiting:
            if flight.task.number == number:
                self._waiting.remove(flight)
                flight.tell(Cancelled(number))
                return False
        flight_away = self._away.get(number)
        if flight_away is None or flight_away.is_cancelled:
            return False
        flight_away.is_cancelled = True
        return True

    def is_away(self, number: int) -> bool:
        """Whether the process has a task."""
        return number in self._away

    def end_cancelled(self, number: int) -> None:
        """The process has let a task go."""
        flight = self._away.pop(number, None)
        if flight is not None:
            flight.tell(Cancelled(number))

    def bury(self, why: str) -> None:
        """Sort what a dead process had: cancelled, never begun, to be tried again, or given up."""
        dead, self._away, self.slots = list(self._away.values()), {}, 0
        again: list[Flight] = []
        for flight in sorted(dead, key=lambda flight: flight.task.number):
            if flight.is_cancelled:
                flight.tell(Cancelled(flight.task.number))
            elif flight.is_started and flight.attempt >= self.tries:
                _give_up(flight, why)
            else:
                flight.attempt += flight.is_started
                flight.is_started = False
                again.append(flight)
        self._waiting.extendleft(reversed(again))

    def end_all(self) -> list[Flight]:
        """Forget every task; the caller says to each how it ends."""
        ended = [*self._away.values(), *self._waiting]
        self._away.clear()
        self._waiting.clear()
        return ended

    def _window(self) -> int:
        alone = any(flight.is_suspect for flight in self._away.values())
        return 1 if alone else self.slots + self.ahead if self.slots else 0


def _give_up(flight: Flight, why: str) -> None:
    error = WorkerCrashed("E-BAT-020", why)
    failure = Failure(error.error_id, error.message, int(error.code))
    for question in flight.rest.questions:
        flight.tell(Record(flight.task.number, question, failure=failure, attempt=flight.attempt))
