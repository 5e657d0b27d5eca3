"""Films in the queue: taken in, chosen, settled."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from sqlite3 import Cursor, Row

from xraygpt_edge.node.database import Database, note

PRIORITIES = ("high", "normal", "low")
AGEING_S = 30 * 60
"""Waiting for so long lifts a film by one step."""
SHOWN_DIGITS = 8
"""Of a film's hash, in the audit trail."""


class State(StrEnum):
    """Where a film is."""

    WAITING = "waiting"
    ANSWERED = "answered"
    REFUSED = "refused"
    """By the input gate or the reader: it is no radiograph that can be answered."""
    FAILED = "failed"


class Taken(StrEnum):
    """What became of an object that came."""

    NEW = "new"
    AGAIN = "again"
    """It was here before: no new work."""
    OURS = "ours"
    """A result of ours that came back."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A film whose file is safely on disk, before it is in the queue."""

    sha256: str
    instance: str
    """Keyed hash of the SOP Instance UID."""
    file: str
    n_bytes: int
    peer: str
    priority: int
    """Index in PRIORITIES."""
    held: bool = False
    """It is answered when its study seems to be complete."""


@dataclass(frozen=True, slots=True)
class Film:
    """A row of the queue."""

    id: int
    sha256: str
    file: str
    peer: str
    received_s: float
    answers: str
    """Name of the folder of its records; empty as long as there is none."""


@dataclass(frozen=True, slots=True)
class Made:
    """A result of a film, safely on disk, for one destination."""

    destination: str
    kind: str
    file: str
    instance: str
    error_id: str = ""
    """Why there is no file; then the delivery is dead from the start."""


def instance_is_ours(database: Database, instance: str) -> bool:
    """Whether an object is one of the results that were made here."""
    return database.value("SELECT 1 FROM deliveries WHERE instance = :instance", instance=instance) is not None


def needs_no_file(database: Database, sha256: str) -> bool:
    """Whether the same object was here before, and did not fail."""
    return database.value("SELECT 1 FROM films WHERE sha256 = :sha256 AND state != 'failed'", sha256=sha256) is not None


def take(database: Database, arrival: Arrival) -> Taken:
    """Put a film into the queue; when this returns it survives a power cut. Raises OutputError."""
    with database.change() as cursor:
        found = cursor.execute("SELECT id, state FROM films WHERE sha256 = ?", (arrival.sha256,)).fetchone()
        if found:
            return _again(cursor, found["id"], found["state"], arrival)
        twin = cursor.execute("SELECT 1 FROM films WHERE instance = ?", (arrival.instance,)).fetchone()
        cursor.execute(
            "INSERT INTO films (sha256, instance, file, bytes, peer, priority, held, received_s)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(arrival.sha256, arrival.instance, arrival.file, arrival.n_bytes),
                *(arrival.peer, arrival.priority, arrival.held, time.time()),
            ),
        )
        facts = {"film": arrival.sha256[:SHOWN_DIGITS], "peer": arrival.peer, "bytes": arrival.n_bytes}
        note(cursor, "stored", **facts, other_bytes_before=True if twin else None)
    return Taken.NEW


def _again(cursor: Cursor, film: int, state: str, arrival: Arrival) -> Taken:
    """Count it. Results whose sending is dead are sent again, and a film that has failed is answered again."""
    cursor.execute("UPDATE films SET copies = copies + 1 WHERE id = ?", (film,))
    revive(cursor, film)
    note(cursor, "stored again", film=arrival.sha256[:SHOWN_DIGITS], peer=arrival.peer, bytes=arrival.n_bytes)
    if state != State.FAILED or not arrival.file:
        return Taken.AGAIN
    put_back(cursor, film, arrival.file)
    return Taken.NEW


def put_back(cursor: Cursor, film: int, file: str) -> None:
    """A film that has failed waits again, under another file name than the one in its records."""
    cursor.execute(
        "UPDATE films SET state = 'waiting', file = ?, error_id = '', ended_s = NULL, answers = '' WHERE id = ?",
        (file, film),
    )


def revive(cursor: Cursor, film: int) -> int:
    """Dead letters of a film back into the queue; returns how many."""
    now = time.time()
    cursor.execute(
        "UPDATE deliveries SET state = 'waiting', tries = 0, made_s = ?, due_s = ?, ended_s = NULL, error_id = '',"
        " status = NULL, request = '' WHERE film = ? AND state = 'dead' AND file != ''",
        (now, now, film),
    )
    return cursor.rowcount


def forget(cursor: Cursor, films: Collection[int]) -> None:
    """Delete films from the queue. Files of a watched folder stay known: else they would be answered once more."""
    ids = [(each,) for each in films]
    cursor.executemany("UPDATE watched SET film = NULL WHERE film = ?", ids)
    cursor.executemany("DELETE FROM films WHERE id = ?", ids)


def n_waiting(database: Database) -> int:
    """Films that are not answered yet."""
    return int(database.value("SELECT count(*) FROM films WHERE state = 'waiting'"))


def next_film(database: Database, but: Collection[int]) -> Film | None:
    """The film that is to be answered next; but: those in work already."""
    marks = ", ".join(str(int(each)) for each in but)
    found = database.rows(
        f"SELECT * FROM films WHERE state = 'waiting' AND NOT held AND id NOT IN ({marks})"  # noqa: S608 - numbers of our own
        " ORDER BY max(0, priority - CAST((:now - received_s) / :step AS INTEGER)), id LIMIT 1",
        now=time.time(),
        step=AGEING_S,
    )
    return film_of(found[0]) if found else None


def film_of(row: Row) -> Film:
    """A row as a film."""
    return Film(row["id"], row["sha256"], row["file"], row["peer"], row["received_s"], row["answers"])


def assign(database: Database, film: Film, answers: str) -> None:
    """Note in which folder the records of a film are written, before the first of them is."""
    with database.change() as cursor:
        cursor.execute("UPDATE films SET answers = ?, answered_as = file WHERE id = ?", (answers, film.id))


def settle(database: Database, film: Film, state: State, made: Collection[Made] = (), error_id: str = "") -> None:
    """End the work on a film: its state, and what is to be sent where. Once only."""
    now = time.time()
    with database.change() as cursor:
        cursor.execute(
            "UPDATE films SET state = ?, error_id = ?, ended_s = ? WHERE id = ? AND state = 'waiting'",
            (state, error_id, now, film.id),
        )
        if not cursor.rowcount:
            return
        for each in made:
            cursor.execute(
                "INSERT OR IGNORE INTO deliveries (film, destination, kind, file, instance, state, made_s, due_s,"
                " ended_s, error_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(film.id, each.destination, each.kind, each.file, each.instance),
                    *("dead" if each.error_id else "waiting", now, now, now if each.error_id else None, each.error_id),
                ),
            )
        seconds = round(now - film.received_s, 3)
        facts = {"film": film.sha256[:SHOWN_DIGITS], "seconds": seconds, "error": error_id or None}
        note(cursor, str(state), **facts)
