"""Thousands of radiographs in one batch: `python -m tests.soak.long --count 2000`.

Memory, descriptors and threads stay flat.
Every picture is different, so that every one is computed. Each process is watched for itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from PIL import Image

from tests.soak.folder import ROOT

EVERY_S = 1.0
GROWTH_MAX = 1.05
ROLES = {"xraygpt_edge.host.child": "model", "from xraygpt_edge.imaging.isolated": "reader"}


def draw(folder: Path, count: int) -> None:
    """Noise with a bright middle, none twice."""
    folder.mkdir()
    across = np.linspace(-1, 1, 192)
    middle = 160 * np.exp(-2 * (across[:, None] ** 2 + across[None, :] ** 2))
    random = np.random.default_rng(0)
    for number in range(count):
        grey = middle + random.integers(0, 90, middle.shape)
        Image.fromarray(grey.astype(np.uint8)).save(folder / f"{number:06d}.png")


def role(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    return next((name for mark, name in ROLES.items() if mark in words), "batch")


def watch(batch: subprocess.Popen[bytes]) -> dict[str, list[tuple[float, ...]]]:
    """Role → (resident memory in MB, descriptors, threads) every second."""
    seen: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    while batch.poll() is None:
        parent = psutil.Process(batch.pid)
        for process in [parent, *parent.children(recursive=True)]:
            try:
                facts = (process.memory_info().rss / 1e6, float(process.num_fds()), float(process.num_threads()))
                seen[role(process)].append(facts)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        time.sleep(EVERY_S)
    return seen


def growth(samples: list[tuple[float, ...]]) -> tuple[tuple[float, float], ...]:
    """Medians of the second and of the last quarter, for each number: a file open for a moment is no growth."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    return tuple(
        (median(one), median(other))
        for one, other in zip(zip(*early, strict=True), zip(*late, strict=True), strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--max-tokens", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "films", Path(name) / "out"
        draw(folder, options.count)
        words = ["batch", str(folder), "--out", str(out), "--max-tokens", str(options.max_tokens), "--device", "cpu"]
        began = time.monotonic()
        batch = subprocess.Popen([sys.executable, "-m", "xraygpt_edge", *words, "--quiet"], cwd=ROOT)
        seen = watch(batch)
        summary = json.loads((out / "summary.json").read_bytes())
        print(f"exit code {batch.returncode}, {summary['ok']} ok in {time.monotonic() - began:.0f} s")
    flat = True
    for name, samples in seen.items():
        for what, (first, second) in zip(("MB", "descriptors", "threads"), growth(samples), strict=True):
            flat = flat and second <= first * GROWTH_MAX
            print(f"{name:<7} {what:<12} {first:8.1f} {second:8.1f}  {second / first - 1:+.1%}")
    print({key: round(value, 1) for key, value in summary["last_run"]["busy"].items()})
    raise SystemExit(not flat or summary["ok"] != options.count)


if __name__ == "__main__":
    main()
