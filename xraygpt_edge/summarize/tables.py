"""Reports in tables: CSV and JSON lines with named columns, a row at a time, each line of bounded length."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from xraygpt_edge.errors import InputRefused, UsageError

STUDY = ("study", "study_id", "id", "uid", "image_id")
TEXT = ("text", "report", "report_text", "full_text")


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of columns; an empty one is looked for under its usual names."""

    id: str = ""
    text: str = ""
    """The whole report."""
    findings: str = "findings"
    impression: str = "impression"
    """Where a table has the two sections apart."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a report, or why it is none."""

    number: int
    """Of the record in the table, from 1; the header is none."""
    study: str = ""
    text: str = ""
    error: InputRefused | None = None


class Lines:
    """Lines of a file, each cut at a length; a context manager. Bytes that are no text come as half characters."""

    def __init__(self, source: BinaryIO | Path, encoding: str) -> None:
        self._source, self._encoding = source, encoding
        self._is_ours = isinstance(source, Path)
        self._text: io.TextIOWrapper | None = None

    def __enter__(self) -> Self:
        try:
            raw = self._source.open("rb") if isinstance(self._source, Path) else self._source
        except OSError as error:
            raise UsageError("E-SUM-001", error.strerror or type(error).__name__) from error
        self._text = io.TextIOWrapper(raw, self._encoding, "surrogateescape", newline="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._text and self._is_ours:
            self._text.close()
        elif self._text:
            self._text.detach()

    def bounded(self, most_chars: int) -> Iterator[str]:
        """Lines with their ends; of a longer one, its beginning without an end. Raises UsageError."""
        text = self._text
        if text is None:
            raise ValueError("the file is not open")
        try:
            while line := text.readline(most_chars + 1):
                yield line
                while not line.endswith(("\n", "\r")) and len(line) > most_chars:
                    line = text.readline(most_chars + 1)
        except (OSError, UnicodeError) as error:
            raise UsageError("E-SUM-001", f"it cannot be read: {type(error).__name__}") from None


def csv_rows(lines: Lines, columns: Columns, most_chars: int) -> Iterator[Row]:
    """Rows of a CSV file with a header; raises UsageError where its columns are not there."""
    csv.field_size_limit(most_chars)
    bounded = lines.bounded(most_chars)
    table = csv.reader(bounded)
    try:
        header = [name.strip() for name in next(table, [])]
    except csv.Error:
        header = []
    if header:
        header[0] = header[0].removeprefix("\ufeff")
    named = _named(columns, header)
    number = 0
    while True:
        number += 1
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error:
            yield Row(number, error=InputRefused("E-SUM-015", "its quotes do not fit, or a cell is too long"))
            table = csv.reader(bounded)
            continue
        if not cells:
            number -= 1
        elif len(cells) != len(header):
            yield Row(number, error=InputRefused("E-SUM-015", f"{len(cells)} cells, the header has {len(header)}"))
        else:
            yield _row(number, dict(zip(header, cells, strict=True)), named)


def json_rows(lines: Lines, columns: Columns, most_chars: int) -> Iterator[Row]:
    """Objects of a file of JSON lines."""
    number = 0
    for line in lines.bounded(most_chars):
        if not line.strip():
            continue
        number += 1
        if len(line) > most_chars:
            yield Row(number, error=InputRefused("E-SUM-011", f"more than {most_chars >> 10} KiB"))
            continue
        yield _json_row(number, line.removeprefix("\ufeff"), columns)


def _json_row(number: int, line: str, columns: Columns) -> Row:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        return Row(number, error=InputRefused("E-SUM-015", "it is no JSON object"))
    cells = {name: _cell(value) for name, value in found.items() if isinstance(value, str | int)}
    try:
        return _row(number, cells, _named(columns, list(cells)))
    except UsageError:
        return Row(number, error=InputRefused("E-SUM-015", "it has no text"))


def _cell(value: str | int) -> str:
    try:
        return str(value)
    except ValueError:  # a number of thousands of digits
        return ""


def _row(number: int, cells: Mapping[str, str], named: Columns) -> Row:
    study = cells[named.id].strip() if named.id else ""
    if named.text:
        return Row(number, study, cells[named.text])
    parts = (("FINDINGS", named.findings), ("IMPRESSION", named.impression))
    said = ((title, cells.get(name, "").strip()) for title, name in parts)
    return Row(number, study, "\n\n".join(f"{title}: {words}" for title, words in said if words))


def _named(columns: Columns, header: list[str]) -> Columns:
    """The columns that a header has; raises UsageError where one that was named is not there, or no text is."""
    for name in (columns.id, columns.text):
        if name and name not in header:
            raise UsageError("E-SUM-002")
    study = columns.id or next((name for name in STUDY if name in header), "")
    text = columns.text or next((name for name in TEXT if name in header), "")
    if not text and not {columns.findings, columns.impression} & set(header):
        raise UsageError("E-SUM-002")
    both = {columns.findings, columns.impression} <= set(header) and not columns.text
    return Columns(study, "" if both else text, columns.findings, columns.impression)
