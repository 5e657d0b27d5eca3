"""What a batch left in its folder, as typed rows: the only input of every report."""

from __future__ import annotations

import base64
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from xraygpt_edge.errors import BundleIncompatible, InputRefused, UsageError
from xraygpt_edge.records import SCHEMA, BundleFacts, EngineFacts, FinishReason, Source, Timing

RECORDS = "records.jsonl"
SUMMARY = "summary.json"
JOB = "job.json"

_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="status"):
    """What every line of the records has; fields of later versions are passed over."""

    id: str
    path: str
    """Below the batch's folder; where the name is not UTF-8, only a likeness of it."""
    path_b64: str | None = None
    """The path's bytes, where they are not UTF-8."""
    attempt: int = 1
    question: str = ""

    @property
    def file(self) -> Path:
        """The path as the system knows it, relative to the batch's folder."""
        return Path(os.fsdecode(base64.b64decode(self.path_b64)) if self.path_b64 else self.path)

    @property
    def shown_path(self) -> str:
        """The path as a person may see it: nothing in it that a screen would obey."""
        return one_line(self.file.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))

    @property
    def file_stem(self) -> str:
        """A name for a file about this row: the id, and nothing that came from a patient."""
        return self.id if _SAFE_NAME.fullmatch(self.id) else sha256(self.id.encode("utf-8", "replace")).hexdigest()[:16]


class Answered(Line, frozen=True, kw_only=True, tag="ok"):
    """An answer about one radiograph."""

    text: str
    question: str
    finish_reason: FinishReason
    input: Source
    bundle: BundleFacts
    engine: EngineFacts
    timing: Timing
    notice: str


class Failed(Line, frozen=True, kw_only=True, tag="failed"):
    """A radiograph that ended with an error."""

    error_id: str
    message: str
    code: int
    input: Source | None = None


@dataclass(frozen=True, slots=True)
class Radiograph:
    """The answers about one file, in the order in which they were given."""

    answers: tuple[Answered, ...]

    @property
    def first(self) -> Answered:
        """The answer that also speaks for what all have in common: file, bundle, settings."""
        return self.answers[0]

    @property
    def remarks(self) -> list[str]:
        """What a reader must know: the notice first, then whatever limits the answers."""
        source = self.first.input
        cut = ["The text is cut off."] if any(row.finish_reason != "stop" for row in self.answers) else []
        forced = ["The input gate refused this file and was overridden."] if source.forced else []
        return [self.first.notice, *cut, *forced, *(f"{warning.id}: {warning.message}" for warning in source.warnings)]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch's folder, read."""

    root: Path
    answered: tuple[Answered, ...]
    failed: tuple[Failed, ...]
    summary: dict[str, Any] | None
    """None while the batch has not finished."""
    questions: tuple[str, ...]
    """In the order in which they were given; empty where that is not known."""
    answered_at: datetime
    """When the last record was written, UTC."""

    @property
    def radiographs(self) -> tuple[Radiograph, ...]:
        """Answers grouped by file, by name; whatever was computed first, a report reads the same."""
        grouped: dict[Path, list[Answered]] = {}
        for row in self.answered:
            grouped.setdefault(row.file, []).append(row)
        rank = {question: n for n, question in enumerate(self.questions)}
        return tuple(
            Radiograph(tuple(sorted(rows, key=lambda row: (rank.get(row.question, len(rank)), row.question))))
            for _, rows in sorted(grouped.items(), key=lambda item: item[0])
        )

    @property
    def failures(self) -> tuple[Failed, ...]:
        """Failures by file name, one for each reason: a file that cannot be read fails for every question."""
        distinct = {(row.file, row.message): row for row in reversed(self.failed)}
        return tuple(row for _, row in sorted(distinct.items(), key=lambda item: item[0]))

    @property
    def instances(self) -> tuple[Radiograph, ...]:
        """Radiographs, one of each content: two files of the same bytes are one to an archive."""
        return tuple({each.first.input.sha256: each for each in reversed(self.radiographs)}.values())[::-1]


class _Head(msgspec.Struct):
    schema: int


class _Job(msgspec.Struct):
    questions: tuple[str, ...]


def read_batch(root: Path) -> Batch:
    """Read the records and the summary of a batch; the model is not needed.

    Raises UsageError where there are none, BundleIncompatible for records of a newer version, and
    InputRefused for a line that is damaged.
    """
    latest: dict[tuple[str, str], Answered | Failed] = {}
    for number, line in enumerate(record_lines(root), 1):
        row: Answered | Failed = _decoded(line, Answered | Failed, f"{RECORDS}, line {number}")
        latest[str(row.file), row.question] = row  # a later attempt makes the one before it history
    rows = latest.values()
    return Batch(
        root,
        tuple(row for row in rows if isinstance(row, Answered)),
        tuple(row for row in rows if isinstance(row, Failed)),
        _summary(root),
        _questions(root),
        datetime.fromtimestamp((root / RECORDS).stat().st_mtime, UTC),
    )


def record_lines(root: Path) -> Iterator[bytes]:
    """Every whole line of the records; one without its end was never counted as done."""
    try:
        with (root / RECORDS).open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n") and line.strip():
                    yield line
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError("E-REP-001") from error
    except OSError as error:
        raise InputRefused("E-REP-003", f"{RECORDS}: {error.strerror}") from error


def _summary(root: Path) -> dict[str, Any] | None:
    """The summary of a finished batch."""
    data = _whole(root / SUMMARY)
    return None if data is None else _decoded(data, dict[str, Any], SUMMARY)


def _questions(root: Path) -> tuple[str, ...]:
    data = _whole(root / JOB)
    return () if data is None else _decoded(data, _Job, JOB).questions


def _whole(path: Path) -> bytes | None:
    """A file's bytes, or None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputRefused("E-REP-003", f"{path.name}: {error.strerror}") from error


def _decoded(data: bytes, kind: Any, where: str) -> Any:
    """Decode one object of our own version or an older one."""
    try:
        schema = msgspec.json.decode(data, type=_Head).schema
        if schema > SCHEMA:
            raise BundleIncompatible("E-REP-002", f"{where}: version {schema}, this program knows {SCHEMA}")
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputRefused("E-REP-003", where) from error


def visible(text: str) -> str:
    """Text without characters that a screen would obey or that nobody sees, line ends kept."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in _HIDDEN)


def one_line(text: str) -> str:
    """Visible text with every run of white space as one space."""
    return visible(" ".join(text.split()))
