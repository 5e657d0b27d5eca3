"""Most memory that `ask` and `batch` hold, in each way to use it: the whole process tree, looked at ten times a second.

PSS is the figure to compare with a machine's memory: pages that processes share are counted once, and so are the
pages of mapped weight files. RSS counts shared pages in each process. Both are the largest sum that was seen.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from benchmarks.child import ROOT, SideFailed, environment
from benchmarks.folder import QUESTION
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.pictures import draw_folder
from benchmarks.task import Task
from xraygpt_edge.errors import ExitCode
from xraygpt_edge.generation.request import Sampling

MODES = ("low", "auto", "fast")
PARALLEL = 4
EVERY_S = 0.1
ROUNDS = 2
"""The same bytes are taken every time."""
ENDED = (ExitCode.DONE, ExitCode.TIMEOUT, ExitCode.PARTIAL)


@dataclass(slots=True)
class Peak:
    """Largest sums so far."""

    pss_bytes: int = 0
    rss_bytes: int = 0
    looks: int = 0
    exit_code: int = 0


def contests(task: Task) -> Iterator[Contest]:
    """One for `ask`, one for `batch`; there are no peers."""
    with tempfile.TemporaryDirectory() as scratch:
        films = draw_folder(Path(scratch) / "films", PARALLEL, task.sizes.image_px)
        commands = {"ask": ["ask", str(films[0]), QUESTION], f"batch, {PARALLEL} at once": _batch(films[0].parent)}
        for name, words in commands.items():
            tokens = task.sizes.memory_tokens if name == "ask" else Sampling().max_tokens
            command = [*words, "--max-tokens", str(tokens)]
            sides = tuple(Side(f"--memory {mode}", partial(_measured, task, command, mode), ROUNDS) for mode in MODES)
            note = f"room for answers of {tokens} tokens; stopped after {task.sizes.memory_s:.0f} s"
            yield Contest(f"memory, {name}", _metrics(name), sides, (note,), has_peers=False)


def _metrics(name: str) -> tuple[Metric, ...]:
    return tuple(
        Metric(f"{kind}_bytes", f"{name}: peak memory ({kind.upper()})", "bytes", higher_is_better=False)
        for kind in ("pss", "rss")
    )


def _batch(films: Path) -> list[str]:
    return ["batch", str(films), "--parallel", str(PARALLEL), "--question", QUESTION]


def _measured(task: Task, words: list[str], mode: str) -> Raw:
    with tempfile.TemporaryDirectory() as scratch:
        out = ["--out", str(Path(scratch) / "answers")] if words[0] == "batch" else []
        command = [sys.executable, "-m", "xraygpt_edge", *words, *out, "--memory", mode, "--quiet"]
        command += ["--bundle", str(task.bundle), "--device", "cpu", "--threads", str(task.threads)]
        command += ["--timeout", str(task.sizes.memory_s)]
        peak = peak_of(command)
    return {
        "values": {"pss_bytes": peak.pss_bytes or None, "rss_bytes": peak.rss_bytes},
        "looks": peak.looks,
        "every_s": EVERY_S,
        "exit_code": peak.exit_code,
    }


def peak_of(command: list[str]) -> Peak:
    """Run a command and watch it and its children."""
    peak, over = Peak(), threading.Event()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, env=environment(), cwd=ROOT
        )
        watcher = threading.Thread(target=_watch, args=(psutil.Process(process.pid), peak, over))
        watcher.start()
        peak.exit_code = status = process.wait()
        over.set()
        watcher.join()
        if status not in ENDED:
            said.seek(0)
            raise SideFailed(f"{' '.join(command[2:4])} ended with {status}:\n{said.read()[-1000:]}")
    return peak


def _watch(root: psutil.Process, peak: Peak, over: threading.Event) -> None:
    while not over.wait(EVERY_S):
        pss, rss = _tree_bytes(root)
        peak.pss_bytes, peak.rss_bytes = max(peak.pss_bytes, pss), max(peak.rss_bytes, rss)
        peak.looks += 1


def _tree_bytes(root: psutil.Process) -> tuple[int, int]:
    """PSS (0 where the system does not tell) and RSS of a process and all below it."""
    pss = rss = 0
    try:
        tree = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0, 0
    for process in tree:
        try:
            found = process.memory_full_info()
        except psutil.Error:  # it has just ended
            continue
        pss, rss = pss + getattr(found, "pss", 0), rss + found.rss
    return pss, rss
