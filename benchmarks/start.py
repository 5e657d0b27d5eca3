"""The demonstration bundle from the start of the process: `ask` to its first word and to its end, and `--help`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from statistics import median

from benchmarks.child import ROOT, SideFailed, environment
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.task import Task

METRICS = (
    Metric("first_word_s", "ask to the first word", "s", higher_is_better=False),
    Metric("whole_s", "ask to the end", "s", higher_is_better=False),
    Metric("help_s", "--help to its end", "s", higher_is_better=False),
)
QUESTION = "Describe the given chest x-ray image in detail."
PROGRAM = (sys.executable, "-m", "xraygpt_edge")
CHUNK = 4096


def contests(task: Task) -> Iterator[Contest]:
    """One contest without peers; a round is the median of several starts."""
    note = f"demonstration bundle, {task.sizes.starts} starts a round; the first word when a terminal gets it"
    yield Contest("start", METRICS, (Side("xraygpt-edge", lambda: _starts(task)),), (note,))


def _starts(task: Task) -> Raw:
    image = min((ROOT / "examples").glob("*.dcm"))
    command = [*PROGRAM, "ask", str(image), QUESTION, "--bundle", str(task.demo)]
    command += ["--device", "cpu", "--threads", str(task.threads)]
    asked = [first_and_last_s(command) for _ in range(task.sizes.starts)]
    helped = [_help_s() for _ in range(task.sizes.starts)]
    values = {"whole_s": median(last for _, last in asked), "help_s": median(helped)}
    first = [first for first, _ in asked if first is not None]
    if first:
        values["first_word_s"] = median(first)
    return {"values": values, "asked_s": asked, "helped_s": helped}


def first_and_last_s(command: list[str]) -> tuple[float | None, float]:
    """Seconds from starting a command to its first output on a terminal, and to its end.

    The first is None where the system has no pseudo-terminals (Windows).
    """
    if sys.platform == "win32":
        return None, _whole_s(command)
    import pty

    ours, theirs = pty.openpty()
    with tempfile.TemporaryFile("w+") as said, os.fdopen(ours, "rb", buffering=0) as terminal:
        began_s, first_s = time.perf_counter(), None
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=said, env=environment(), cwd=ROOT
        )
        os.close(theirs)
        while _read(terminal.fileno()):
            first_s = first_s or time.perf_counter() - began_s
        status, last_s = process.wait(), time.perf_counter() - began_s
        if status:
            said.seek(0)
            raise SideFailed(f"{' '.join(command[2:4])} ended with {status}:\n{said.read()[-1000:]}")
    return first_s, last_s


def _read(terminal: int) -> bytes:
    """Some output; nothing at the end, which Linux reports as an error."""
    try:
        return os.read(terminal, CHUNK)
    except OSError:
        return b""


def _help_s() -> float:
    return _whole_s([*PROGRAM, "--help"])


def _whole_s(command: list[str]) -> float:
    began_s = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment(), cwd=ROOT)
    return time.perf_counter() - began_s
