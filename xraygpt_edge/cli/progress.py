"""A batch's progress: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xraygpt_edge import batch
from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.cli.console import WORDS

LINE_EVERY_S = 30.0
BAR_EVERY_S = 0.1


class BatchScreen:
    """Shows done, failed, rate, remaining time and the current file's short id; a context manager."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._bar = _bar() if WORDS.is_terminal and not quiet else None
        self._task = self._bar.add_task("", total=None, words="") if self._bar else None
        self._began_s = self._shown_at_s = time.monotonic()

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, progress: batch.Progress) -> None:
        """Called after each change; draws now and then."""
        pause_s = BAR_EVERY_S if self._bar else LINE_EVERY_S
        is_last = progress.done == progress.total
        if self._quiet or (time.monotonic() - self._shown_at_s < pause_s and not is_last):
            return
        self._shown_at_s = time.monotonic()
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=progress.done, total=progress.total, words=self._words(progress))
        else:
            print(f"{progress.done} of {progress.total} files, {self._words(progress)}", file=sys.stderr, flush=True)

    def _words(self, progress: batch.Progress) -> str:
        minutes = (time.monotonic() - self._began_s) / 60
        rate = (progress.ok + progress.failed) / minutes if minutes else 0.0
        current = f", now [{progress.current}]" if progress.current else ""
        return f"{progress.failed} failed, {progress.skipped.total()} skipped, {rate:.1f} a minute{current}"


def finished(summary: batch.Summary, out: str) -> None:
    """What became of the folder, for a person."""
    print(
        f"{summary.found} files: {summary.ok} ok, {summary.failed} failed, {summary.skipped} skipped. "
        f"Records and summary are in {out}",
        file=sys.stderr,
    )
    if unread := summary.run.unread:
        kinds = ", ".join(f"{kind}: {found.files}" for kind, found in unread.items())
        print(f"warning W-BAT-001: {CATALOGUE['W-BAT-001'].what} ({kinds})", file=sys.stderr)
    if rows := summary.run.reasons_left_over:
        print(f"warning W-BAT-002: {CATALOGUE['W-BAT-002'].what} ({rows})", file=sys.stderr)
    films = summary.films
    if films.has_drifted:
        what = f"{CATALOGUE['W-TRU-003'].what} ({films.unlike} of {films.measured})"
        print(f"warning W-TRU-003: {what}", file=sys.stderr)


def _bar() -> Progress:
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[words]}", markup=False),
    )
    return Progress(*columns, console=WORDS, transient=True)
