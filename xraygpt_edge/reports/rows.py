"""What a batch left in its folder: the only input of every report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.ledger import RECORDS, Answered, Failed, Records, Row, asked_questions
from xraygpt_edge.ledger.versions import Damaged, decoded
from xraygpt_edge.records import ReadWarning
from xraygpt_edge.trust import words

SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True)
class Radiograph:
    """The answers about one file, in the order in which they were given."""

    answers: tuple[Answered, ...]

    @property
    def first(self) -> Answered:
        """The answer that also speaks for what all have in common: file, bundle, settings."""
        return self.answers[0]

    def remarks(self, *more: ReadWarning) -> list[str]:
        """What a reader must know: the notice first, then whatever limits the answers."""
        source = self.first.input
        cut = ["The text is cut off."] if any(row.finish_reason != "stop" for row in self.answers) else []
        forced = ["The input gate refused this file and was overridden."] if source.forced else []
        warned = (f"{each.id}: {each.message}" for each in (*source.warnings, *more))
        return [self.first.notice, *cut, *forced, *self.software_checks, *warned]

    @property
    def software_checks(self) -> tuple[str, ...]:
        """What the model's own checks say of the answers, without a figure, each once."""
        where = (
            ["sentence"]
            if len(self.answers) == 1
            else [f"answer {n}, sentence" for n in range(1, len(self.answers) + 1)]
        )
        said = (words.remarks(a.trust, here) for a, here in zip(self.answers, where, strict=True) if a.trust)
        return tuple(dict.fromkeys(chain.from_iterable(said)))


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
    torn_bytes: int = 0
    """Of a last record that a crash has cut off, or that is being written; it is not among the rows."""

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


def read_batch(root: Path) -> Batch:
    """Read the records and the summary of a batch; the model is not needed.

    Raises what `ledger.Records` raises, and InputRefused for a damaged summary or job.
    """
    latest: dict[tuple[str, str], Row] = {}
    records = Records(root)
    for entry in records:  # a later attempt makes the one before it history
        latest[entry.row.own_path, entry.row.question] = entry.row
    rows = latest.values()
    return Batch(
        root,
        tuple(row for row in rows if isinstance(row, Answered)),
        tuple(row for row in rows if isinstance(row, Failed)),
        _summary(root),
        asked_questions(root),
        datetime.fromtimestamp((root / RECORDS).stat().st_mtime, UTC),
        records.torn_bytes,
    )


def _summary(root: Path) -> dict[str, Any] | None:
    """The summary of a finished batch."""
    try:
        summary: dict[str, Any] = decoded((root / SUMMARY).read_bytes(), dict[str, Any], SUMMARY)
    except FileNotFoundError:
        return None
    except Damaged as error:
        raise InputRefused("E-REP-003", SUMMARY) from error
    except OSError as error:
        raise InputRefused("E-REP-003", f"{SUMMARY}: {error.strerror}") from error
    return summary
