"""Housekeeping: what is no longer needed is deleted, and a folder on a network share is refused."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from xraygpt_edge.errors import UsageError
from xraygpt_edge.node import films
from xraygpt_edge.node.database import Database, note
from xraygpt_edge.node.settings import Settings
from xraygpt_edge.node.spool import Spool

KEPT_AFTER_FAILURE_S = 7 * 86400.0
"""A film that failed, or whose result is a dead letter, stays so long: somebody may want to try again."""
ROWS_S = 366 * 86400.0
"""What is known of a film, without its file: long enough to know it again, and bounded."""
SHARES = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "9p", "fuse.sshfs", "fuse.rclone", "davfs"})
DRIVE_REMOTE = 4

FILMS_TO_DELETE = """
SELECT id, file FROM films WHERE file != '' AND (
    (state IN ('answered', 'refused') AND ended_s <= :films AND NOT EXISTS
        (SELECT 1 FROM deliveries WHERE film = films.id AND state != 'done'))
    OR (state != 'waiting' AND ended_s <= :failed AND NOT EXISTS
        (SELECT 1 FROM deliveries WHERE film = films.id AND state IN ('waiting', 'stored'))))
"""
RESULTS_TO_DELETE = """
SELECT id, file FROM deliveries WHERE file != '' AND ((state = 'done' AND ended_s <= :done)
    OR (state = 'dead' AND ended_s <= :failed))
"""

FILMS_TO_FORGET = "SELECT id FROM films WHERE file = '' AND state != 'waiting' AND ended_s < :ended"


def keep_house(settings: Settings, database: Database, place: Spool) -> None:
    """Delete what has served its purpose. Raises OutputError."""
    now = time.time()
    kept = {"films": now - settings.keep_films_s, "failed": now - KEPT_AFTER_FAILURE_S, "done": now}
    _delete(database, place.films, "films", FILMS_TO_DELETE, films=kept["films"], failed=kept["failed"])
    _delete(database, place.results, "deliveries", RESULTS_TO_DELETE, done=kept["done"], failed=kept["failed"])
    _delete_answers(place.answers, now - settings.keep_answers_s)
    old = database.rows(FILMS_TO_FORGET, ended=now - ROWS_S)
    if old:
        with database.change() as cursor:
            films.forget(cursor, [row["id"] for row in old])


def _delete(database: Database, folder: Path, table: str, query: str, **values: float) -> None:
    """Files first: a row that names a file which is gone is put right by the next round."""
    rows = database.rows(query, **values)
    for row in rows:
        (folder / row["file"]).unlink(missing_ok=True)
    if rows:
        with database.change() as cursor:
            cursor.executemany(f"UPDATE {table} SET file = '' WHERE id = ?", [(row["id"],) for row in rows])  # noqa: S608 - a name of ours
            note(cursor, "deleted", what=table, n=len(rows))


def _delete_answers(folder: Path, before_s: float) -> None:
    """Days that nobody wrote into since."""
    for day in folder.iterdir():
        records = day / "records.jsonl"
        if records.exists() and records.stat().st_mtime < before_s:
            shutil.rmtree(day, ignore_errors=True)


def require_local(folder: Path) -> None:
    """Refuse a folder on a network share; raises UsageError. Where the system does not say, it is taken as local."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if sys.platform == "linux":
        kind = _mounted_as(there.resolve())
        if kind in SHARES:
            raise UsageError("E-NOD-004", kind)
    elif os.name == "nt":
        import ctypes

        if ctypes.windll.kernel32.GetDriveTypeW(there.resolve().anchor) == DRIVE_REMOTE:
            raise UsageError("E-NOD-004")


def _mounted_as(path: Path) -> str:
    """Kind of the file system that a path lies on."""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4].encode("utf-8", "surrogateescape").decode("unicode_escape", "replace")
        if len(point) >= len(best) and path.is_relative_to(point):
            best, kind = point, rest.split(" ")[0]
    return kind
