"""What can be seen of a node from outside, whether it is running or not; nothing in it names a patient."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from xraygpt_edge.errors import ExitCode, OutputError
from xraygpt_edge.ledger import is_claimed
from xraygpt_edge.node import audit
from xraygpt_edge.node import facts as kept
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.spool import Spool
from xraygpt_edge.node.times import midnight_s, utc

HOUR_S = 3600.0
SCHEMA = 1
SHOWN = 8
"""Digits of a film's hash."""
NAMED = 20
"""Dead letters and failures that are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Films and results of a span of time."""

    received: int
    answered: int
    refused: int
    failed: int
    duplicates: int
    sent: int
    dead: int


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """How it stands with one destination."""

    name: str
    waiting: int
    """Results that are not there yet, or not committed to."""
    uncommitted: int
    """Of these, stored by an archive that has not committed itself yet."""
    dead: int
    held: bool
    last_success: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Status:
    """All of it, at one moment."""

    at: str
    running: bool
    today: Counts
    all: Counts
    waiting: int
    oldest_s: float
    """Age of the film that has waited longest; 0 without one."""
    alarm_s: float
    backlog_s: float | None
    """Until the waiting films are answered, at the speed of the last hour; None where nothing was answered in it."""
    answer_median_s: float | None
    answer_worst_s: float | None
    """Of the last hour, from receipt to record."""
    other_bytes: int
    """Films of the same SOP Instance UID as an earlier one: the archive still has the earlier results."""
    later: int
    """Films that came when their study seemed to be complete, and were answered as a group of their own."""
    free_bytes: int
    reserve_bytes: int
    free_films: int | None
    """How many films of average size fit above the reserve."""
    certificates: dict[str, float] = field(default_factory=dict)
    """File name → days until it ends."""
    destinations: tuple[DestinationStatus, ...] = ()
    dead_letters: tuple[dict[str, str], ...] = ()
    failures: tuple[dict[str, str], ...] = ()


def look(root: Path) -> Status:
    """Read it from the queue; raises UsageError where there is none, OutputError for damage."""
    with Database.look(root) as database:
        return gather(root, database, running=is_claimed(root))


def gather(root: Path, database: Database, *, running: bool) -> Status:
    """Read it from an open queue."""
    now = time.time()
    settings = kept.read(root)
    waiting, oldest = database.rows("SELECT count(*), min(received_s) FROM films WHERE state = 'waiting'")[0]
    times = [
        row[0]
        for row in database.rows(
            "SELECT ended_s - received_s FROM films WHERE state = 'answered' AND ended_s > :since", since=now - HOUR_S
        )
    ]
    mean_bytes = database.value("SELECT avg(bytes) FROM films")
    free = Spool(root).free_bytes()
    return Status(
        at=utc(now),
        running=running,
        today=_counts(database, midnight_s(now)),
        all=_counts(database, 0.0),
        waiting=waiting,
        oldest_s=round(now - oldest, 1) if waiting else 0.0,
        alarm_s=settings.alarm_s,
        backlog_s=round(waiting * HOUR_S / len(times), 0) if times else None,
        answer_median_s=round(median(times), 2) if times else None,
        answer_worst_s=round(max(times), 2) if times else None,
        other_bytes=int(database.value("SELECT count(*) - count(DISTINCT instance) FROM films")),
        later=int(database.value("SELECT count(*) FROM films WHERE study_group > 1 AND NOT held")),
        free_bytes=free,
        reserve_bytes=settings.reserve_bytes,
        free_films=int(max(0, free - settings.reserve_bytes) / mean_bytes) if mean_bytes else None,
        certificates={name: round((end - now) / 86400, 1) for name, end in settings.certificates.items()},
        destinations=_destinations(database),
        dead_letters=_dead_letters(database),
        failures=_failures(database),
    )


def verify(root: Path) -> None:
    """Raise OutputError for an audit trail that is not as it was written."""
    broken = audit.verify(root)
    if broken:
        raise OutputError("E-NOD-016", f"{broken.file}, line {broken.line}")


def exit_code(status: Status) -> ExitCode:
    """What is worst."""
    if not status.running:
        return ExitCode.NOT_RUNNING
    if status.free_bytes < status.reserve_bytes:
        return ExitCode.OUTPUT
    if status.oldest_s > status.alarm_s:
        return ExitCode.TIMEOUT
    return ExitCode.PARTIAL if status.dead_letters or status.failures else ExitCode.DONE


def facts(status: Status) -> dict[str, Any]:
    """The object that `node status --json` prints."""
    return {"schema": SCHEMA, **asdict(status)}


def _counts(database: Database, since_s: float) -> Counts:
    films = {row[0]: row[1] for row in database.rows(
        "SELECT state, count(*) FROM films WHERE received_s >= :since GROUP BY state", since=since_s)}  # fmt: skip
    sent = {row[0]: row[1] for row in database.rows(
        "SELECT state, count(*) FROM deliveries WHERE made_s >= :since GROUP BY state", since=since_s)}  # fmt: skip
    copies = database.value("SELECT sum(copies) FROM films WHERE received_s >= :since", since=since_s)
    return Counts(
        received=sum(films.values()),
        answered=films.get("answered", 0),
        refused=films.get("refused", 0),
        failed=films.get("failed", 0),
        duplicates=int(copies or 0),
        sent=sent.get("done", 0),
        dead=sent.get("dead", 0),
    )


def _destinations(database: Database) -> tuple[DestinationStatus, ...]:
    rows = database.rows(
        "SELECT destinations.*, sum(state IN ('waiting', 'stored')) AS waiting,"
        " sum(state = 'stored') AS uncommitted, sum(state = 'dead') AS dead"
        " FROM destinations LEFT JOIN deliveries ON destination = name GROUP BY name ORDER BY name"
    )
    return tuple(
        DestinationStatus(
            row["name"],
            row["waiting"] or 0,
            row["uncommitted"] or 0,
            row["dead"] or 0,
            bool(row["held"]),
            utc(row["success_s"]) if row["success_s"] else None,
            row["why"],
        )
        for row in rows
    )


def _dead_letters(database: Database) -> tuple[dict[str, str], ...]:
    rows = database.rows(
        "SELECT films.sha256, destination, kind, deliveries.error_id FROM deliveries JOIN films ON films.id = film"
        " WHERE deliveries.state = 'dead' ORDER BY deliveries.id"
    )
    return tuple(
        {"film": row[0][:SHOWN], "destination": row[1], "kind": row[2], "error_id": row[3]} for row in rows[:NAMED]
    )


def _failures(database: Database) -> tuple[dict[str, str], ...]:
    rows = database.rows("SELECT sha256, error_id FROM films WHERE state = 'failed' ORDER BY id LIMIT :n", n=NAMED)
    return tuple({"film": row[0][:SHOWN], "error_id": row[1]} for row in rows)


def text(status: Status) -> str:
    """For a person at a terminal."""
    waited = f", the oldest for {_span(status.oldest_s)}" if status.waiting else ""
    lines = [f"{'running' if status.running else 'NOT RUNNING'}, {status.at}"]
    lines += [f"{when:<8}{_counted(counts)}" for when, counts in (("today", status.today), ("in all", status.all))]
    lines += [f"waiting {status.waiting}{waited}", *_speed(status)]
    if status.other_bytes:
        lines.append(f"resent  {status.other_bytes} films came again with other data: the archive has earlier results")
    if status.later:
        lines.append(f"later   {status.later} films came after the others of their study were answered")
    lines += [_destination_line(each) for each in status.destinations]
    room = "" if status.free_films is None else f", room for about {status.free_films} films"
    lines.append(f"disk    {status.free_bytes / 1e9:.1f} GB free{room}")
    lines += [f"certificate {name} ends in {days:.0f} days" for name, days in status.certificates.items()]
    lines += [f"dead    film {e['film']} to {e['destination']}: {e['error_id']}" for e in status.dead_letters]
    lines += [f"failed  film {each['film']}: {each['error_id']}" for each in status.failures]
    return "\n".join(lines)


def _counted(counts: Counts) -> str:
    return ", ".join(f"{name} {number}" for name, number in asdict(counts).items())


def _speed(status: Status) -> list[str]:
    lines = []
    if status.backlog_s and status.waiting:
        lines.append(f"        answered in about {_span(status.backlog_s)} at the speed of the last hour")
    if status.answer_median_s is not None:
        lines.append(f"answers in {status.answer_median_s} s, at worst {status.answer_worst_s} s, of the last hour")
    return lines


def _destination_line(each: DestinationStatus) -> str:
    state = f"held ({each.why})" if each.held else f"not reached ({each.why})" if each.why else "in order"
    stored = f" ({each.uncommitted} stored, not committed)" if each.uncommitted else ""
    return f"{each.name:<8}{state}, waiting {each.waiting}{stored}, last success {each.last_success or 'never'}"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
