"""Which film is next, among all runs: a person's question goes first, and runs take turns. For one event loop.

Films begin one after another, the next when the one before has its first word: so a person waits for one film at
most, however many are being answered at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from xraygpt_edge.generation.capacity import MAX_SLOTS
from xraygpt_edge.host import Cancelled, Event, Fatal, ModelHost, Record, Room, Task, Text
from xraygpt_edge.serve.errors import DIED
from xraygpt_edge.serve.questions import Questions
from xraygpt_edge.serve.runs.run import AHEAD, Film, Run

ALONE = Room(slots=1)
"""As a server answers persons: one at a time, as fast as it goes."""
UNTOUCHED_S = 60.0
"""A run whose browser sends nothing for so long needs no room."""


class Hears(Protocol):
    """Who is told what has become of films."""

    def answered(self, run: Run, film: Film, record: Record) -> None:
        """One question has its record."""

    def broken(self, fatal: Fatal) -> None:
        """There are no more answers."""


class Queue:
    """Films on their way through the model."""

    def __init__(
        self, questions: Questions, parallel: int | None, hears: Hears, runs: Callable[[], Iterable[Run]]
    ) -> None:
        self._questions, self._parallel, self._hears, self._runs = questions, parallel, hears, runs
        self._away: dict[Film, Run] = {}
        """Films that the model process has."""
        self._entering: Film | None = None
        """The film whose first word is awaited."""
        self._turns = itertools.count(1)
        self._room = ALONE
        self._looking: asyncio.TimerHandle | None = None

    def attach(self, host: ModelHost, loop: asyncio.AbstractEventLoop) -> None:
        """Say who answers."""
        self._host, self._loop = host, loop
        self._questions.on_way_free = self.go_on

    def room_for(self, run: Run) -> int:
        """How many films of a run may be sent now."""
        n_questions = len(run.asked.questions)
        return max(0, max(1, self._slots // n_questions) + AHEAD - run.n_here)

    def go_on(self) -> None:
        """Begin what can be begun."""
        while found := self._next():
            self._begin(*found)

    def forget(self, run: Run) -> None:
        """Let go of a run's films."""
        for film in [film for film, its in self._away.items() if its is run]:
            self._host.cancel(film.task)
            self._leave(film)
        self.settle_room()
        self.go_on()

    def settle_room(self) -> None:
        """Have room for many while a run goes on, and for one, who is answered faster, when none does."""
        now_s, runs = time.monotonic(), self._runs()
        going = [run for run in runs if run.state == "going" and (run.n_here or now_s - run.touched_s < UNTOUCHED_S)]
        room = self._wide(going) if going else ALONE
        if room != self._room:
            self._room = room
            self._host.make_room(room)
        if self._looking:
            self._looking.cancel()
        self._looking = self._loop.call_later(UNTOUCHED_S, self.settle_room) if going else None

    def close(self) -> None:
        """Look after the room no longer."""
        if self._looking:
            self._looking.cancel()

    @property
    def _slots(self) -> int:
        """Questions of films that are answered at the same time; one more is a person's."""
        ready = self._questions.ready
        return max(1, ready.slots - 1) if ready else 1

    def _wide(self, going: list[Run]) -> Room:
        questions = tuple(dict.fromkeys(question for run in going for question in run.asked.questions))
        least = max(len(run.asked.questions) for run in going)
        if self._parallel:
            return Room(questions, max(self._parallel, least) + 1)
        most = sum(run.n_files * len(run.asked.questions) for run in going)
        return Room(questions, None, least + 1, min(MAX_SLOTS, most) + 1)

    def _next(self) -> tuple[Run, Film] | None:
        questions = self._questions
        if not questions.ready or questions.fatal or questions.awaits_first_word or self._entering:
            return None
        runs = sorted((run for run in self._runs() if run.state == "going" and run.ready), key=lambda run: run.turn)
        return next(((run, film) for run in runs for film in run.ready if self._has_room(film)), None)

    def _has_room(self, film: Film) -> bool:
        """A suspect goes alone."""
        if not self._away:
            return True
        is_alone = film.is_suspect or any(each.is_suspect for each in self._away)
        return not is_alone and sum(len(each.open) for each in self._away) + len(film.open) <= self._slots

    def _begin(self, run: Run, film: Film) -> None:
        run.ready.remove(film)
        run.turn, film.began_s, film.task = next(self._turns), time.monotonic(), next(self._questions.numbers)
        run.mark(film, "answering")
        self._away[film], self._entering = run, film
        questions = tuple(question for question in run.asked.questions if question in film.open)
        task = Task(film.task, "", questions, wants_text=True, view=film.view)
        self._host.submit(task, partial(self._hear_from, film, film.task))

    def _hear_from(self, film: Film, task: int, event: Event) -> None:
        """In the host's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._hear, film, task, event)

    def _hear(self, film: Film, task: int, event: Event) -> None:
        run = self._away.get(film)
        if run is None or film.task != task:
            return  # it was forgotten, or is tried again
        self._questions.used_at_s = time.monotonic()
        match event:
            case Text():
                self._has_entered(film)
            case Record():
                self._take(run, film, event)
            case Cancelled():
                self._leave(film)
                run.drop(film)
            case Fatal():
                self._away.clear()
                self._hears.broken(event)
        self.go_on()

    def _take(self, run: Run, film: Film, record: Record) -> None:
        if record.failure and record.failure.error_id == DIED and not film.is_suspect:
            film.is_suspect = True
            self._leave(film)
            self.wait(run, film)
            return
        film.open.discard(record.question)
        self._has_entered(film)
        if not film.open:
            film.seconds = time.monotonic() - film.began_s
            self._leave(film)
        self._hears.answered(run, film, record)

    def wait(self, run: Run, film: Film) -> None:
        """A film can be asked about."""
        run.mark(film, "waiting")
        run.ready.append(film)

    def _has_entered(self, film: Film) -> None:
        if self._entering is film:
            self._entering = None

    def _leave(self, film: Film) -> None:
        self._has_entered(film)
        self._away.pop(film, None)
