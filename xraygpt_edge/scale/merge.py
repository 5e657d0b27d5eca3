"""Folders of shards into one batch folder: every film and question once, or the reason why not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xraygpt_edge.batch.summary import KEPT_OF_A_FAILURE, SUMMARY, UNREAD_NAMED
from xraygpt_edge.errors import Incomplete, UsageError
from xraygpt_edge.files import replacing
from xraygpt_edge.ledger import RECORDS, Failed, Row, adopt, named_path, write_whole, writing
from xraygpt_edge.ledger.versions import decoded
from xraygpt_edge.scale.parts import Finished, Part, read_parts
from xraygpt_edge.scale.placing import placing, require_place
from xraygpt_edge.scale.table import Table
from xraygpt_edge.version import __version__

SCHEMA = 1
FAILURES_NAMED = 10_000
"""In the summary, so that it can be read whatever happened; `errors` counts all, and the records have them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a merge may put up with."""

    partial: bool = False
    """Shards that are missing, unfinished or have failures."""
    one_cpu: bool = False
    """Refuse answers of several kinds of processor."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What was merged; counts are of films."""

    ok: int
    failed: int
    skipped: dict[str, int]
    shards: int
    """Folders that were merged."""
    missing: tuple[int, ...]
    """Numbers of shards that are not there."""
    unfinished: tuple[int, ...]
    cpus: dict[str, int]
    """Kind of processor → answers."""

    @property
    def is_complete(self) -> bool:
        """Nothing is missing, open or failed."""
        return not (self.missing or self.unfinished or self.failed)

    @property
    def shortfall(self) -> str:
        """What is missing, in numbers."""
        named = (("missing", self.missing), ("unfinished", self.unfinished))
        words = [f"shards {what}: {ranges(numbers)}" for what, numbers in named if numbers]
        return "; ".join([*words, *([f"films that failed: {self.failed}"] if self.failed else [])])


@dataclass(slots=True)
class _Failures:
    """Films that have failed, as the summary names them."""

    named: list[dict[str, Any]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, row: Failed) -> None:
        self.errors[row.error_id] += 1
        if len(self.named) < FAILURES_NAMED:
            facts = {name: getattr(row, name) for name in KEPT_OF_A_FAILURE}
            self.named.append({"id": row.id, **named_path(row.own_path), **facts})


def merge(folders: Sequence[Path], out: Path, terms: Terms) -> Merged:
    """Merge folders of shards; memory: a few numbers for each record.

    Raises UsageError for folders that do not belong together, Incomplete, BundleIncompatible for damage, and
    OutputError; then there is no output, or the one that was there before.
    """
    require_place(out)
    parts = read_parts([folder for folder in folders if folder.resolve() != out.resolve()])
    table = Table.read(parts)
    counts = table.counting()
    merged = _merged(table, *table.outcome(counts))
    _require(table, merged, terms)
    with placing(out) as new:
        failures = _write_records(new / RECORDS, table.lines(counts))
        adopt(new, _facts(parts))
        summary = _summary(table, merged, failures)
        write_whole(new / SUMMARY, json.dumps(summary, indent=1).encode("ascii"))
    return merged


def _merged(table: Table, ok: int, failed: int) -> Merged:
    parts = table.parts
    finished = {part.shard.index for number, part in enumerate(parts) if _is_finished(part, table.films_of(number))}
    given = {part.shard.index for part in parts}
    skipped = sum((Counter(each.skipped_by_reason) for each in _finished_once(parts)), Counter[str]())
    return Merged(
        ok=ok,
        failed=failed,
        skipped=dict(sorted(skipped.items())),
        shards=len(parts),
        missing=tuple(number for number in range(parts[0].shard.count) if number not in given),
        unfinished=tuple(sorted(given - finished)),
        cpus=dict(sum(table.cpus, Counter[str]()).most_common()),
    )


def _is_finished(part: Part, n_films: int) -> bool:
    """Its last run came to its end: a later one that did not has left more, or fewer whole, records."""
    return part.summary is not None and part.summary.ok + part.summary.failed == n_films


def _require(table: Table, merged: Merged, terms: Terms) -> None:
    if len(table.versions) > 1:
        raise UsageError("E-SCA-003", f"program versions: {', '.join(sorted(table.versions))}")
    if terms.one_cpu and len(merged.cpus) > 1:
        raise UsageError("E-SCA-007", "; ".join(merged.cpus))
    if not merged.is_complete and not terms.partial:
        raise Incomplete("E-SCA-006", merged.shortfall)


def _write_records(target: Path, lines: Iterable[tuple[bytes, bool]]) -> _Failures:
    failures = _Failures()
    with writing(RECORDS), replacing(target) as stream:
        for line, is_answer in lines:
            stream.write(line)
            if not is_answer:
                failures.add(decoded(line, Row, RECORDS))
    return failures


def _facts(parts: Sequence[Part]) -> dict[str, Any]:
    """The job of all: that of one batch over the whole folder, where the shards' folder was the same."""
    folders = {part.facts.get("folder_sha256") for part in parts}
    facts = {**parts[0].facts, "folder_sha256": folders.pop() if len(folders) == 1 else None}
    facts.pop("shard", None)
    return facts


def _finished_once(parts: Sequence[Part]) -> list[Finished]:
    """What each shard says at its end, one folder a shard."""
    return list({part.shard.index: part.summary for part in reversed(parts) if part.summary}.values())[::-1]


def _summary(table: Table, merged: Merged, failures: _Failures) -> dict[str, Any]:
    finished = _finished_once(table.parts)
    skipped = sum(merged.skipped.values())
    gaps = {"missing": merged.missing, "unfinished": merged.unfinished, "failed": merged.failed}
    return {
        "schema": SCHEMA,
        "failures": failures.named,
        "errors": dict(failures.errors.most_common()),
        "partial": None if merged.is_complete else gaps,
        "found": merged.ok + merged.failed + skipped,
        "ok": merged.ok,
        "failed": merged.failed,
        "skipped": skipped,
        "skipped_by_reason": merged.skipped,
        "unread": _unread(finished),
        "finished_utc": max((each.finished_utc for each in finished), default=None),
        "shards": [_shard(part, cpus) for part, cpus in zip(table.parts, table.cpus, strict=True)],
        "cpus": merged.cpus,
        "job": _facts(table.parts),
        "trust": {name: sum(each.trust.get(name, 0) for each in finished) for name in ("measured", "unlike")},
        "version": __version__,
    }


def _shard(part: Part, cpus: Counter[str]) -> dict[str, Any]:
    run = part.summary.last_run if part.summary else {}
    told = ("files", "earlier", "seconds", "radiographs_per_minute", "restarts")
    last_run = {name: run[name] for name in told if name in run}
    return {"shard": str(part.shard), "folder": part.name, "last_run": last_run or None, "cpus": dict(cpus)}


def _unread(finished: Iterable[Finished]) -> dict[str, dict[str, Any]]:
    """Kinds of files that are not read, with the first of each."""
    kinds: dict[str, dict[str, Any]] = {}
    for each in finished:
        for kind, found in each.unread.items():
            known = kinds.setdefault(kind, {"files": 0, "first": []})
            known["files"] += found["files"]
            known["first"] = [*known["first"], *found["first"]][:UNREAD_NAMED]
    return dict(sorted(kinds.items()))


def ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers in few words: 0-4, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
