"""`queue.sqlite3`: what is waiting and what became of it, on disk before anybody is told. Owner of sqlite3.

Three processes share it: the receiver adds films, the node answers them, the sender delivers results. Each change is
one transaction with the events that the audit trail will say of it, so neither can be there without the other.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Cursor, Row
from types import TracebackType
from typing import Any, Self

from xraygpt_edge.errors import BundleIncompatible, OutputError, UsageError
from xraygpt_edge.node.times import utc

QUEUE = "queue.sqlite3"
VERSION = 2
WAIT_S = 30.0
"""For another process of ours to finish its change: a few milliseconds, unless the disk is struggling."""
SCHEMA = """
CREATE TABLE films (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 TEXT NOT NULL UNIQUE,         -- of the file
    instance TEXT NOT NULL,              -- keyed hash of the SOP Instance UID
    file TEXT NOT NULL,                  -- name in the folder of films; empty once it is deleted
    bytes INTEGER NOT NULL,
    peer TEXT NOT NULL,                  -- configured name
    priority INTEGER NOT NULL,           -- 0 high, 1 normal, 2 low
    received_s REAL NOT NULL,            -- POSIX time, as every _s here
    state TEXT NOT NULL DEFAULT 'waiting',
    answers TEXT NOT NULL DEFAULT '',    -- folder of its records
    answered_as TEXT NOT NULL DEFAULT '', -- its file's name in those records
    ended_s REAL,
    error_id TEXT NOT NULL DEFAULT '',
    copies INTEGER NOT NULL DEFAULT 0,   -- how often it came again
    held INTEGER NOT NULL DEFAULT 0,     -- it waits for the others of its study
    study TEXT NOT NULL DEFAULT '',      -- keyed hash of the Study Instance UID; empty as long as nobody has looked
    study_group INTEGER NOT NULL DEFAULT 0 -- which group of its study it belongs to
);
CREATE INDEX films_study ON films (study, study_group);
CREATE INDEX films_waiting ON films (state, priority, id);
CREATE INDEX films_instance ON films (instance);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    film INTEGER NOT NULL REFERENCES films ON DELETE CASCADE,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    file TEXT NOT NULL,                  -- name in the folder of results; empty once it is deleted
    instance TEXT NOT NULL,              -- keyed hash of the result's own SOP Instance UID
    state TEXT NOT NULL DEFAULT 'waiting',
    tries INTEGER NOT NULL DEFAULT 0,
    made_s REAL NOT NULL,
    due_s REAL NOT NULL,
    ended_s REAL,
    status INTEGER,                      -- of the last C-STORE response
    error_id TEXT NOT NULL DEFAULT '',
    request TEXT NOT NULL DEFAULT '',    -- keyed hash of the transaction in which commitment was asked for
    UNIQUE (film, destination, kind)
);
CREATE INDEX deliveries_request ON deliveries (request);
CREATE INDEX deliveries_due ON deliveries (destination, state, due_s);
CREATE INDEX deliveries_instance ON deliveries (instance);
CREATE TABLE destinations (
    name TEXT PRIMARY KEY,
    held INTEGER NOT NULL DEFAULT 0,     -- it has refused us for good; only C-ECHO is tried
    tries INTEGER NOT NULL DEFAULT 0,    -- failed connections in a row
    due_s REAL NOT NULL DEFAULT 0,
    success_s REAL,
    why TEXT NOT NULL DEFAULT ''
);
CREATE TABLE watched (
    key TEXT PRIMARY KEY,                -- keyed hash of path, size and time
    film INTEGER REFERENCES films ON DELETE CASCADE
);
CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, facts TEXT NOT NULL);
"""
LATER = {
    1: """
ALTER TABLE films ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE films ADD COLUMN study TEXT NOT NULL DEFAULT '';
ALTER TABLE films ADD COLUMN study_group INTEGER NOT NULL DEFAULT 0;
CREATE INDEX films_study ON films (study, study_group);
ALTER TABLE deliveries ADD COLUMN request TEXT NOT NULL DEFAULT '';
CREATE INDEX deliveries_request ON deliveries (request);
""",
}
"""Version → what makes the next one of it."""


class Database:
    """One process's connection; safe to share between its threads. A context manager."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, folder: Path) -> Database:
        """Open the queue, or make it. Raises BundleIncompatible for one of a newer version, OutputError for damage."""
        path = folder / QUEUE
        with _understood():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
            connection = _connected(path.as_uri())
            _require_known(connection)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
            database = cls(connection)
            if _version(connection) < VERSION:
                with database.change() as cursor:
                    _bring_up_to_date(cursor)
        return database

    @classmethod
    def look(cls, folder: Path) -> Database:
        """Open the queue to read it, whether a node is running or not. Raises UsageError where there is none."""
        path = folder / QUEUE
        if not path.is_file():
            raise UsageError("E-NOD-012")
        with _understood():
            connection = _connected(f"{path.as_uri()}?mode=ro")
            _require_known(connection)
        return cls(connection)

    def close(self) -> None:
        """Let it go."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def change(self) -> Iterator[Cursor]:
        """One change: on disk as a whole when this ends, or not made at all. Raises OutputError."""
        with self._lock, _understood(), closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")
                raise

    def rows(self, query: str, **values: Any) -> list[Row]:
        """What a query finds. Raises OutputError."""
        with self._lock, _understood():
            return self._connection.execute(query, values).fetchall()

    def value(self, query: str, **values: Any) -> Any:
        """The first column of the first row; None without one."""
        found = self.rows(query, **values)
        return found[0][0] if found else None


def note(cursor: Cursor, event: str, **facts: Any) -> None:
    """Have the audit trail say something, with the change that it is about; nothing of a patient may be in it."""
    kept = {key: value for key, value in facts.items() if value is not None}
    cursor.execute("INSERT INTO events (facts) VALUES (?)", (json.dumps({"at": utc(), "event": event, **kept}),))


def _connected(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, timeout=WAIT_S, check_same_thread=False, isolation_level=None)
    connection.row_factory = Row
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _bring_up_to_date(cursor: Cursor) -> None:
    """Make the tables, or what they lack; another process may have been faster."""
    while (version := _version(cursor.connection)) < VERSION:
        for statement in (LATER[version] if version else SCHEMA).split(";\n"):
            cursor.execute(statement)
        cursor.execute(f"PRAGMA user_version = {version + 1 if version else VERSION}")


def _require_known(connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version > VERSION:
        connection.close()
        raise BundleIncompatible("E-NOD-006", f"version {version}, this program knows {VERSION}")


@contextmanager
def _understood() -> Iterator[None]:
    """What SQLite or the disk refuses, in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:  # a full disk, a read-only one, one that fails
        raise OutputError("E-NOD-005", getattr(error, "sqlite_errorname", "")) from error
    except sqlite3.DatabaseError as error:
        raise OutputError("E-NOD-011", getattr(error, "sqlite_errorname", "")) from error
    except OSError as error:
        raise OutputError("E-NOD-005", error.strerror or type(error).__name__) from error
