"""`summary.json`: what became of a folder, failures first; a view of the records."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xraygpt_edge.ledger import Answered, Records, Row, named_path, write_whole
from xraygpt_edge.version import __version__

SUMMARY = "summary.json"
SCHEMA = 1
KEPT_OF_A_FAILURE = ("question", "attempt", "error_id", "message", "code")

UNREAD_NAMED = 5
"""Files of each kind that is not read whose names the summary keeps: enough to find them, in a folder of any size."""


@dataclass(slots=True)
class Unread:
    """Files of one kind in which a radiograph may be, and which is not read."""

    files: int = 0
    first: list[dict[str, str]] = field(default_factory=list)
    """Paths as records have them, of the first UNREAD_NAMED."""

    def add(self, path: str) -> None:
        """Count one file."""
        self.files += 1
        if len(self.first) < UNREAD_NAMED:
            self.first.append(named_path(path))


UNLIKE_MOST = 0.1
"""Share of films unlike the reference films above which somebody should be told."""


@dataclass(frozen=True, slots=True)
class Films:
    """How many films a trust profile has something to say about."""

    measured: int
    unlike: int
    """Of them, farther from the reference films than the profile's threshold."""

    @property
    def has_drifted(self) -> bool:
        """More of them are unlike the reference films than should be (W-TRU-003)."""
        return self.unlike > UNLIKE_MOST * self.measured


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a batch, from start to end."""

    seconds: float
    files: int
    """Files that got their records in this run."""
    earlier: int
    """Files that were done before it."""
    found: int
    skipped: dict[str, int]
    unread: dict[str, Unread]
    """Kind → its files; counted in `skipped`, too."""
    busy: dict[str, float]
    """Seconds of the model process by stage; reading runs beside the others."""
    restarts: int
    """How often the model process died."""
    engine: dict[str, Any]
    """Device, threads, and questions answered at the same time; empty when no model was needed."""
    cut_bytes: int
    """Of a record that a crash had cut off; its radiograph was done again."""
    reasons_left_over: int = 0
    """Rows of the table of indications whose film was not found."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of files: found = ok + failed + skipped."""

    found: int
    ok: int
    failed: int
    skipped: int
    failures: tuple[dict[str, Any], ...]
    errors: dict[str, int]
    """Error id → records."""
    skipped_by_reason: dict[str, int]
    run: Run
    studies: tuple[dict[str, Any], ...]
    """Those with several files."""
    bundle: dict[str, Any] | None
    engine: dict[str, Any] | None
    films: Films


@dataclass(slots=True)
class _Tally:
    """What the records say, read once; of a question asked again, the last one counts."""

    failures: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    """Path → id of every file that has a record."""
    studies: defaultdict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Study → path → id, where the file states a study."""
    is_like: dict[str, bool] = field(default_factory=dict)
    """Path → whether the film is like the reference films, where that is known."""
    bundle: dict[str, Any] | None = None
    engine: dict[str, Any] | None = None

    def add(self, row: Row) -> None:
        """Count one record."""
        path = row.own_path
        self.ids[path] = row.id
        if row.input and row.input.study:
            self.studies[row.input.study][path] = row.id
        if isinstance(row, Answered):
            self.failures.pop((path, row.question), None)
            self.bundle, self.engine = asdict(row.bundle), asdict(row.engine)
            if row.trust and row.trust.film:
                self.is_like[path] = row.trust.film.like
        else:
            facts = {name: getattr(row, name) for name in KEPT_OF_A_FAILURE}
            self.failures[path, row.question] = {"id": row.id, **named_path(path), **facts}


def summarize(out: Path, job: dict[str, Any], run: Run) -> Summary:
    """Read the records once and write the summary; raises OutputError. job: its facts."""
    tally = _Tally()
    for entry in Records(out):
        tally.add(entry.row)
    failed = len({path for path, _ in tally.failures})
    summary = Summary(
        # A file that was removed after it was answered keeps its record, so it was found.
        found=len(tally.ids) + sum(run.skipped.values()),
        ok=len(tally.ids) - failed,
        failed=failed,
        skipped=sum(run.skipped.values()),
        failures=tuple(tally.failures.values()),
        errors=dict(Counter(failure["error_id"] for failure in tally.failures.values()).most_common()),
        skipped_by_reason=run.skipped,
        run=run,
        studies=tuple(
            {"study": study, "ids": list(members.values())}
            for study, members in tally.studies.items()
            if len(members) > 1
        ),
        bundle=tally.bundle,
        engine=tally.engine,
        films=Films(len(tally.is_like), sum(not is_like for is_like in tally.is_like.values())),
    )
    write_whole(out / SUMMARY, json.dumps(_facts(summary, job), indent=1).encode("ascii"))
    return summary


def _facts(summary: Summary, job: dict[str, Any]) -> dict[str, Any]:
    run = summary.run
    last_run = asdict(run)
    unread = last_run.pop("unread")
    per_minute = 60 * run.files / run.seconds if run.seconds else 0.0
    return {
        "schema": SCHEMA,
        "failures": summary.failures,
        "errors": summary.errors,
        "found": summary.found,
        "ok": summary.ok,
        "failed": summary.failed,
        "skipped": summary.skipped,
        "skipped_by_reason": summary.skipped_by_reason,
        "unread": unread,
        "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "last_run": {**last_run, "radiographs_per_minute": round(per_minute, 2)},
        "job": job,
        "bundle": summary.bundle,
        "engine": summary.engine,
        "trust": asdict(summary.films),
        "studies": summary.studies,
        "version": __version__,
    }
