"""By hand: dead letters back into the queue, and a film deleted with everything about it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from sqlite3 import Cursor, Row

from xraygpt_edge.errors import Locked, UsageError
from xraygpt_edge.ledger import claimed, forget
from xraygpt_edge.node import films
from xraygpt_edge.node.database import Database, note
from xraygpt_edge.node.films import SHOWN_DIGITS
from xraygpt_edge.node.spool import NAME_BYTES, Spool


def retry(root: Path, ids: Sequence[str]) -> int:
    """Send dead letters again, and answer failed films again whose files are still there; how many films.

    ids: first digits of hashes; none means all. Works beside a running node. Raises UsageError for an unknown id.
    """
    Database.look(root).close()
    with Database.open(root) as database:
        chosen = [_find(database, each) for each in ids] if ids else database.rows("SELECT * FROM films")
        n_films = 0
        for row in chosen:
            with database.change() as cursor:
                again = films.revive(cursor, row["id"])
                if row["state"] == films.State.FAILED and row["file"]:
                    again += _answer_again(Spool(root), cursor, row)
                if again:
                    n_films += 1
                    note(cursor, "tried again by hand", film=row["sha256"][:SHOWN_DIGITS])
    return n_films


def _answer_again(place: Spool, cursor: Cursor, row: Row) -> int:
    """Under a new name: the failed record belongs to the old one."""
    name = secrets.token_hex(NAME_BYTES) + Path(row["file"]).suffix
    try:
        (place.films / row["file"]).rename(place.films / name)
    except FileNotFoundError:
        return 0
    films.put_back(cursor, row["id"], name)
    return 1


def drop(root: Path, film: str) -> None:
    """Delete a film, its records and its results; only while no node runs. Raises Locked, UsageError, OutputError."""
    Database.look(root).close()
    try:
        with claimed(root), Database.open(root) as database:
            row = _find(database, film)
            place = Spool(root)
            results = database.rows("SELECT file FROM deliveries WHERE film = :film AND file != ''", film=row["id"])
            if row["answers"] and row["answered_as"]:
                forget(place.answers / row["answers"], row["answered_as"])
            for path in (*(place.results / each["file"] for each in results), place.films / (row["file"] or "-")):
                path.unlink(missing_ok=True)
            with database.change() as cursor:
                films.forget(cursor, [row["id"]])
                note(cursor, "dropped by hand", film=row["sha256"][:SHOWN_DIGITS])
    except Locked:
        raise Locked("E-NOD-007") from None


def _find(database: Database, film: str) -> Row:
    """The row whose hash begins so; raises UsageError where there is none, or more than one."""
    if not film.isalnum():
        raise UsageError("E-NOD-014")
    found = database.rows("SELECT * FROM films WHERE sha256 LIKE :start || '%' LIMIT 2", start=film.lower())
    if len(found) != 1:
        raise UsageError("E-NOD-014")
    return found[0]
