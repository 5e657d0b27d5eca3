"""Films of one study wait for each other, where the settings say `group = "study"`; then each is answered by itself.

DICOM has no sign that a study is complete, and no pause is one: a film that comes later is a later group of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from sqlite3 import Row

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.node import spool
from xraygpt_edge.node.database import Database, note

QUIET_S = 60.0
"""A study to which nothing was added for so long seems to be complete."""
HELD_MAX_S = 15 * 60.0
"""The first film of a group waits no longer, whatever comes behind it."""
AT_ONCE = 20
"""Films that are looked into before the model is listened to again."""

COMPLETE = """
SELECT study, study_group, count(*) AS n FROM films WHERE held AND study != '' GROUP BY study, study_group
    HAVING max(received_s) <= :quiet OR min(received_s) <= :first
"""
LAST_GROUP = """
SELECT study_group, max(held) AS is_held FROM films WHERE study = ?
    GROUP BY study_group ORDER BY study_group DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Grouping:
    """Puts films into groups, and lets groups go; for the node's one thread."""

    database: Database
    place: spool.Spool
    reader: Reader
    secret: bytes

    def look(self) -> None:
        """Find the studies of new films, and let complete groups be answered. Raises OutputError."""
        new = self.database.rows("SELECT id, file FROM films WHERE held AND study = '' ORDER BY id LIMIT :n", n=AT_ONCE)
        for row in new:
            study = self._study(row["file"])
            if study:
                self._join(row["id"], study)
            else:
                with self.database.change() as cursor:
                    cursor.execute("UPDATE films SET held = 0 WHERE id = ?", (row["id"],))
        now = time.time()
        for group in self.database.rows(COMPLETE, quiet=now - QUIET_S, first=now - HELD_MAX_S):
            self._let_go(group)

    def _study(self, file: str) -> str:
        """Hash of a film's Study Instance UID; empty where it has none that can be read."""
        try:
            return spool.keyed_hash(self.secret, self.reader.identify((self.place.films / file).read_bytes()).study_uid)
        except (InputRefused, OSError):  # whoever answers it will say so
            return ""

    def _join(self, film: int, study: str) -> None:
        """Into the group of its study that is still held, else into a new one."""
        with self.database.change() as cursor:
            last = cursor.execute(LAST_GROUP, (study,)).fetchone()
            group = 1 if last is None else last["study_group"] + (not last["is_held"])
            cursor.execute("UPDATE films SET study = ?, study_group = ? WHERE id = ?", (study, group, film))

    def _let_go(self, group: Row) -> None:
        with self.database.change() as cursor:
            cursor.execute(
                "UPDATE films SET held = 0 WHERE study = ? AND study_group = ?", (group["study"], group["study_group"])
            )
            later = {"group": group["study_group"]} if group["study_group"] > 1 else {}
            note(cursor, "later films of a study" if later else "study", n=group["n"], **later)


def let_all_go(database: Database) -> None:
    """Where nothing is grouped any more, nothing is held. Raises OutputError."""
    with database.change() as cursor:
        cursor.execute("UPDATE films SET held = 0 WHERE held")
