"""The results file: everything that was measured, round by round, and what on. The tables are made from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.task import Task
from export import llama_wheel

SCHEMA = 1


def head(task: Task, pairs: int) -> dict[str, Any]:
    """All but the measurements. Hashes of weight files are those of the manifest."""
    manifest = task.opened.manifest
    weights = [entry for entry in manifest.files if entry.role in {"vision", "language"}]
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "machine": machine.facts(),
        "versions": machine.versions(),
        "cmake_args": llama_wheel.flags_here(),
        "threads": task.threads,
        "pairs": pairs,
        "bundle": {
            "id": manifest.id,
            "kind": manifest.kind,
            "notes": list(manifest.notes),
            "taken": {"vision": task.vision.precision, "language": task.language.precision},
            "files": [{"path": e.path, "bytes": e.size, "sha256": e.sha256} for e in weights],
        },
        "sizes": asdict(task.sizes),
        "measurements": [],
    }


def path_for(result: dict[str, Any], out: Path) -> Path:
    """A new name for each run: when, and which bundle."""
    stamp = result["date"].replace(":", "").replace("+0000", "Z")
    return out / f"{stamp}-{result['bundle']['id']}.json"


def save(result: dict[str, Any], path: Path) -> None:
    """Write the file whole; called after every measurement, so that a run that breaks off keeps what it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    partial.replace(path)


def load(path: Path) -> dict[str, Any]:
    """A results file; raises ValueError for one of another schema."""
    result: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if result.get("schema") != SCHEMA:
        raise ValueError(f"{path.name} is no results file of this version")
    return result


def merged(files: Sequence[Path]) -> dict[str, Any]:
    """Several runs on one machine with one bundle as one; raises ValueError when they are not."""
    runs = [load(file) for file in files]
    for name in ("machine", "bundle", "threads"):
        if any(run[name] != runs[0][name] for run in runs):
            raise ValueError(f"these results are of another {name} each")
    commits = ", ".join(dict.fromkeys(run["commit"][:12] for run in runs))
    measurements = [measurement for run in runs for measurement in run["measurements"]]
    quiet = all(run.get("quiet", True) for run in runs)
    return {**runs[0], "commit": commits, "measurements": measurements, "quiet": quiet}


def newest(out: Path) -> Path:
    """The last run; raises FileNotFoundError when there is none."""
    found = sorted(out.glob("*.json"))
    if not found:
        raise FileNotFoundError(f"no results in {out}")
    return found[-1]
