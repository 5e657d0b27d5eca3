"""Results on their way to their destinations: what is due, what becomes of it, which destination is held."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from sqlite3 import Cursor, Row
from typing import Literal

from xraygpt_edge.node.database import Database, note
from xraygpt_edge.node.films import SHOWN_DIGITS
from xraygpt_edge.node.retries import GIVE_UP_S, HELD_S, Outcome, Result, next_try_s, outcome_of, pause_s
from xraygpt_edge.node.settings import Destination

Arrived = Literal["done", "stored"]
"""Stored: the archive has it, and has not yet committed itself."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One object for one destination."""

    id: int
    film: str
    """First digits of its hash."""
    destination: str
    kind: str
    file: str
    tries: int
    made_s: float
    before: Outcome
    """What the try before has shown; MISSED where there was none."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How we stand with a destination."""

    held: bool
    due_s: float
    tries: int


def introduce(database: Database, destinations: Collection[Destination]) -> None:
    """Have a row for each destination of the settings; whoever need not commit any more has what it has stored."""
    with database.change() as cursor:
        names = [(each.name,) for each in destinations]
        cursor.executemany("INSERT OR IGNORE INTO destinations (name) VALUES (?)", names)
        cursor.executemany(
            "UPDATE deliveries SET state = 'done', ended_s = ? WHERE state = 'stored' AND destination = ?",
            [(time.time(), each.name) for each in destinations if not each.commit],
        )


def standing(database: Database, destination: str) -> Standing:
    """How we stand with a destination."""
    (row,) = database.rows("SELECT * FROM destinations WHERE name = :name", name=destination)
    return Standing(bool(row["held"]), row["due_s"], row["tries"])


def due(database: Database, destination: str, most: int, state: str = "waiting") -> list[Delivery]:
    """What is to be sent now, or in another state to be asked about, oldest first; most: so many at once."""
    found = database.rows(
        "SELECT deliveries.*, films.sha256 AS film_sha256 FROM deliveries JOIN films ON films.id = deliveries.film"
        " WHERE destination = :name AND deliveries.state = :state AND request = '' AND due_s <= :now"
        " ORDER BY deliveries.id LIMIT :n",
        name=destination,
        state=state,
        now=time.time(),
        n=most,
    )
    return [_delivery(row) for row in found]


def _delivery(row: Row) -> Delivery:
    film = row["film_sha256"][:SHOWN_DIGITS]
    return Delivery(
        row["id"],
        film,
        row["destination"],
        row["kind"],
        row["file"],
        row["tries"],
        row["made_s"],
        outcome_of(row["status"]),
    )


def settle(database: Database, delivery: Delivery, result: Result, arrived: Arrived = "done") -> None:
    """Write down what became of one try; raises OutputError. arrived: the state of a result that is stored."""
    now = time.time()
    again_s = next_try_s(result.outcome, delivery.tries + 1, now - delivery.made_s, delivery.before)
    state = arrived if result.outcome.is_stored else "dead" if again_s is None else "waiting"
    with database.change() as cursor:
        cursor.execute(
            "UPDATE deliveries SET state = ?, tries = tries + 1, due_s = ?, ended_s = ?, status = ?, error_id = ?"
            " WHERE id = ?",
            (
                *(state, now + (again_s or 0), None if state in ("waiting", "stored") else now),
                *(result.status, "" if result.outcome.is_stored else result.error_id, delivery.id),
            ),
        )
        event = {"done": "sent", "stored": "sent", "dead": "dead letter", "waiting": "not sent"}[state]
        facts = {"film": delivery.film, "destination": delivery.destination, "kind": delivery.kind}
        note(cursor, event, **facts, status=_hex(result.status), seconds=result.seconds)


def _hex(status: int | None) -> str | None:
    return None if status is None else f"0x{status:04X}"


def reached(database: Database, destination: str) -> None:
    """A destination has answered: whatever waited because it did not is due at once."""
    with database.change() as cursor:
        cursor.execute(
            "UPDATE destinations SET held = 0, tries = 0, due_s = 0, why = '', success_s = ? WHERE name = ?",
            (time.time(), destination),
        )


def missed(database: Database, destination: str, result: Result) -> None:
    """A destination did not answer, or refused us: it is left in peace for a while, and old results are given up."""
    now = time.time()
    held = result.outcome is Outcome.BARRED
    with database.change() as cursor:
        before = cursor.execute("SELECT tries, held FROM destinations WHERE name = ?", (destination,)).fetchone()
        pause = HELD_S if held else pause_s(before["tries"] + 1)
        cursor.execute(
            "UPDATE destinations SET held = ?, tries = tries + 1, due_s = ?, why = ? WHERE name = ?",
            (held, now + pause, result.why, destination),
        )
        if held != bool(before["held"]) or not before["tries"]:
            note(cursor, "destination held" if held else "destination missed", destination=destination, why=result.why)
        _give_up_old(cursor, destination, now, result.error_id)


def _give_up_old(cursor: Cursor, destination: str, now_s: float, error_id: str) -> None:
    cursor.execute(
        "UPDATE deliveries SET state = 'dead', ended_s = ?, error_id = ?"
        " WHERE destination = ? AND state = 'waiting' AND made_s < ?",
        (now_s, error_id, destination, now_s - GIVE_UP_S),
    )
    if cursor.rowcount:
        note(cursor, "dead letters", destination=destination, n=cursor.rowcount)
