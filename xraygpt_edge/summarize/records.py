"""What is kept of each report: a line of `records.jsonl`, typed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import msgspec

from xraygpt_edge.ledger import Records, named_path
from xraygpt_edge.records import SCHEMA, FinishReason
from xraygpt_edge.summarize.check import Difference
from xraygpt_edge.summarize.rules import Reason, Removed
from xraygpt_edge.summarize.sections import Section
from xraygpt_edge.text import file_name

Mode: TypeAlias = Literal["rules", "rewrite"]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What a language model made of a clean text."""

    text: str
    passed: bool
    """It states and denies exactly what it was given."""
    differences: tuple[Difference, ...] = ()
    finish_reason: FinishReason | None = None
    error_id: str = ""
    """Why there is none."""


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="status"):
    """What every line has."""

    id: str
    """Hash of the report's words; of its path where it could not be read."""
    path: str
    study: str = ""
    schema: int = SCHEMA
    path_b64: bytes | None = None
    """The path's bytes, where they are not UTF-8."""

    @property
    def own_path(self) -> str:
        """The path as this process names it."""
        return os.fsdecode(self.path_b64 or self.path.encode("utf-8", "surrogatepass"))

    @property
    def shown_path(self) -> str:
        """The path as a person may see it."""
        return file_name(self.own_path)


class Summarized(Line, frozen=True, kw_only=True, tag="ok"):
    """A report, and the text that was made of it."""

    text: str
    """What goes on from here: the rewriting where it passed the check, else the rules' own."""
    rules_text: str
    report: str
    """The report itself, of which places are characters."""
    sections: tuple[Section, ...]
    removed: tuple[Removed, ...]
    images: tuple[str, ...] = ()
    mode: Mode = "rules"
    rewriting: Rewriting | None = None

    @property
    def is_unchecked(self) -> bool:
        """The text is a rewriting that did not pass."""
        return self.rewriting is not None and not self.rewriting.passed and self.text == self.rewriting.text


class LeftOut(Line, frozen=True, kw_only=True, tag="left out"):
    """A report of which no text is made."""

    reason: Reason
    report: str
    sections: tuple[Section, ...]


class Failed(Line, frozen=True, kw_only=True, tag="failed"):
    """A report that could not be read, or whose rewriting failed."""

    error_id: str
    message: str
    code: int


Row: TypeAlias = Summarized | LeftOut | Failed


def read(folder: Path) -> Records:
    """The records of a folder, to be recovered by who writes it."""
    return Records(folder, Row)


def rows(folder: Path) -> Iterator[Row]:
    """Every whole record in the order of writing; raises what `ledger.Records` raises."""
    return (cast("Row", entry.row) for entry in read(folder))


def line_of(row: Row) -> bytes:
    """The row as it is written."""
    return msgspec.json.encode(row) + b"\n"


def path_of(path: str) -> dict[str, Any]:
    """Fields that keep a path, whatever the locale."""
    named = named_path(path)
    return {"path": named["path"], "path_b64": os.fsencode(path) if "path_b64" in named else None}
