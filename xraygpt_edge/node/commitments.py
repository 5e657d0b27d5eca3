"""Results that an archive has stored and not yet committed itself to: asked about, kept, sent again, given up."""

from __future__ import annotations

import time
from collections.abc import Collection
from sqlite3 import Cursor, Row

from xraygpt_edge.node import deliveries
from xraygpt_edge.node.database import Database, note
from xraygpt_edge.node.deliveries import Delivery
from xraygpt_edge.node.films import SHOWN_DIGITS
from xraygpt_edge.node.retries import HOUR_S, Outcome, Result, next_try_s

ANSWER_S = HOUR_S
"""For an archive to answer on our port."""
NOT_COMMITTED = "E-NOD-009"
OF_REQUEST = """
SELECT deliveries.id, deliveries.instance, destination, tries, made_s, films.sha256
    FROM deliveries JOIN films ON films.id = film WHERE request = ? AND deliveries.state = 'stored'
"""


def to_ask(database: Database, destination: str, most: int) -> list[Delivery]:
    """What is stored, and has not been asked about; oldest first."""
    return deliveries.due(database, destination, most, state="stored")


def asked(database: Database, about: Collection[Delivery], request: str) -> None:
    """Note a request before it is made: the answer may be faster than its response. request: keyed hash."""
    with database.change() as cursor:
        cursor.executemany(
            "UPDATE deliveries SET request = ?, tries = tries + 1, due_s = ? WHERE id = ?",
            [(request, time.time() + ANSWER_S, each.id) for each in about],
        )


def not_asked(database: Database, about: Collection[Delivery], result: Result) -> None:
    """A request was not taken: later again, or never."""
    now = time.time()
    with database.change() as cursor:
        for each in about:
            again_s = next_try_s(result.outcome, each.tries + 1, now - each.made_s, each.before)
            cursor.execute(
                "UPDATE deliveries SET request = '', status = ?, due_s = ? WHERE id = ? AND state = 'stored'",
                (result.status, now + (again_s or 0), each.id),
            )
            if again_s is None:
                _give_up(cursor, each.id, each.film, each.destination, now)


def is_open(database: Database, request: str) -> bool:
    """Whether something of a request has no answer yet."""
    open_ones = "SELECT 1 FROM deliveries WHERE request = :request AND state = 'stored'"
    return database.value(open_ones, request=request) is not None


def settle(database: Database, request: str, kept: Collection[str], failed: Collection[str]) -> int:
    """Write down an archive's answer; gives how many results it was about. kept, failed: keyed hashes of instances.

    What the archive does not name is still waited for. What failed is sent again.
    """
    now = time.time()
    with database.change() as cursor:
        rows = cursor.execute(OF_REQUEST, (request,)).fetchall() if request else []
        for row in rows:
            if row["instance"] in failed:
                _send_again(cursor, row, now)
            elif row["instance"] in kept:
                cursor.execute("UPDATE deliveries SET state = 'done', ended_s = ? WHERE id = ?", (now, row["id"]))
                note(cursor, "committed", film=row["sha256"][:SHOWN_DIGITS], destination=row["destination"])
    return len(rows)


def _send_again(cursor: Cursor, row: Row, now_s: float) -> None:
    film, destination = row["sha256"][:SHOWN_DIGITS], row["destination"]
    pause_s = next_try_s(Outcome.MISSED, row["tries"], now_s - row["made_s"], Outcome.MISSED)
    note(cursor, "not committed", film=film, destination=destination)
    if pause_s is None:
        _give_up(cursor, row["id"], film, destination, now_s)
        return
    cursor.execute(
        "UPDATE deliveries SET state = 'waiting', request = '', due_s = ? WHERE id = ?", (now_s + pause_s, row["id"])
    )


def give_up(database: Database, destination: str) -> None:
    """What was asked about an hour ago, and never answered, is a dead letter."""
    now = time.time()
    late = (
        "SELECT deliveries.id, films.sha256 FROM deliveries JOIN films ON films.id = film WHERE destination = :name"
        " AND deliveries.state = 'stored' AND request != '' AND due_s <= :now"
    )
    for row in database.rows(late, name=destination, now=now):
        with database.change() as cursor:
            _give_up(cursor, row["id"], row["sha256"][:SHOWN_DIGITS], destination, now)


def _give_up(cursor: Cursor, delivery: int, film: str, destination: str, now_s: float) -> None:
    cursor.execute(
        "UPDATE deliveries SET state = 'dead', ended_s = ?, error_id = ? WHERE id = ? AND state = 'stored'",
        (now_s, NOT_COMMITTED, delivery),
    )
    if cursor.rowcount:
        note(cursor, "dead letter", film=film, destination=destination, error=NOT_COMMITTED)
