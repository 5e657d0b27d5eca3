"""One run: what is asked, its films by their numbers, and what is told of them. For one event loop."""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec

from xraygpt_edge.errors import InputRefused, XrayGPTError
from xraygpt_edge.host import View
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.ledger import Answered, Row, record_of
from xraygpt_edge.records import Answer, Failure
from xraygpt_edge.serve.errors import Refused

AHEAD = 2
"""Films that may wait at the server beside those that are being answered."""
ROWS_MAX = 200
"""Told at a time."""
ID_DIGITS = 16
RATE_FILMS = 16
"""The latest films say how long the others will take."""
FilmState: TypeAlias = Literal["reading", "waiting", "answering", "ok", "failed", "left out"]
ENDED: frozenset[FilmState] = frozenset({"ok", "failed", "left out"})
RunState: TypeAlias = Literal["going", "paused", "ended", "broken"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of every film of a run."""

    questions: tuple[str, ...]
    reading: ReadOptions


class Records:
    """Records as a batch keeps them, by film and question; in little memory."""

    def __init__(self) -> None:
        self._packed: dict[tuple[str, str], bytes] = {}

    def put(self, sha256: str, question: str, line: bytes) -> None:
        """Keep the latest record of a question."""
        self._packed[sha256, question] = zlib.compress(line, 1)

    def answer(self, sha256: str, question: str) -> bytes | None:
        """The record of an answer; None where there is none, or a failure."""
        packed = self._packed.get((sha256, question))
        line = zlib.decompress(packed) if packed else None
        return line if line and isinstance(row(line), Answered) else None


def row(line: bytes) -> Row:
    """A record as reports read it."""
    found: Row = msgspec.json.decode(line, type=Row)
    return found


def answer_of(line: bytes) -> Answer:
    """The answer that a record was made from."""
    return msgspec.json.decode(line, type=Answer)


@dataclass(slots=True, eq=False)
class Film:
    """One file of a run."""

    number: int
    sha256: str
    path: str
    """As its records have it: below the folder that was dropped where runs are kept, else of its hash."""
    state: FilmState = "reading"
    change: int = 0
    """Of the run, when this was last changed."""
    view: View | None = None
    """Until it is answered."""
    identity: Identity | InputRefused | None = None
    """Patient and study, or why not; None for what is not DICOM, and for what was known already."""
    open: set[str] = field(default_factory=set)
    """Questions that have no answer and no failure yet."""
    is_suspect: bool = False
    """The model process died while it was being answered; it is tried once more, alone."""
    task: int = 0
    """At the model host."""
    began_s: float = 0.0
    seconds: float = 0.0
    is_known: bool = False
    """Answered by what an earlier run has said."""
    refusal: Failure | None = None
    """Why it has no picture."""
    has_failed: bool = False
    """A question has a failure."""
    lines: dict[str, bytes] = field(default_factory=dict)
    """Question → its record, packed."""

    @property
    def has_ended(self) -> bool:
        """Nothing more is to be done about it."""
        return self.state in ENDED

    def record(self, question: str, result: Answer | Failure, attempt: int = 1) -> bytes:
        """The line that a batch would keep."""
        record = record_of(result, self.sha256[:ID_DIGITS], self.path, question, attempt)
        return json.dumps(record, ensure_ascii=True).encode("ascii")

    def take(self, question: str, line: bytes, *, is_failure: bool) -> None:
        """Note a record."""
        self.lines[question] = zlib.compress(line, 1)
        self.has_failed = self.has_failed or is_failure


@dataclass(slots=True, eq=False)
class Run:
    """Films of one session that are asked the same."""

    id: str
    session: str
    asked: Asked
    n_files: int
    left_out: Counter[str]
    """What the page has left out, by reason."""
    state: RunState = "going"
    error: XrayGPTError | None = None
    """Why a broken run is."""
    films: dict[int, Film] = field(default_factory=dict)
    ready: deque[Film] = field(default_factory=deque)
    """Films that can be asked about now."""
    records: Records = field(default_factory=Records)
    latest: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When the latest record was made."""
    touched_s: float = field(default_factory=time.monotonic)
    """When the browser last sent a film, or one was answered."""
    began_s: float = field(default_factory=time.monotonic)
    turn: int = 0
    """Of its latest film, among all runs."""
    change: int = 0
    _counts: Counter[FilmState] = field(default_factory=Counter)
    _ended_s: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_FILMS))

    @property
    def n_ended(self) -> int:
        """Films that need no more work."""
        return sum(self._counts[state] for state in ENDED)

    @property
    def n_here(self) -> int:
        """Films that wait at the server, or are being answered."""
        return self._counts.total() - self.n_ended

    def add(self, film: Film) -> None:
        """Take a film, in the place of one of its number that has not ended well."""
        self.drop(self.films.get(film.number))
        self.films[film.number] = film
        self._counts[film.state] += 1
        if self.state == "ended":
            self.state = "going"
        self.mark(film, film.state)

    def drop(self, film: Film | None) -> None:
        """Forget a film."""
        if film is not None and self.films.get(film.number) is film:
            del self.films[film.number]
            self._counts[film.state] -= 1
            if film in self.ready:
                self.ready.remove(film)

    def mark(self, film: Film, state: FilmState) -> None:
        """Note what has become of a film, unless the run has let go of it."""
        if self.films.get(film.number) is not film:
            return
        self._counts[film.state] -= 1
        self._counts[state] += 1
        self.change += 1
        self.touched_s = time.monotonic()
        film.state, film.change = state, self.change
        if film.has_ended:
            film.view = None
            if not film.is_known:
                self._ended_s.append(self.touched_s)
        if self.n_ended == self.n_files and self.state in {"going", "paused"}:
            self.state = "ended"

    def go(self, state: RunState, error: XrayGPTError | None = None) -> None:
        """Go on, pause, or end for good."""
        self.state, self.error = state, error
        self.change += 1
        self._ended_s.clear()

    def records_of(self, film: Film) -> list[bytes]:
        """A film's records as a batch keeps them, in the order of the questions."""
        return [zlib.decompress(film.lines[each]) for each in self.asked.questions if each in film.lines]

    def lines(self) -> list[bytes]:
        """All records, in the order of the films; of files with the same bytes and name, once."""
        films = sorted(self.films.values(), key=lambda film: film.number)
        by_path = {film.path: film for film in films}
        return [line for film in by_path.values() for line in self.records_of(film)]

    def told(self, room: int, after: int, *, names: bool) -> dict[str, Any]:
        """What a page is told: the run, and the films that have changed after a change that it knows."""
        changed = sorted((f for f in self.films.values() if f.change > after), key=lambda film: film.change)
        rows = changed[:ROWS_MAX]
        return {
            "id": self.id,
            "state": self.state,
            "error": Refused.of(self.error).to_dict()["error"] if self.error else None,
            "questions": self.asked.questions,
            "profile": self.asked.reading.profile,
            "files": self.n_files,
            "counts": {state: n for state, n in self._counts.items() if n},
            "known": sum(film.is_known for film in self.films.values()),
            "room": room,
            "left_s": self._left_s(),
            "rows": [self.told_film(film, names=names) for film in rows],
            "after": rows[-1].change if rows else max(after, self.change),
            "more": len(changed) > len(rows),
        }

    def told_film(self, film: Film, *, names: bool) -> dict[str, Any]:
        """One film; its name only where that is kept here."""
        found = [row(line) for line in self.records_of(film)]
        answers = [each for each in found if isinstance(each, Answered)]
        return {
            "n": film.number,
            "sha256": film.sha256,
            "state": film.state,
            "known": film.is_known,
            "seconds": round(film.seconds, 2),
            "answers": [{"question": each.question, "text": each.text} for each in answers],
            "warnings": list(dict.fromkeys(_warnings(answers))),
            "error": _error(film, found),
            **({"name": film.path} if names else {}),
        }

    def _left_s(self) -> int | None:
        """As far as the latest films tell."""
        if self.state != "going" or len(self._ended_s) < 2:
            return None
        each_s = (self._ended_s[-1] - self._ended_s[0]) / (len(self._ended_s) - 1)
        return round(each_s * (self.n_files - self.n_ended))


def _warnings(answers: Iterable[Answered]) -> Iterator[str]:
    for each in answers:
        yield from (warning.id for warning in each.input.warnings)
        yield from each.trust.warnings if each.trust else ()


def _error(film: Film, rows: Iterable[Row]) -> dict[str, str] | None:
    if film.refusal:
        return {"code": film.refusal.error_id, "message": film.refusal.message}
    failed = next((each for each in rows if not isinstance(each, Answered)), None)
    return {"code": failed.error_id, "message": failed.message} if failed else None
