"""A folder of radiographs into records: the top of a batch."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from xraygpt_edge.batch.job import Job, Running, load_of
from xraygpt_edge.batch.summary import Run, Summary, Unread, summarize
from xraygpt_edge.batch.walk import Found, Look, Skip, look_at
from xraygpt_edge.errors import InputRefused, UsageError
from xraygpt_edge.host import Event, Load, ModelHost, Ready, Record, StageTimes, Started, Task
from xraygpt_edge.ledger import Ledger, adopt, claimed
from xraygpt_edge.records import Failure

ID_DIGITS = 16
HASHED_MAX_BYTES = 1 << 30
NO_RADIOGRAPH = {"E-DCM-002": Skip.NO_IMAGE, "E-DCM-017": Skip.DICOMDIR}
"""What the reader refuses because it is no picture at all: left out and counted, no failure."""


@dataclass(slots=True)
class Progress:
    """How far a batch is; counts are of files."""

    total: int = 0
    """Files in the folder."""
    earlier: int = 0
    """Were done before this run."""
    ok: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason → files; of a kind that is not read, the reason names the kind."""
    current: str = ""
    """Short id of a file in work; nothing of its name."""

    @property
    def done(self) -> int:
        """Files that need no more work."""
        return self.earlier + self.ok + self.failed + self.skipped.total()


class Host(Protocol):
    """Whoever answers: the model's process on this computer, or a pool of machines."""

    ready: Ready | None
    times: StageTimes
    restarts: int

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, at once where there was an error."""

    def answer_all(self, tasks: Iterable[Task]) -> Iterator[Event]:
        """Each task's events, in the order in which they come."""


class Watcher(Protocol):
    """Somebody who shows progress."""

    def show(self, progress: Progress) -> None:
        """Called after each change; must return at once."""


class Nobody:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        """Nothing."""


def run(
    job: Job, out: Path, running: Running, watcher: Watcher | None = None, host: Callable[[Load], Host] = ModelHost
) -> Summary:
    """Answer every question about every radiograph that has no record yet.

    host: makes whoever answers.
    Raises UsageError, Locked, OutputError, WorkerCrashed, or what ends the model process; every record
    that was written stays, and running the same job again does what is left.
    """
    if not job.folder.is_dir():
        raise UsageError("E-BAT-001")
    with claimed(out):
        adopt(out, job.facts)
        with closing(Ledger(out)) as ledger:
            batch = _Batch(job, out, running, ledger, watcher or Nobody(), host)
            return summarize(out, job.facts, batch.answer_all())


@dataclass(slots=True)
class _File:
    """A radiograph in work."""

    path: str
    """Relative to the batch's folder; bytes that are no UTF-8 are lone surrogates."""
    open_questions: int
    has_failed: bool = False


@dataclass(slots=True)
class _Batch:
    """One run of a job."""

    job: Job
    out: Path
    running: Running
    ledger: Ledger
    watcher: Watcher
    make_host: Callable[[Load], Host]
    progress: Progress = field(default_factory=Progress)
    began_s: float = field(default_factory=time.monotonic)
    _unread: dict[str, Unread] = field(default_factory=dict)
    """Kind that is not read → its files."""
    _reasons_left_over: int = 0
    _files: dict[int, _File] = field(default_factory=dict)
    """Task number → its file, as long as a question has no record."""

    def answer_all(self) -> Run:
        """Walk, ask, record; returns what this run did."""
        self.progress.total = sum(1 for _ in self.job.found(self.out))
        self._reasons_left_over = self.job.reasons_left_over(found.path for found in self.job.found(self.out))
        host = self.make_host(load_of(self.job, self.running, self.progress.total))
        tasks = self._tasks()
        first = next(tasks, None)
        if first is not None:  # else the model is not even loaded
            with host:
                for event in host.answer_all(chain((first,), tasks)):
                    self._hear(event)
        return self._run(host)

    def _run(self, host: Host) -> Run:
        ready = host.ready
        return Run(
            seconds=time.monotonic() - self.began_s,
            files=self.progress.ok + self.progress.failed,
            earlier=self.progress.earlier,
            found=self.progress.total,
            skipped=dict(sorted(self.progress.skipped.items())),
            unread=dict(sorted(self._unread.items())),
            busy=asdict(host.times) if ready else {},
            restarts=host.restarts,
            engine={"parallel": ready.slots, "device": ready.device, "threads": ready.threads} if ready else {},
            cut_bytes=self.ledger.cut_bytes,
            reasons_left_over=self._reasons_left_over,
        )

    def _tasks(self) -> Iterator[Task]:
        """Radiographs with a question that has no record yet."""
        folder = self.job.folder.absolute()
        for number, found in enumerate(self.job.found(self.out), 1):
            look = self._look_at(found)
            if look.skip:
                self._leave_out(found.path, look)
                continue
            questions = self._unanswered(found.path)
            if not questions:
                self.progress.earlier += 1
                self.watcher.show(self.progress)
                continue
            self._files[number] = _File(found.path, len(questions))
            if found.unreadable:
                self._keep_unreadable_folder(number, questions, found.unreadable)
            else:
                yield Task(number, str(folder / found.path), questions)

    def _look_at(self, found: Found) -> Look:
        if found.skip or found.unreadable or self.job.films:  # a list was made by looking
            return Look(found.skip)
        return look_at(self.job.folder / found.path)

    def _unanswered(self, path: str) -> tuple[str, ...]:
        """Questions that are still to be asked about a file."""
        questions = self.job.questions_about(path)
        is_answered = self.ledger.is_ok if self.running.retry_failed else self.ledger.is_done
        return tuple(question for question in questions if not is_answered(path, question))

    def _hear(self, event: Event) -> None:
        match event:
            case Started():
                self.progress.current = short_id(file_id(self.job.folder / self._files[event.task].path))
                self.watcher.show(self.progress)
            case Record():
                self._keep(event)

    def _keep(self, record: Record) -> None:
        """Write one record down, and count its file once all its questions have one."""
        file, result = self._files[record.task], record.result
        skip = NO_RADIOGRAPH.get(result.error_id) if isinstance(result, Failure) else None
        if skip is None:
            self._write(file.path, record)
        file.has_failed = file.has_failed or isinstance(result, Failure)
        file.open_questions -= 1
        if not file.open_questions:
            del self._files[record.task]
            self._count(file, skip)

    def _count(self, file: _File, skip: Skip | None) -> None:
        if skip is not None:
            self._leave_out(file.path, Look(skip))
            return
        if file.has_failed:
            self.progress.failed += 1
        else:
            self.progress.ok += 1
        self.watcher.show(self.progress)

    def _write(self, path: str, record: Record) -> None:
        source = record.result.input
        identity = source.sha256[:ID_DIGITS] if source else file_id(self.job.folder / path)
        attempt = self.ledger.attempts(path, record.question) + record.attempt
        self.ledger.append(record.result, identity, path, record.question, attempt)

    def _keep_unreadable_folder(self, number: int, questions: tuple[str, ...], why: str) -> None:
        """Nobody knows what is in it: one failure for each question, so that the counts say so."""
        error = InputRefused("E-BAT-021", why)
        failure = Failure(error.error_id, error.message, int(error.code))
        for question in questions:
            self._keep(Record.of(number, question, failure))

    def _leave_out(self, path: str, look: Look) -> None:
        if look.kind:
            self._unread.setdefault(look.kind, Unread()).add(path)
        self.progress.skipped[look.reason] += 1
        self.watcher.show(self.progress)


def file_id(path: Path) -> str:
    """Hash of a file's bytes, or of its path where they cannot be read: the name itself may be a patient's."""
    digest = sha256()
    try:
        with open(path, "rb", opener=_open_at_once) as stream:
            facts = os.fstat(stream.fileno())
            if stat.S_ISREG(facts.st_mode) and facts.st_size <= HASHED_MAX_BYTES:
                while block := stream.read(1 << 20):
                    digest.update(block)
                return digest.hexdigest()[:ID_DIGITS]
    except OSError:
        pass
    return sha256(os.fsencode(path)).hexdigest()[:ID_DIGITS]


def _open_at_once(path: str, flags: int) -> int:
    """A pipe that has taken the file's place must not hold the batch up."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def short_id(identity: str) -> str:
    """Enough of an id to find the record by."""
    return identity[:8]
