"""Runs that outlive the server: a batch's folder, which `report` and `evaluate` read like any other.

The first kind of run that a folder has seen is its own; runs that ask otherwise have a folder each below it, named by
a hash of what they ask.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from xraygpt_edge.batch.job import Settings, facts_of
from xraygpt_edge.batch.summary import Run as RunFacts
from xraygpt_edge.batch.summary import summarize
from xraygpt_edge.ledger import Answered, Ledger, Records, adopt, claimed, job_facts, own_path
from xraygpt_edge.records import Answer, Failure
from xraygpt_edge.serve.runs.run import ID_DIGITS, Film
from xraygpt_edge.serve.runs.run import Records as Known

Found = TypeVar("Found")
DROPPED = b"dropped on the page"
"""In the place of a folder's path, which no browser tells."""
NAME_DIGITS = 8
NAME_MAX = 1024


class KeptRuns:
    """Records of all runs that ask the same; used on the keeper's thread, but for `known`."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        """Open or make the folder; raises UsageError, OutputError, and what `Records` raises."""
        adopt(folder, facts)
        self._folder, self._facts = folder, facts
        self._ledger = Ledger(folder)
        self.known = Known()
        self._owners: dict[str, str] = {}
        """Path → the SHA-256 that begins the id of its file."""
        for entry in Records(folder):
            self._note(entry.row.own_path, entry.row.id)
            if isinstance(entry.row, Answered):
                self.known.put(entry.row.input.sha256, entry.row.question, entry.line)

    def path(self, name: str, digest: str) -> str:
        """How a file is named here: below the folder, and never like another file of other bytes."""
        parts = [part for part in name.replace("\0", "").split("/") if part not in {"", ".", ".."}]
        path = own_path("/".join(parts)[-NAME_MAX:] or digest[:ID_DIGITS], None)
        if self._owners.get(path, digest[:ID_DIGITS]) != digest[:ID_DIGITS]:
            pure = PurePosixPath(path)
            path = str(pure.with_name(f"{pure.stem} ({digest[:NAME_DIGITS]}){pure.suffix}"))
        self._note(path, digest[:ID_DIGITS])
        return path

    def append(self, film: Film, question: str, result: Answer | Failure) -> bytes:
        """Write a record, which is on disk when this returns, and is returned; raises OutputError."""
        attempt = self._ledger.attempts(film.path, question) + 1
        if not self._ledger.is_ok(film.path, question):
            self._ledger.append(result, film.sha256[:ID_DIGITS], film.path, question, attempt)
        line = film.record(question, result, attempt)
        if isinstance(result, Answer):
            self.known.put(film.sha256, question, line)
        return line

    def summarize(self, run: RunFacts) -> None:
        """Write the summary; raises OutputError."""
        summarize(self._folder, self._facts, run)

    def close(self) -> None:
        """Every record is on disk already."""
        self._ledger.close()

    def _note(self, path: str, identity: str) -> None:
        self._owners.setdefault(path, identity)


class Keeper:
    """The folder of `--keep`, claimed for as long as the server lives."""

    def __init__(self, folder: Path, manifest_sha256: str) -> None:
        """Make and claim the folder; raises Locked, OutputError."""
        self._folder, self._manifest_sha256 = folder, manifest_sha256
        self._claims = ExitStack()
        self._claims.enter_context(claimed(folder))
        self._thread = ThreadPoolExecutor(1, "keeping")
        self._opened: dict[Path, KeptRuns] = {}

    async def runs(self, questions: tuple[str, ...], settings: Settings) -> KeptRuns:
        """The records of runs that ask so; raises UsageError, OutputError, and what `Records` raises."""
        return await self.do(lambda: self._open(questions, settings))

    async def do(self, work: Callable[[], Found]) -> Found:
        """Have the one thread that writes do something, behind what it has to do already."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Let go of the folder, once everything is written."""
        self._thread.shutdown()
        for each in self._opened.values():
            each.close()
        self._claims.close()

    def _open(self, questions: tuple[str, ...], settings: Settings) -> KeptRuns:
        facts = facts_of(DROPPED, self._manifest_sha256, questions, settings)
        folder = self._folder_of(facts)
        if folder not in self._opened:
            if folder != self._folder:
                self._claims.enter_context(claimed(folder))
            self._opened[folder] = KeptRuns(folder, facts)
        return self._opened[folder]

    def _folder_of(self, facts: dict[str, Any]) -> Path:
        if job_facts(self._folder) in (None, facts):
            return self._folder
        digest = sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return self._folder / f"run-{digest[:NAME_DIGITS]}"
