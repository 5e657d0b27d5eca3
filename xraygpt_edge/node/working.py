"""Films of the queue through the model: chosen, answered, recorded, made into results. In the node's one thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from xraygpt_edge.errors import ExitCode, InputRefused
from xraygpt_edge.host import Event, ModelHost, Record, Task
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.ledger import Answered, Failed, Row
from xraygpt_edge.node import films, results, spool
from xraygpt_edge.node.answers import Answers
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.films import Film, Made, State
from xraygpt_edge.node.settings import Destination, Kind, Settings
from xraygpt_edge.reports.source import identity_in, read_identity

READ_AHEAD = 1
"""Films beyond those in work: an urgent one begins with the next place, and not behind many that were read before."""

NO_FILM = frozenset({"E-DCM-002", "E-DCM-017"})
"""Refusals of what was never a picture, or is a page of ours that came back: nobody waits for a word about it."""


@dataclass(slots=True)
class _Open:
    """A film in work."""

    film: Film
    folder: str
    """Of its records."""
    rows: list[Row]
    questions: set[str]
    """Without a record yet."""


@dataclass(slots=True)
class Working:
    """What is in work; every film ends with exactly one record for each question."""

    settings: Settings
    database: Database
    place: spool.Spool
    answers: Answers
    host: ModelHost
    tell: Callable[[Event], None]
    """Where the host's events go; called in the host's thread."""
    reader: Reader
    secret: bytes
    _open: dict[int, _Open] = field(default_factory=dict)
    """Task number → its film."""
    _next_number: int = 1

    def begin_more(self) -> None:
        """Give the model as many films as it has places, and one to read ahead."""
        ready = self.host.ready
        most = (ready.slots if ready else 1) + READ_AHEAD
        while len(self._open) < most:
            film = films.next_film(self.database, [each.film.id for each in self._open.values()])
            if film is None:
                return
            self._begin(film)

    def hear(self, event: Event) -> None:
        """Write down a record, and settle its film when it was the last one. Raises OutputError."""
        if not isinstance(event, Record) or event.task not in self._open:
            return
        work = self._open[event.task]
        work.rows.append(self.answers.keep(work.folder, work.film, event))
        work.questions.discard(event.question)
        if not work.questions:
            del self._open[event.task]
            self._settle(work)

    def forget(self) -> None:
        """Drop what is in work: its films wait in the queue, and each is begun again."""
        for number in self._open:
            self.host.cancel(number)
        self._open.clear()
        self.answers.close()

    def _begin(self, film: Film) -> None:
        questions = self.answers.job.questions
        folder = self.answers.folder_for(film)
        rows = self.answers.kept(folder, film) if film.answers else []
        if not film.answers:
            films.assign(self.database, film, folder)
        answered = {row.question for row in rows}
        work = _Open(film, folder, rows, {question for question in questions if question not in answered})
        if not work.questions:
            self._settle(work)
        elif not (self.place.films / film.file).is_file():
            films.settle(self.database, film, State.FAILED, error_id="E-NOD-010")
        else:
            number, self._next_number = self._next_number, self._next_number + 1
            self._open[number] = work
            asked = tuple(question for question in questions if question in work.questions)
            self.host.submit(Task(number, str(self.place.films / film.file), asked), self.tell)

    def _settle(self, work: _Open) -> None:
        answered = [row for row in work.rows if isinstance(row, Answered)]
        if answered:
            films.settle(self.database, work.film, State.ANSWERED, self._made(answered))
            return
        failed = next(row for row in work.rows if isinstance(row, Failed))
        state = State.REFUSED if failed.code == ExitCode.INPUT else State.FAILED
        made = self._refusals(work.film, failed) if state is State.REFUSED else []
        films.settle(self.database, work.film, state, made, failed.error_id)

    def _refusals(self, film: Film, failed: Failed) -> list[Made]:
        """Reports that there is no answer, where the settings want them and it can be known for whom."""
        wanted = [each for each in self.settings.destinations if "dicom-sr" in each.kinds]
        if self.settings.node.on_refusal != "report" or failed.error_id in NO_FILM:
            return []
        try:
            identity = identity_in(self.reader, self.place.films, failed.file, film.sha256)
            made = results.refusal(failed, identity, datetime.now(UTC))
        except InputRefused:
            return []
        return [self._kept(each, "dicom-sr", made) for each in wanted]

    def _made(self, answered: list[Answered]) -> list[Made]:
        """A result for each destination and kind, on disk; one that cannot be made is a dead letter that says why."""
        wanted = [(each, kind) for each in self.settings.destinations for kind in each.kinds]
        try:
            identity = read_identity(self.reader, self.place.films, answered[0])
        except InputRefused as error:
            return [Made(each.name, kind, "", "", error.error_id) for each, kind in wanted]
        return [self._one(each, kind, answered, identity) for each, kind in wanted]

    def _one(self, destination: Destination, kind: Kind, answered: list[Answered], identity: Identity) -> Made:
        try:
            made = results.make(kind, answered, identity, datetime.now(UTC))
        except InputRefused as error:
            return Made(destination.name, kind, "", "", error.error_id)
        return self._kept(destination, kind, made)

    def _kept(self, destination: Destination, kind: Kind, made: results.Made) -> Made:
        name = self.place.keep_result(made.data, made.suffix)
        instance = spool.keyed_hash(self.secret, made.sop_instance_uid) if made.sop_instance_uid else ""
        return Made(destination.name, kind, name, instance)
