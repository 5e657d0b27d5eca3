"""A folder of radiographs into records: the top of a batch."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from xraygpt_edge.batch.job import Job, Running
from xraygpt_edge.batch.summary import Session, Summary, summarize
from xraygpt_edge.batch.walk import Found, Skip, is_candidate, walk
from xraygpt_edge.errors import InputRefused, UsageError
from xraygpt_edge.host.messages import Outcome, Task
from xraygpt_edge.host.process import ModelProcess
from xraygpt_edge.host.supervisor import Supervisor
from xraygpt_edge.ledger import Ledger, adopt, claimed
from xraygpt_edge.ledger.rows import named_path
from xraygpt_edge.records import SCHEMA, Failure

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
    skipped: Counter[Skip] = field(default_factory=Counter)
    current: str = ""
    """Short id of a file in work; nothing of its name."""

    @property
    def done(self) -> int:
        """Files that need no more work."""
        return self.earlier + self.ok + self.failed + self.skipped.total()


class Watcher(Protocol):
    """Somebody who shows progress."""

    def show(self, progress: Progress) -> None:
        """Called after each change; must return at once."""


class Nobody:
    """Shows nothing."""

    def show(self, progress: Progress) -> None:
        """Nothing."""


def run(job: Job, out: Path, running: Running, watcher: Watcher | None = None) -> Summary:
    """Answer every question about every radiograph that has no record yet.

    Raises UsageError, Locked, OutputError, WorkerCrashed, or what ends the model process; every record
    that was written stays, and running the same job again does what is left.
    """
    if not job.folder.is_dir():
        raise UsageError("E-BAT-001")
    with claimed(out):
        adopt(out, job.facts)
        with closing(Ledger(out)) as ledger:
            batch = _Batch(job, out, running, ledger, watcher or Nobody())
            return summarize(out, job, batch.answer_all())


@dataclass(slots=True)
class _Batch:
    """One run of a job."""

    job: Job
    out: Path
    running: Running
    ledger: Ledger
    watcher: Watcher
    progress: Progress = field(default_factory=Progress)
    began_s: float = field(default_factory=time.monotonic)
    _open: dict[int, int] = field(default_factory=dict)
    """Task number → questions without a record; what remains tells when a file is done."""
    _bad: set[int] = field(default_factory=set)

    def answer_all(self) -> Session:
        """Walk, ask, record; returns what this run did."""
        self.progress.total = sum(1 for _ in walk(self.job.folder, self.out))
        requests = self.progress.total * len(self.job.questions)
        supervisor = Supervisor(lambda: ModelProcess(self.job, self.running, requests), self._started)
        with closing(supervisor.outcomes(self._tasks())) as outcomes:
            for outcome in outcomes:
                self._keep(outcome)
        return self._session(supervisor)

    def _session(self, supervisor: Supervisor) -> Session:
        return Session(
            seconds=time.monotonic() - self.began_s,
            files=self.progress.ok + self.progress.failed,
            earlier=self.progress.earlier,
            found=self.progress.total,
            skipped={str(reason): count for reason, count in sorted(self.progress.skipped.items())},
            busy=supervisor.busy,
            restarts=supervisor.restarts,
            engine=supervisor.facts,
            cut_bytes=self.ledger.cut_bytes,
        )

    def _tasks(self) -> Iterator[Task]:
        """Radiographs with a question that has no record yet."""
        for number, found in enumerate(walk(self.job.folder, self.out), 1):
            if found.unreadable:
                self._keep_unreadable_folder(number, found)
            elif found.skip or not is_candidate(self.job.folder / found.path):
                self._skip(found.skip or Skip.NO_IMAGE)
            else:
                questions = self._unanswered(found.path)
                if questions:
                    self._open[number] = len(questions)
                    yield Task(number, found.path, questions)
                else:
                    self.progress.earlier += 1
                    self.watcher.show(self.progress)

    def _unanswered(self, path: str) -> tuple[str, ...]:
        """Questions that are still to be asked about a file."""
        if self.running.retry_failed:
            return tuple(q for q in self.job.questions if not self.ledger.is_ok(path, q))
        return tuple(q for q in self.job.questions if not self.ledger.is_done(path, q))

    def _started(self, task: Task) -> None:
        self.progress.current = short_id(file_id(self.job.folder / task.path))
        self.watcher.show(self.progress)

    def _keep(self, outcome: Outcome) -> None:
        """Write one outcome down, and count its file once all its questions have one."""
        number = outcome.task.number
        skip = NO_RADIOGRAPH.get(outcome.facts.get("error_id", ""))
        if skip is None:
            self.ledger.append(self._record(outcome))
        if not outcome.ok:
            self._bad.add(number)
        self._open[number] -= 1
        if self._open[number]:
            return
        del self._open[number]
        if skip is not None:
            self._bad.discard(number)
            self._skip(skip)
            return
        if number in self._bad:
            self._bad.discard(number)
            self.progress.failed += 1
        else:
            self.progress.ok += 1
        self.watcher.show(self.progress)

    def _record(self, outcome: Outcome) -> dict[str, Any]:
        task, source = outcome.task, outcome.facts.get("input")
        return {
            "schema": SCHEMA,
            "id": source["sha256"][:ID_DIGITS] if source else file_id(self.job.folder / task.path),
            **named_path(task.path),
            "attempt": self.ledger.attempts(task.path, outcome.question) + task.attempt,
            "question": outcome.question,
            **outcome.facts,
        }

    def _keep_unreadable_folder(self, number: int, found: Found) -> None:
        """Nobody knows what is in it: one failure for each question, so that the counts say so."""
        questions = self._unanswered(found.path)
        if not questions:
            self.progress.earlier += 1
            return
        error = InputRefused("E-BAT-021", found.unreadable)
        failure = Failure(error.error_id, error.message, int(error.code)).to_dict()
        self._open[number] = len(questions)
        for question in questions:
            self._keep(Outcome(Task(number, found.path, questions), question, failure))

    def _skip(self, reason: Skip) -> None:
        self.progress.skipped[reason] += 1
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
