"""Which films wait, which worker has which, and what becomes of a dead worker's. No Ray, no process."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from xraygpt_edge.errors import WorkerCrashed
from xraygpt_edge.host import Record, Task
from xraygpt_edge.records import Failure

DEATHS_MAX = 2
"""A film that was begun in so many dying workers is tried alone; if that one dies too, it fails."""


@dataclass(slots=True)
class _Film:
    task: Task
    open_questions: set[str]
    """Without a record yet."""
    deaths: int = 0
    """Of workers that had begun with it."""
    is_begun: bool = False

    @property
    def rest(self) -> Task:
        return replace(self.task, questions=tuple(q for q in self.task.questions if q in self.open_questions))


@dataclass(slots=True)
class Films:
    """Every film that the pool was given and that has no record yet; for one thread. Workers are known by number."""

    _films: dict[int, _Film] = field(default_factory=dict)
    _waiting: deque[int] = field(default_factory=deque)
    _suspects: deque[int] = field(default_factory=deque)
    _away: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Worker → its films."""

    def add(self, task: Task) -> None:
        """Take a film; it waits."""
        self._films[task.number] = _Film(task, set(task.questions))
        self._waiting.append(task.number)

    def chunk(self, worker: int, most: int, n_workers: int) -> list[Task]:
        """Films that a worker is to have now: fewer towards the end, so that all end together; a suspect goes alone."""
        away = self._away[worker]
        if self._suspects and not away and not self._waiting:
            numbers = [self._suspects.popleft()]
        elif any(self._is_suspect(number) for number in away):
            numbers = []
        else:
            even = -(-len(self._waiting) // (2 * n_workers))
            numbers = [self._waiting.popleft() for _ in range(min(most, even))]
        away.update(numbers)
        return [self._films[number].rest for number in numbers]

    def put_back(self, worker: int, tasks: Sequence[Task]) -> None:
        """What was too much for a worker waits again."""
        for task in reversed(tasks):
            self._away[worker].discard(task.number)
            self._wait_again(task.number)

    def begin(self, number: int) -> None:
        """A worker has begun with a film, and might be dead of it soon."""
        if number in self._films:
            self._films[number].is_begun = True

    def land(self, worker: int, record: Record) -> bool:
        """Whether a record was still awaited."""
        film = self._films.get(record.task)
        if film is None or record.question not in film.open_questions:
            return False
        film.open_questions.discard(record.question)
        if not film.open_questions:
            del self._films[record.task]
            self._away[worker].discard(record.task)
        return True

    def bury(self, worker: int) -> Iterator[Record]:
        """Give a dead worker's films back; yields the failures of those that are given up."""
        for number in sorted(self._away.pop(worker, ()), reverse=True):
            film = self._films[number]
            film.deaths += film.is_begun
            if film.is_begun and film.deaths > DEATHS_MAX:
                yield from _given_up(self._films.pop(number))
            else:
                self._wait_again(number)

    def _wait_again(self, number: int) -> None:
        self._films[number].is_begun = False
        (self._suspects if self._is_suspect(number) else self._waiting).appendleft(number)

    def _is_suspect(self, number: int) -> bool:
        film = self._films.get(number)
        return film is not None and film.deaths >= DEATHS_MAX


def _given_up(film: _Film) -> Iterator[Record]:
    error = WorkerCrashed("E-SCA-022")
    failure = Failure(error.error_id, error.message, int(error.code))
    for question in film.rest.questions:
        yield Record(film.task.number, question, failure=failure, attempt=film.deaths)
