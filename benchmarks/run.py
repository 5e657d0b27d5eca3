"""A run: measurement after measurement, each on a quiet machine, each kept before the next begins."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import (
    busy,
    decode,
    draft,
    folder,
    kit,
    machine,
    many,
    memory,
    node,
    pairs,
    prompt,
    results,
    reuse,
    serve,
    start,
    trust,
    vision,
)
from benchmarks.pairs import Contest
from benchmarks.task import Task


def repacked(task: Task) -> Iterator[Contest]:
    """Prompt and answer with `--memory fast`."""
    yield from prompt.contests(task, "fast")
    yield from decode.contests(task, "fast")


MEASUREMENTS: dict[str, Callable[[Task], Iterator[Contest]]] = {
    "prompt": prompt.contests,
    "decode": decode.contests,
    "repacked": repacked,
    "many": many.contests,
    "draft": draft.contests,
    "reuse": reuse.contests,
    "vision": vision.contests,
    "folder": folder.contests,
    "memory": memory.contests,
    "start": start.contests,
    "trust": trust.contests,
    "busy": busy.contests,
    "kit": kit.contests,
    "node": node.contests,
    "serve": serve.contests,
}
BESIDE_LLAMA_CPP = {"prompt", "decode", "repacked", "many"}


class NotQuiet(Exception):
    """Other programs use the machine; the message says how much and what to do."""


def run(task: Task, names: list[str], rounds: int, out: Path, *, anyway: bool) -> Path:
    """Measure and return the results file. Raises NotQuiet, SideFailed, SetupError."""
    _ = task.opened  # a bundle that cannot be opened is told at once
    if BESIDE_LLAMA_CPP & set(names):
        _ = task.peers  # a build would heat the first measurement
    result = results.head(task, rounds)
    path = results.path_for(result, out)
    for name in names:
        for contest in MEASUREMENTS[name](task):
            result["quiet"] = _is_quiet(anyway=anyway) and result.get("quiet", True)
            say(f"{contest.name}: {', '.join(side.name for side in contest.sides)}, {rounds} rounds")
            result["measurements"].append(pairs.measured(contest, rounds, _told))
            results.save(result, path)
    return path


def say(words: str) -> None:
    """Tell the person who waits."""
    print(words, file=sys.stderr, flush=True)


def _told(measure: pairs.Measure) -> dict[str, Any]:
    found = machine.watched(measure)
    values = ", ".join(f"{name} {value:.4g}" for name, value in found["values"].items() if value is not None)
    say(f"  {values} ({found['side_took_s']:.0f} s)")
    return found


def _is_quiet(*, anyway: bool) -> bool:
    busy = machine.busy_share()
    if busy <= machine.QUIET_SHARE:
        return True
    words = f"other programs use {busy:.0%} of this computer's cores"
    if not anyway:
        raise NotQuiet(f"Nothing was measured: {words}. Close them, or say --anyway.")
    say(f"WARNING: {words}: what follows says nothing about speed.")
    return False
