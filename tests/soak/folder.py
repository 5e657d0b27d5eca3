"""Folders of invented radiographs, a bundle that is only a manifest, and what a finished batch must hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
MANIFEST = {
    "schema": 1,
    "id": "fake",
    "kind": "medclip",
    "rows": 1,
    "width": 8,
    "image": {"size_px": 224, "fit": "pad", "mean": [0.5] * 3, "std": [0.25] * 3},
    "prompt": {"default": "demo", "stop": ["###"], "templates": {}},
    "files": [],
}


def write_bundle(root: Path) -> Path:
    """Enough of a bundle for a batch whose model process is replaced."""
    root.mkdir(parents=True)
    (root / "manifest.json").write_text(json.dumps(MANIFEST), "utf-8")
    return root


def write_folder(root: Path, count: int, kinds: tuple[bytes, ...] = (b"OK",)) -> Path:
    """Files of invented bytes, in two levels of folders."""
    for number in range(count):
        path = root / f"study-{number % 3}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kinds[number % len(kinds)] + b" film %d" % number)
    return root


def command(folder: Path, out: Path, bundle: Path, *more: str) -> list[str]:
    """A batch in a process of its own, with the model process replaced."""
    words = ["batch", str(folder), "--out", str(out), "--bundle", str(bundle), "--quiet", *more]
    return [sys.executable, "-m", "tests.soak.driver", *words]


def start(arguments: list[str], delay_s: float = 0.0, **more: Any) -> subprocess.Popen[bytes]:
    """Start it; standard error is kept."""
    environment = {**os.environ, "FAKE_DELAY_S": str(delay_s)}
    return subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, env=environment, **more)


def finish(arguments: list[str], delay_s: float = 0.0) -> int:
    """Run it to its end; its exit code."""
    process = start(arguments, delay_s)
    process.communicate(timeout=120)
    return process.returncode


def lines(out: Path) -> list[bytes]:
    """Whole lines of the records."""
    path = out / "records.jsonl"
    return (
        [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")] if path.exists() else []
    )


def records(out: Path) -> list[dict[str, Any]]:
    """Every record; a line that is none is an error."""
    return [json.loads(line) for line in lines(out)]


def content(out: Path) -> list[tuple[Any, ...]]:
    """What a batch has found out, in an order that does not depend on when."""
    return sorted(
        (r["path"], r["question"], r["id"], r["status"], r.get("text"), r.get("error_id")) for r in records(out)
    )


def keys(out: Path) -> list[tuple[str, str]]:
    """Path and question of every record; none may be there twice."""
    return [(record["path"], record["question"]) for record in records(out)]
