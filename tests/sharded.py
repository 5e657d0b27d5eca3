"""Shards for tests of `plan` and `merge`: folders as batches leave them, made without a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.sample_batch import QUESTION, answer, source
from xraygpt_edge.batch.shard import share_of
from xraygpt_edge.ledger import record_of
from xraygpt_edge.records import Answer, Failure

FACTS = {
    "schema": 1,
    "manifest_sha256": "ab" * 32,
    "folder_sha256": "cd" * 32,
    "questions": [QUESTION],
    "settings": {"max_tokens": 300},
    "list_sha256": "ef" * 32,
}
DAMAGED = Failure("E-DCM-005", "the file was cut short.", 4)


def of(path: str) -> Answer:
    """An answer that says which film it is about."""
    return answer(f"About {path}.", input=source(path.encode()))


def line(result: Answer | Failure, path: str, attempt: int = 1) -> bytes:
    identity = result.input.sha256[:16] if result.input else "0" * 16
    return json.dumps(record_of(result, identity, path, QUESTION, attempt)).encode() + b"\n"


def write_shard(folder: Path, lines: Sequence[bytes], shard: str, summary: Any = (), **facts: Any) -> Path:
    """One shard's folder; summary: counts other than those of the lines, or None for a run that has not ended."""
    folder.mkdir(parents=True)
    (folder / "records.jsonl").write_bytes(b"".join(lines))
    (folder / "job.json").write_text(json.dumps({**FACTS, "shard": shard, **facts}))
    if summary is not None:
        rows = [json.loads(each) for each in lines]
        films, ok = ({row["path"] for row in rows if row["status"] in kinds} for kinds in (("ok", "failed"), ("ok",)))
        counted = {"ok": len(ok), "failed": len(films - ok), "skipped_by_reason": {"not an image": 1}}
        run = {"files": len(films), "seconds": 10.0, "radiographs_per_minute": 6.0 * len(films)}
        facts = {"schema": 1, **counted, "finished_utc": "2026-11-26T07:00:00+00:00", "last_run": run, **dict(summary)}
        (folder / "summary.json").write_text(json.dumps(facts))
    return folder


def write_shards(root: Path, n_films: int, count: int, result: Callable[[str], Answer | Failure] = of) -> list[Path]:
    """All shards of a folder of so many films."""
    lines: list[list[bytes]] = [[] for _ in range(count)]
    for number in range(n_films):
        path = f"p{number % 10}/film-{number:06d}.dcm"
        lines[share_of(path, count)].append(line(result(path), path))
    return [write_shard(root / str(n), each, f"{n}/{count}") for n, each in enumerate(lines)]
