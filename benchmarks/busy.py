"""One answer beside a program that never rests, as on a clinic's desktop: what is left of the speed that it has alone.

    wheel of each build ── unpacked ──▶ a process with it, alone ── a process with it beside the loop ──▶ three figures

Both builds of llama.cpp that we make are measured, and beside each the wheel that `--other-wheel` names.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import get_args
from zipfile import ZipFile

from benchmarks import child
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.task import Task
from export import llama_wheel
from export.llama_wheel import Cpu
from xraygpt_edge.files import sha256_of

LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(10**6): pass"
"""Needs one core all the time, and ends with the process that started it."""


def contests(task: Task) -> Iterator[Contest]:
    """One for each build. Raises SetupError where a wheel has to be built and cannot be."""
    for cpu in get_args(Cpu):
        wheels = {"xraygpt-edge": llama_wheel.built_wheel(cpu)}
        if cpu in task.other_wheels:
            wheels["other wheel"] = task.other_wheels[cpu]
        with tempfile.TemporaryDirectory() as scratch:
            yield Contest(
                f"busy, {cpu}", _metrics(cpu), sides(task, wheels, Path(scratch), measured), notes(task, wheels)
            )


def notes(task: Task, wheels: Mapping[str, Path]) -> tuple[str, ...]:
    """What the answers were, and the hash of each side's wheel."""
    return (
        f"{task.sizes.decoded_beside} tokens from position {task.positions} on; beside: one endless loop of Python",
        *(f"{name}: sha256 {sha256_of(wheel)[:12]}" for name, wheel in wheels.items()),
    )


def _metrics(cpu: Cpu) -> tuple[Metric, ...]:
    titles = {
        "alone": (f"{cpu} build: one answer alone", "tokens/s"),
        "beside": (f"{cpu} build: one answer beside a busy program", "tokens/s"),
        "kept": (f"{cpu} build: share of its speed that is left there", ""),
    }
    return tuple(Metric(name, title, unit, higher_is_better=True) for name, (title, unit) in titles.items())


def sides(
    task: Task, wheels: Mapping[str, Path], scratch: Path, measure: Callable[[Task, Path], Raw]
) -> tuple[Side, ...]:
    """One for each wheel, unpacked into a folder of its name. measure: takes the task and that folder."""
    for name, wheel in wheels.items():
        with ZipFile(wheel) as archive:
            archive.extractall(scratch / name)
    return tuple(Side(name, partial(measure, task, scratch / name)) for name in wheels)


def measured(task: Task, packages: Path) -> Raw:
    """Tokens a second alone and beside the loop, and what share of the first the second is."""
    alone = _decoded(task, packages)
    with endless_loop():
        beside = _decoded(task, packages)
    speeds = [raw["values"]["tokens_per_s"] for raw in (alone, beside)]
    kept = speeds[1] / speeds[0] if all(speeds) else None
    values = {"alone": speeds[0], "beside": speeds[1], "kept": kept}
    return {"values": values, "ended_early": alone["ended_early"] or beside["ended_early"], "code": alone["code"]}


def _decoded(task: Task, packages: Path) -> Raw:
    return child.call(
        "ours.decode",
        packages,
        language=str(task.language_path),
        threads=task.threads,
        n_rows=task.opened.manifest.n_image_tokens,
        tokens=task.sizes.decoded_beside,
        repack=False,
    )


@contextmanager
def endless_loop() -> Iterator[int]:
    """A program that keeps one core busy, in a session of its own as a desktop's programs are; its process id."""
    loop = subprocess.Popen([sys.executable, "-c", LOOP], start_new_session=True)
    try:
        yield loop.pid
    finally:
        loop.kill()
        loop.wait()
