"""Files of films that the queue does not know: whole, on disk, and never acknowledged. They are taken in."""

from __future__ import annotations

from xraygpt_edge.node import films, part10
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.films import Arrival, Taken
from xraygpt_edge.node.spool import Spool, file_hash, keyed_hash

UNKNOWN = "unknown"
"""Peer of a film whose row was not written any more; its sender will send it again, which is a duplicate."""


def take_orphans(database: Database, place: Spool) -> None:
    """Give each file without a row its row, at a start, when nothing else is at work. Raises OutputError."""
    known = {row["file"] for row in database.rows("SELECT file FROM films WHERE file != ''")}
    secret = place.secret()
    for path in place.films.glob("*.dcm"):
        if path.name in known:
            continue
        data = path.read_bytes()
        instance = keyed_hash(secret, part10.named_in(data)[1])
        normal = films.PRIORITIES.index("normal")
        arrival = Arrival(file_hash(data), instance, path.name, len(data), UNKNOWN, normal)
        if films.take(database, arrival) is not Taken.NEW:
            path.unlink()
