"""CSV for spreadsheets: one row an answer or a failure, and nothing that a spreadsheet would run.

The exact words are in the records and in the JSON report. Here every field is quoted, control
characters and line ends are gone, and what could begin a formula has an apostrophe before it.
"""

from __future__ import annotations

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterable
from typing import BinaryIO

from xraygpt_edge.ledger import Answered, Failed
from xraygpt_edge.records import NOTICE, FindingTrust, Trust
from xraygpt_edge.reports.job import Job, Written, output_file
from xraygpt_edge.reports.rows import Batch
from xraygpt_edge.text import one_line

COLUMNS = (
    "id", "path", "status", "question", "text", "finish_reason", "error_id", "message", "warnings",
    "format", "photometric", "rows", "columns", "profile", "forced", "sha256", "bundle", "manifest_sha256",
    "vision", "language", "demo", "version", "device", "template", "temperature", "top_p", "seed",
    "max_tokens", "tokens", "total_s", "attempt", "notice", "trust_film", "trust_weakest", "trust_unsaid",
)  # fmt: skip
BYTE_ORDER_MARK = "\ufeff"
"""Without it Excel takes UTF-8 for the old alphabet of the computer."""

# Where a semicolon separates fields, what follows it inside quotes can become a cell of its own.
_CELL_START = re.compile(r"(^|;)(\s*)(?=(\S))")


def write(job: Job) -> Written:
    """Failures first, then answers, in the order of the records."""
    with output_file(job.out) as stream:
        write_table(job.batch, stream)
    return Written(files=1)


def write_table(batch: Batch, stream: BinaryIO) -> None:
    """Write the table of a batch's records."""
    text = codecs.getwriter("utf-8")(stream)
    text.write(BYTE_ORDER_MARK)
    columns = (*COLUMNS, *_findings(batch.answered))
    table = csv.DictWriter(text, columns, restval="", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    table.writeheader()
    for failed in batch.failed:
        table.writerow(_cells(_failure(failed)))
    for answered in batch.answered:
        table.writerow(_cells({**_answer(answered), **_trust(answered.trust)}))


def _cells(values: dict[str, object]) -> dict[str, object]:
    return {name: inert(value) if isinstance(value, str) else value for name, value in values.items()}


def inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula: one line, an apostrophe before = + - @.

    Full-width and small forms count as the characters that they stand for.
    """
    return _CELL_START.sub(_guarded, one_line(text))


def _guarded(start: re.Match[str]) -> str:
    risky = unicodedata.normalize("NFKC", start[3]).startswith(("=", "+", "-", "@"))
    return f"{start[0]}'" if risky else start[0]


def _findings(rows: Iterable[Answered]) -> list[str]:
    """A column for each finding whose probability a record has."""
    findings = (finding for row in rows if row.trust for finding in row.trust.findings)
    return list(dict.fromkeys(_column(finding) for finding in findings if finding.p is not None))


def _column(finding: FindingTrust) -> str:
    return inert(f"p {finding.name}")


def _trust(trust: Trust | None) -> dict[str, object]:
    """Columns of how far to trust an answer; a probability counts for films like those of the profile."""
    if trust is None:
        return {}
    scores = [sentence.score for sentence in trust.sentences if sentence.score is not None]
    return {
        "trust_film": "" if trust.film is None else "like" if trust.film.like else "unlike",
        "trust_weakest": f"{min(scores):.4f}" if scores else "",
        "trust_unsaid": ", ".join(trust.unsaid),
        **{_column(finding): f"{finding.p:.4f}" for finding in trust.findings if finding.p is not None},
    }


def _failure(row: Failed) -> dict[str, object]:
    return {
        "id": row.id,
        "path": row.shown_path,
        "status": "failed",
        "question": row.question,
        "error_id": row.error_id,
        "message": row.message,
        "sha256": row.input.sha256 if row.input else "",
        "attempt": row.attempt,
        "notice": NOTICE,
    }


def _answer(row: Answered) -> dict[str, object]:
    source, bundle, engine = row.input, row.bundle, row.engine
    return {
        "id": row.id,
        "path": row.shown_path,
        "status": "ok",
        "question": row.question,
        "text": row.text,
        "finish_reason": row.finish_reason,
        "warnings": " ".join(warning.id for warning in source.warnings),
        "format": source.format,
        "photometric": source.photometric or "",
        "rows": source.rows,
        "columns": source.columns,
        "profile": source.profile,
        "forced": source.forced,
        "sha256": source.sha256,
        "bundle": bundle.id,
        "manifest_sha256": bundle.manifest_sha256,
        "vision": bundle.vision,
        "language": bundle.language,
        "demo": bundle.demo,
        "version": engine.version,
        "device": engine.device,
        "template": engine.template,
        "temperature": engine.temperature,
        "top_p": engine.top_p,
        "seed": engine.seed,
        "max_tokens": engine.max_tokens,
        "tokens": row.timing.tokens,
        "total_s": row.timing.total_s,
        "attempt": row.attempt,
        "notice": row.notice,
    }
