"""Where reports come from: a folder of text and XML files, one file, a table, or standard input; one at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from xraygpt_edge.batch.walk import Skip, walk
from xraygpt_edge.errors import InputRefused, UsageError
from xraygpt_edge.summarize import openi, tables
from xraygpt_edge.summarize.tables import Columns
from xraygpt_edge.text import unclean

MOST_BYTES = 1 << 18
"""Of one report: more than twenty times the longest that radiologists write."""
ID_DIGITS = 16
Form: TypeAlias = Literal["txt", "xml", "csv", "jsonl"]
FORMS: dict[str, Form] = {".txt": "txt", ".xml": "xml", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
NO_REPORT = "not a report"
"""Why a file of another ending is skipped."""


@dataclass(frozen=True, slots=True)
class Report:
    """One report as text."""

    path: str
    """Below the source; of a table, its name, "#" and the number of the row."""
    study: str
    """By which images and answers are matched: the file's name without its ending, or what the table says."""
    text: str
    """With line ends as newlines; places of sections and of removed pieces are characters of it."""
    images: tuple[str, ...] = ()
    """Ids of its radiographs, where the file names them."""

    @property
    def id(self) -> str:
        """Hash of its words: nothing that names a patient."""
        return sha256(self.text.encode()).hexdigest()[:ID_DIGITS]


@dataclass(frozen=True, slots=True)
class Unread:
    """A report that was refused."""

    path: str
    error: InputRefused


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is none of ours."""

    reason: str


Found: TypeAlias = Report | Unread | Skipped
IsDone: TypeAlias = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be read, and how."""

    path: Path
    """A folder or a file; "-" is standard input."""
    encoding: str = "utf-8"
    form: Form | None = None
    """What a file holds; None tells by the ending of its name."""
    columns: Columns = field(default_factory=Columns)

    def require_usable(self) -> None:
        """Raises UsageError where there is nothing to read, or no way to read it."""
        _require_encoding(self.encoding)
        if not self.is_stream and not self.path.exists():
            raise UsageError("E-SUM-001", "it is not there")
        if not self.is_stream and not self.path.is_dir() and self._form is None:
            raise UsageError("E-SUM-001", "its name ends in none of .txt, .xml, .csv, .jsonl")

    @property
    def is_stream(self) -> bool:
        """It is standard input."""
        return str(self.path) == "-"

    @property
    def _form(self) -> Form | None:
        return self.form or ("txt" if self.is_stream else FORMS.get(self.path.suffix.lower()))

    def count(self, leave_out: Path) -> int | None:
        """Reports and skipped files of a folder; None where nobody knows before they are read."""
        return sum(1 for _ in walk(self.path, leave_out)) if not self.is_stream and self.path.is_dir() else None

    def read(self, leave_out: Path, stream: BinaryIO, is_done: IsDone) -> Iterator[Found | None]:
        """Every report in a stable order; None stands for one that is done.

        leave_out: the output folder. stream: standard input. Raises UsageError for a table without its columns.
        """
        if not self.is_stream and self.path.is_dir():
            yield from self._folder(leave_out, is_done)
        elif self._form in ("csv", "jsonl"):
            yield from self._table(stream, is_done)
        else:
            name = "-" if self.is_stream else self.path.name
            yield None if is_done(name) else self._file(name, self.path, self._form or "txt", stream)

    def _folder(self, leave_out: Path, is_done: IsDone) -> Iterator[Found | None]:
        for found in walk(self.path, leave_out):
            form = FORMS.get(os.path.splitext(found.path)[1].lower())  # noqa: PTH122 - a Path for each takes longer
            if found.unreadable:
                yield Unread(found.path, InputRefused("E-SUM-014", found.unreadable))
            elif found.skip in (Skip.LINK, Skip.HIDDEN, Skip.NOT_A_FILE) or form not in ("txt", "xml"):
                yield Skipped(str(found.skip or NO_REPORT))
            elif is_done(found.path):
                yield None
            else:
                yield self._file(found.path, self.path / found.path, form, None)

    def _file(self, name: str, path: Path, form: Form, stream: BinaryIO | None) -> Report | Unread:
        try:
            data = _bounded(stream.read(MOST_BYTES + 1) if stream and self.is_stream else read_file(path))
            if form == "xml":
                study, text, images = openi.read(data, None if self.encoding == "utf-8" else self.encoding)
                return Report(name, study or Path(name).stem, clean_text(text), images)
            return Report(name, Path(name).stem, clean_text(decoded(data, self.encoding)))
        except InputRefused as error:
            return Unread(name, error)

    def _table(self, stream: BinaryIO, is_done: IsDone) -> Iterator[Found | None]:
        name = "-" if self.is_stream else self.path.name
        rows = tables.csv_rows if self._form == "csv" else tables.json_rows
        with tables.Lines(stream if self.is_stream else self.path, self.encoding) as lines:
            for row in rows(lines, self.columns, MOST_BYTES):
                path = f"{name}#{row.number}"
                yield None if is_done(path) else _of_row(path, row)


def _of_row(path: str, row: tables.Row) -> Report | Unread:
    if row.error:
        return Unread(path, row.error)
    try:
        return Report(path, row.study or path, clean_text(row.text))
    except InputRefused as error:
        return Unread(path, error)


def clean_text(text: str) -> str:
    """Line ends as newlines; raises InputRefused for bytes that were no text, and for control characters."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_PAGES).removeprefix("\ufeff")
    if found := unclean(text):
        is_byte = "\udc80" <= text[int(found.split()[1].rstrip(":")) - 1] <= "\udcff"
        raise InputRefused("E-SUM-010" if is_byte else "E-SUM-012", found)
    return text


_PAGES = {0x0B: "\n", 0x0C: "\n"}
"""Vertical tab and form feed: where an old printer began a new page."""


def _bounded(data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise InputRefused("E-SUM-011", f"more than {MOST_BYTES >> 10} KiB")
    return data


def decoded(data: bytes, encoding: str) -> str:
    """Text of a file's bytes; raises InputRefused at the first byte that is none."""
    try:
        return data.decode(encoding)
    except UnicodeError as error:
        place = f"byte {error.start + 1}" if isinstance(error, UnicodeDecodeError) else "its beginning"
        raise InputRefused("E-SUM-010", f"{place}: not {encoding.upper()}") from None


def read_file(path: Path) -> bytes:
    """At most MOST_BYTES + 1 bytes of a plain file; no link is followed, no pipe waited for. Raises InputRefused."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(path, flags)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise InputRefused("E-SUM-014", "not a plain file")
            return stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputRefused("E-SUM-014", error.strerror or type(error).__name__) from None


def _require_encoding(name: str) -> None:
    """Raises UsageError for a name that Python does not know as a way to write text."""
    try:
        "".encode(name)
        b"".decode(name)
    except (LookupError, UnicodeError, ValueError):
        raise UsageError("E-SUM-004") from None
