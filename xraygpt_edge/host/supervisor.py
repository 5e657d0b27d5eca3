"""Tasks through the model process, come what may: it is started again, and suspects are tried alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from xraygpt_edge.errors import WorkerCrashed
from xraygpt_edge.host.messages import Outcome, Task, revived
from xraygpt_edge.host.process import Died, ModelProcess
from xraygpt_edge.records import Failure

DEATHS_MAX = 3
"""So many in a row, with nothing finished in between, end the batch."""
TRIES_MAX = 2
"""A radiograph that is there when the process dies is tried once more, alone."""
AHEAD = 4
"""Tasks beyond those being answered, so that files can be read ahead."""

Start = Callable[[], ModelProcess]
Watch = Callable[[Task], None]


@dataclass(slots=True)
class _InFlight:
    """A task that the process has and has not finished."""

    task: Task
    open_questions: set[str]
    started: bool = False


@dataclass(slots=True)
class Supervisor:
    """Keeps one model process busy and counts its deaths."""

    start: Start
    started: Watch = lambda _task: None
    """Called when the process begins with a radiograph."""
    busy: dict[str, float] = field(default_factory=dict)
    """Seconds by stage, of the processes that have ended and of the one that runs."""
    restarts: int = 0
    _past: dict[str, float] = field(default_factory=dict)
    _again: deque[Task] = field(default_factory=deque)
    _in_flight: dict[int, _InFlight] = field(default_factory=dict)
    _deaths: int = 0
    _parallel: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    """What the process said about itself when it was ready."""

    def outcomes(self, tasks: Iterator[Task]) -> Generator[Outcome]:
        """Each task's outcomes, in the order in which they are ready.

        Raises WorkerCrashed after three deaths in a row, and whatever ends a batch in the process itself.
        """
        first = next(tasks, None)
        if first is None:
            return  # nothing to do: the model is not even loaded
        self._again.append(first)
        while True:
            process = self.start()
            try:
                yield from self._serve(process, tasks)
                return
            except Died as death:
                yield from self._bury(str(death))
            finally:
                process.close()

    def _serve(self, process: ModelProcess, tasks: Iterator[Task]) -> Iterator[Outcome]:
        """Until every task is done; raises Died."""
        self._parallel = 0  # until the process says what it can do
        while True:
            self._fill(process, tasks)
            if self._parallel and not self._in_flight:
                return
            message = process.receive()
            if "ready" in message:
                self.facts, self._parallel = message["ready"], message["ready"]["parallel"]
            elif "started" in message:
                self._note_start(message["started"])
            elif "busy" in message:
                self._note_busy(message["busy"])
            elif "record" in message:
                yield from self._finish(message)
            elif "fatal" in message:
                raise revived(message["fatal"])

    def _fill(self, process: ModelProcess, tasks: Iterator[Task]) -> None:
        """Hand out tasks up to the window; a suspect goes alone."""
        while len(self._in_flight) < self._window():
            task = self._again[0] if self._again else next(tasks, None)
            if task is None:
                return
            if task.attempt >= TRIES_MAX and self._in_flight:
                return
            if self._again:
                self._again.popleft()
            self._in_flight[task.number] = _InFlight(task, set(task.questions))
            process.send(task.to_message())

    def _window(self) -> int:
        alone = any(flight.task.attempt >= TRIES_MAX for flight in self._in_flight.values())
        return 1 if alone else self._parallel + AHEAD if self._parallel else 0

    def _note_start(self, number: int) -> None:
        self._in_flight[number].started = True
        self.started(self._in_flight[number].task)

    def _note_busy(self, busy: dict[str, float]) -> None:
        names = self._past.keys() | busy.keys()
        self.busy = {name: self._past.get(name, 0.0) + busy.get(name, 0.0) for name in names}

    def _finish(self, message: dict[str, Any]) -> Iterator[Outcome]:
        flight = self._in_flight[message["task"]]
        outcome = Outcome(flight.task, message["question"], message["record"])
        flight.open_questions.discard(outcome.question)
        if not flight.open_questions:
            del self._in_flight[flight.task.number]
        self._deaths = 0
        yield outcome

    def _bury(self, why: str) -> Iterator[Outcome]:
        """Sort what a dead process had: never begun, to be tried again, or given up."""
        self._deaths += 1
        self.restarts += 1
        self._past = self.busy
        flights, self._in_flight = sorted(self._in_flight.values(), key=lambda f: f.task.number), {}
        for flight in reversed(flights):
            rest = tuple(q for q in flight.task.questions if q in flight.open_questions)
            task = replace(flight.task, questions=rest, attempt=flight.task.attempt + flight.started)
            if task.attempt > TRIES_MAX:
                yield from _given_up(flight.task, rest, why)
            else:
                self._again.appendleft(task)
        if self._deaths >= DEATHS_MAX:
            raise WorkerCrashed("E-BAT-019", why)


def _given_up(task: Task, questions: tuple[str, ...], why: str) -> Iterator[Outcome]:
    error = WorkerCrashed("E-BAT-020", why)
    for question in questions:
        failure = Failure(error.error_id, error.message, int(error.code))
        yield Outcome(task, question, failure.to_dict())
