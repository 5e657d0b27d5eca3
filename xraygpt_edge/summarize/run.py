"""A source of reports into records: the top of `summarize`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, cast

from xraygpt_edge.batch import Nobody, Progress, Watcher
from xraygpt_edge.ledger import Appender, adopt, claimed, key
from xraygpt_edge.summarize.records import Failed, LeftOut, Mode, Row, Summarized, line_of, path_of, read
from xraygpt_edge.summarize.rules import clean
from xraygpt_edge.summarize.sources import ID_DIGITS, Report, Skipped, Source, Unread
from xraygpt_edge.summarize.totals import Totals

SCHEMA = 1
AT_ONCE = 256
"""Records that are written together: a disk takes as long for one. A crash costs at most the work on so many."""
AT_ONCE_BYTES = 1 << 20

Rewrite: TypeAlias = Callable[[Iterable[Row]], Iterator[Row]]
"""Gives each text to a language model, and the rows on in their order."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is read, and what is made of it."""

    source: Source
    mode: Mode = "rules"
    rewriter: dict[str, Any] = field(default_factory=dict)
    """What decides the words of a rewriting: model, prompt, sampling."""

    @property
    def facts(self) -> dict[str, Any]:
        """What must be the same when it goes on; the source's own name may identify a patient."""
        path = "-" if self.source.is_stream else os.fsdecode(self.source.path.resolve())
        columns = self.source.columns
        return {
            "schema": SCHEMA,
            "job": "summarize",
            "source_sha256": sha256(os.fsencode(path)).hexdigest(),
            "encoding": self.source.encoding,
            "form": self.source.form,
            "columns": [columns.id, columns.text, columns.findings, columns.impression],
            "mode": self.mode,
            "rewriter": self.rewriter,
        }


def run(job: Job, out: Path, rewrite: Rewrite | None = None, watcher: Watcher | None = None) -> Totals:
    """Make a record of every report that has none yet; running the same job again does what is left.

    Raises UsageError, Locked, OutputError; what was written stays.
    """
    job.source.require_usable()
    with claimed(out):
        adopt(out, job.facts)
        with closing(Appender(out)) as appender:
            totals = _Run(job, out, appender, watcher or Nobody()).finish(rewrite)
        totals.write(out)
    return totals


@dataclass(slots=True)
class _Run:
    """One run of a job."""

    job: Job
    out: Path
    appender: Appender
    watcher: Watcher
    totals: Totals = field(default_factory=Totals)
    progress: Progress = field(default_factory=Progress)
    _done: set[int] = field(default_factory=set)

    def finish(self, rewrite: Rewrite | None) -> Totals:
        for entry in self.appender.recover(read(self.out)):
            row = cast("Row", entry.row)
            self.totals.add(row)
            self._done.add(key(row.own_path, ""))
        self.progress.total = self.job.source.count(self.out) or 0
        rows = self._rows()
        self._keep(rewrite(rows) if rewrite else rows)
        return self.totals

    def _rows(self) -> Iterator[Row]:
        """What the rules make of every report that has no record."""
        for found in self.job.source.read(self.out, sys.stdin.buffer, self._is_done):
            match found:
                case None:
                    self.progress.earlier += 1
                case Skipped(reason):
                    self.totals.skipped[reason] += 1
                    self.progress.skipped[reason] += 1
                case _:
                    yield row_of(found)
            self._show()

    def _is_done(self, path: str) -> bool:
        return key(path, "") in self._done

    def _keep(self, rows: Iterable[Row]) -> None:
        """Write rows down, many at a time; each counts once it is on disk."""
        waiting: list[Row] = []
        lines = bytearray()
        for row in rows:
            waiting.append(row)
            lines += line_of(row)
            if len(waiting) >= AT_ONCE or len(lines) >= AT_ONCE_BYTES:
                self._write(waiting, lines)
                waiting, lines = [], bytearray()
        self._write(waiting, lines)

    def _write(self, rows: list[Row], lines: bytearray) -> None:
        if not rows:
            return
        self.appender.append(bytes(lines))
        for row in rows:
            self.totals.add(row)
            self.progress.ok += not isinstance(row, Failed)
            self.progress.failed += isinstance(row, Failed)
        self._show()

    def _show(self) -> None:
        self.progress.total = max(self.progress.total, self.progress.done)
        self.watcher.show(self.progress)


def row_of(found: Report | Unread) -> Row:
    """The record of one report, as the rules alone make it."""
    if isinstance(found, Unread):
        error = found.error
        identity = sha256(os.fsencode(found.path)).hexdigest()[:ID_DIGITS]
        return Failed(
            id=identity, **path_of(found.path), error_id=error.error_id, message=error.message, code=int(error.code)
        )
    cleaned = clean(found.text)
    head: dict[str, Any] = {"id": found.id, **path_of(found.path), "study": found.study, "report": found.text}
    if cleaned.reason:
        return LeftOut(**head, sections=cleaned.sections, reason=cleaned.reason)
    return Summarized(
        **head,
        text=cleaned.text,
        rules_text=cleaned.text,
        sections=cleaned.sections,
        removed=cleaned.removed,
        images=found.images,
    )
