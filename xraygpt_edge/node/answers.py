"""Records of answered films: a folder for each day of receipt, written and read exactly as a batch's."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from xraygpt_edge.batch import Job
from xraygpt_edge.errors import UsageError
from xraygpt_edge.host import Record
from xraygpt_edge.ledger import Ledger, Records, Row, adopt, claimed, row_of
from xraygpt_edge.node.films import Film
from xraygpt_edge.node.times import local_day

ID_DIGITS = 16
OPEN_MAX = 2
"""Folders that are open at once: yesterday's last films are answered after midnight."""
JOBS_OF_A_DAY_MAX = 100


@dataclass(slots=True)
class Answers:
    """The folders of records; for the node's one thread. `close` it."""

    root: Path
    job: Job
    _open: dict[str, tuple[ExitStack, Ledger]] = field(default_factory=dict)

    def folder_for(self, film: Film) -> str:
        """Name of the folder of a film's records: the day it came, with a number behind where the job was changed."""
        if film.answers:
            return film.answers
        day = local_day(film.received_s)
        for number in range(1, JOBS_OF_A_DAY_MAX):
            name = day if number == 1 else f"{day}.{number}"
            try:
                self._ledger(name)
            except UsageError:  # it belongs to another bundle or other questions
                continue
            return name
        raise UsageError("E-BAT-002", f"more than {JOBS_OF_A_DAY_MAX} jobs a day")

    def keep(self, name: str, film: Film, record: Record) -> Row:
        """Write one record; when this returns it survives a power cut. Raises OutputError."""
        ledger = self._ledger(name)
        attempt = ledger.attempts(film.file, record.question) + record.attempt
        what = (record.result, film.sha256[:ID_DIGITS], film.file, record.question, attempt)
        ledger.append(*what)
        return row_of(*what)

    def kept(self, name: str, film: Film) -> list[Row]:
        """Records of a film that were written before."""
        folder = self.root / name
        if not (folder / "records.jsonl").exists():
            return []
        return [entry.row for entry in Records(folder) if entry.row.own_path == film.file]

    def close(self) -> None:
        """Let all folders go."""
        for stack, _ in self._open.values():
            stack.close()
        self._open.clear()

    def _ledger(self, name: str) -> Ledger:
        if name not in self._open:
            while len(self._open) >= OPEN_MAX:
                oldest = min(self._open)
                self._open.pop(oldest)[0].close()
            self._open[name] = self._opened(self.root / name)
        return self._open[name][1]

    def _opened(self, folder: Path) -> tuple[ExitStack, Ledger]:
        with ExitStack() as stack:
            stack.enter_context(claimed(folder))
            adopt(folder, self.job.facts)
            ledger = stack.enter_context(closing(Ledger(folder)))
            return stack.pop_all(), ledger
