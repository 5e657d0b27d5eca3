"""A table of the reasons for exams: one for each film of a folder that has one."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import StringIO
from pathlib import Path

from xraygpt_edge.bundle.questions import PLACE, checked_indication
from xraygpt_edge.errors import UsageError
from xraygpt_edge.text import decoded

COLUMNS = ["path", "text"]


@dataclass(frozen=True, slots=True)
class Indications:
    """What was read of a table; texts of patients, so nothing of it is shown."""

    texts: Mapping[str, str]
    """Path of a film below the folder, with forward slashes → the reason for its exam, in one line."""
    sha256: str
    """Of the file's bytes."""
    places: Mapping[str, str | None]
    """Question → the same with {indication} in it; None for one that has no place for it."""

    @classmethod
    def read(cls, path: Path, places: Mapping[str, str | None]) -> Indications:
        """Read a CSV file with the columns path and text.

        Raises UsageError with the number of the first bad line, and where no question has a place for a reason.
        """
        if not any(places.values()):
            raise UsageError("E-USE-011", "no question has a place for one")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError("E-USE-013", error.strerror or type(error).__name__) from error
        return cls(_texts(decoded(data, "the table of indications")), sha256(data).hexdigest(), places)

    def put_into(self, question: str, path: str) -> str:
        """The question about a film, with the reason for its exam where there are a place and a reason."""
        return self._filled(question, self.texts.get(path.replace(os.sep, "/"), ""))

    def has_one_for(self, path: str) -> bool:
        """Whether the table has a row for a film."""
        return path.replace(os.sep, "/") in self.texts

    def longest(self, question: str) -> str:
        """The question with the longest reason: what room is made for."""
        return self._filled(question, max(self.texts.values(), key=len, default=""))

    def _filled(self, question: str, reason: str) -> str:
        place = self.places.get(question)
        return place.replace(PLACE, reason) if place and reason else question


def _texts(table: str) -> dict[str, str]:
    rows = csv.reader(StringIO(table, newline=""), strict=True)
    found: dict[str, str] = {}
    try:
        if [name.strip().lower() for name in next(rows, [])] != COLUMNS:
            raise UsageError("E-USE-013", f"its first line must be {','.join(COLUMNS)}")
        for row in filter(None, rows):
            if len(row) != len(COLUMNS) or not row[0] or row[0] in found:
                why = "a film stands there twice" if row[0] in found else "a path and a text are needed"
                raise UsageError("E-USE-013", f"line {rows.line_num}: {why}")
            found[row[0]] = _checked(row[1], rows.line_num)
    except csv.Error as error:
        raise UsageError("E-USE-013", f"line {rows.line_num}: no CSV") from error
    return found


def _checked(text: str, line: int) -> str:
    try:
        return checked_indication(text)
    except UsageError as error:
        raise UsageError(error.error_id, f"line {line} of the table: {error.why}") from error
