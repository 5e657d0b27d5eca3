"""The llama.cpp of a kit beside the native build and an older kit's: a prompt, an answer, an answer on a busy desktop.

    wheel of each ── unpacked ──▶ processes with it: prompt, answer, answer beside an endless loop ──▶ three figures

All sides take turns in one run, so that they can be compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import busy
from benchmarks.pairs import Contest, Metric, Raw
from benchmarks.prompt import ours as prompt
from benchmarks.task import Task
from export import llama_wheel

METRICS = (
    Metric("prompt", "prompt", "tokens/s", higher_is_better=True),
    Metric("alone", "one answer alone", "tokens/s", higher_is_better=True),
    Metric("beside", "one answer beside a busy program", "tokens/s", higher_is_better=True),
)


def contests(task: Task) -> Iterator[Contest]:
    """One; `--other-wheel portable=FILE` is its third side. Raises SetupError where a wheel cannot be built."""
    wheels = {"kit": llama_wheel.built_wheel("portable"), "native build": llama_wheel.built_wheel("native")}
    if "portable" in task.other_wheels:
        wheels["other wheel"] = task.other_wheels["portable"]
    notes = (f"prompt of {task.positions} positions", *busy.notes(task, wheels))
    with tempfile.TemporaryDirectory() as scratch:
        yield Contest("kit", METRICS, busy.sides(task, wheels, Path(scratch), _measured), notes)


def _measured(task: Task, packages: Path) -> Raw:
    read = prompt(task, repack=False, packages=packages)()
    answered = busy.measured(task, packages)
    values = {"prompt": read["values"]["tokens_per_s"], **answered["values"]}
    return {**answered, "values": values, "samples_tokens_per_s": read["samples_tokens_per_s"]}
