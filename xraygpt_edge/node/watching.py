"""A folder whose files are answered as well: taken when they are whole, and left alone until then."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from xraygpt_edge.batch.walk import look_at, walk
from xraygpt_edge.errors import InputRefused, OutputError
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.node import films, spool
from xraygpt_edge.node.database import Database, note
from xraygpt_edge.node.films import Arrival, Taken
from xraygpt_edge.node.settings import Settings, Watch

LOOK_S = 5.0
STILL_S = 10.0
"""A file whose size and time have not changed for so long is looked into."""
CUT_S = 600.0
"""One that cannot be read is looked at again for so long; then it is taken as it is, and becomes a failure."""
UNFINISHED = (".part", ".tmp", ".crdownload")
DONE = "done"
"""Folder in the watched one, for `move`."""
PEER = "folder"
MAX_BYTES = 1 << 30
TAKING_S = 1.0
"""For looking into files, each time: a folder that is full of them must not keep the model waiting."""
PERHAPS_CUT = frozenset(
    {
        "E-DCM-001",
        "E-DCM-004",
        "E-DCM-005",
        "E-DCM-008",
        "E-DCM-009",
        "E-DCM-012",
        "E-IMG-001",
        "E-IMG-002",
        "E-IMG-006",
    }
)
"""What the reader says of a file that lacks its end."""


@dataclass(slots=True)
class _Seen:
    """A file as it was when it last changed."""

    look: tuple[int, int]
    """Size and time."""
    key: str
    """Of path, size and time, as the database has it."""
    since_s: float
    first_s: float
    opened_s: float = float("-inf")
    """When it was last looked into, and was not whole."""


@dataclass(slots=True)
class Watching:
    """One watched folder; for the node's one thread."""

    settings: Settings
    watch: Watch
    database: Database
    place: spool.Spool
    reader: Reader
    secret: bytes
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _looked_s: float = float("-inf")

    @property
    def folder(self) -> Path:
        """What is watched."""
        return Path(self.watch.folder)

    def look(self) -> None:
        """Take what is whole; put away what is done. At most every LOOK_S. Raises OutputError."""
        now = time.monotonic()
        if now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        known = {row["key"]: row["is_safe"] for row in self.database.rows(KNOWN)}
        there: dict[str, _Seen] = {}
        still: list[str] = []
        for path, look in self._files():
            before = self._seen.get(path)
            seen = there[path] = before if before and before.look == look else self._changed(path, look, before, now)
            if seen.key in known:
                self._put_away(path, look, is_safe=bool(known[seen.key]))
            elif seen is before and now - seen.since_s >= STILL_S:
                still.append(path)
        self._seen = there
        self._take_some(still, now)

    def _changed(self, path: str, look: tuple[int, int], before: _Seen | None, now: float) -> _Seen:
        """What is known of a file that is new or has changed."""
        key = spool.keyed_hash(self.secret, f"{path.encode(errors='surrogateescape').hex()} {look}")
        return _Seen(look, key, now, before.first_s if before else now)

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Path, size and time of each file that may be meant for us."""
        folder = str(self.folder)
        for found in walk(self.folder, self.folder / DONE):
            if found.skip or found.unreadable or found.path.lower().endswith(UNFINISHED):
                continue
            look = _look(os.path.join(folder, found.path))  # noqa: PTH118 - a Path takes longer than all else
            if look is not None:
                yield found.path, look

    def _take_some(self, still: list[str], now: float) -> None:
        """As many as there is time for; whoever was looked into goes behind, so that no cut file is in the way."""
        still.sort(key=lambda path: self._seen[path].opened_s)
        until_s = time.monotonic() + TAKING_S  # however long the walk has taken
        for path in still:
            if time.monotonic() >= until_s:
                return
            self._take(path, self._seen[path], now)
            self._seen[path].opened_s = now

    def _take(self, path: str, seen: _Seen, now: float) -> None:
        """Take a file that is still, or note that it is nothing for us; one that is not whole waits."""
        file = self.folder / path
        if look_at(file).skip:
            self._remember(seen.key, None)
            return
        if self._is_full(seen.look[0]):
            return
        data = _bytes(file, seen.look)
        if data is None or (now - seen.first_s < CUT_S and self._seems_cut(data)):
            return
        sha256 = spool.file_hash(data)
        keyed = spool.keyed_hash(self.secret, self._instance(data) or sha256)
        held = self.settings.node.group is not None
        arrival = Arrival(sha256, keyed, "", len(data), PEER, films.PRIORITIES.index("normal"), held)
        if not films.needs_no_file(self.database, sha256):
            arrival = replace(arrival, file=self._kept(data))
        if films.take(self.database, arrival) is not Taken.NEW and arrival.file:
            (self.place.films / arrival.file).unlink(missing_ok=True)
        self._remember(seen.key, sha256)

    def _is_full(self, n_bytes: int) -> bool:
        """Whether a film that is sent would be refused; a file can wait where it is."""
        no_room = self.place.free_bytes() - n_bytes < self.settings.reserve_bytes
        return no_room or films.n_waiting(self.database) >= self.settings.node.queue_limit

    def _kept(self, data: bytes) -> str:
        try:
            return self.place.keep_film(data)
        except OSError as error:
            raise OutputError("E-NOD-005", error.strerror or type(error).__name__) from error

    def _seems_cut(self, data: bytes) -> bool:
        """Whether the reader refuses a file in a way that another look may change; what it says else is a record."""
        try:
            self.reader.read(data)
        except InputRefused as error:
            return error.error_id in PERHAPS_CUT
        return False

    def _instance(self, data: bytes) -> str:
        """SOP Instance UID; empty where there is none that can be read."""
        try:
            return self.reader.identify(data).sop_instance_uid
        except InputRefused:
            return ""

    def _remember(self, key: str, sha256: str | None) -> None:
        with self.database.change() as cursor:
            cursor.execute(
                "INSERT OR IGNORE INTO watched (key, film) VALUES (?, (SELECT id FROM films WHERE sha256 = ?))",
                (key, sha256),
            )

    def _put_away(self, path: str, look: tuple[int, int], *, is_safe: bool) -> None:
        """Move or delete a file whose results are where they belong, if it is still the same."""
        file = self.folder / path
        if self.watch.after == "keep" or not is_safe or _look(file) != look:
            return
        try:
            if self.watch.after == "delete":
                file.unlink()
            else:
                target = self.folder / DONE / path
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                file.rename(target)
        except OSError as error:  # the folder is somebody else's; it is tried again with the next look
            with self.database.change() as cursor:
                note(cursor, "file not put away", why=error.strerror or type(error).__name__)


KNOWN = """
SELECT key, film IS NOT NULL AND EXISTS (
    SELECT 1 FROM films WHERE films.id = film AND state = 'answered' AND NOT EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.film = films.id AND state != 'done')) AS is_safe
FROM watched
"""


def _look(file: Path | str) -> tuple[int, int] | None:
    try:
        facts = os.stat(file, follow_symlinks=False)  # noqa: PTH116
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def _bytes(file: Path, look: tuple[int, int]) -> bytes | None:
    """What is in a file that has not changed meanwhile; None for one that has, or that cannot be read."""
    if look[0] > MAX_BYTES:
        return None
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as stream:
            data = stream.read()
    except OSError:
        return None
    return data if _look(file) == look and len(data) == look[0] else None
