"""What a server costs: its words beside `ask` in a loaded process, its folders beside `batch`, its state under load."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import child
from benchmarks.folder import METRIC, QUESTION, Folder
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.pictures import draw_folder
from benchmarks.task import Task

OURS = "xraygpt-edge"
SMALLER = 4
"""How many times, for a film that costs the server next to nothing."""
WORDS = (
    Metric("serve_first_s", "serve: from the question to the first word", "s", higher_is_better=False),
    Metric("ask_first_s", "ask: from the question to the first word", "s", higher_is_better=False),
    Metric("added_ms", "serve adds, to the first word", "ms", higher_is_better=False),
    Metric("serve_tokens_per_s", "serve: from the first word to the end", "tokens/s", higher_is_better=True),
    Metric("ask_tokens_per_s", "ask: from the first word to the end", "tokens/s", higher_is_better=True),
    Metric("share", "serve / ask, tokens a second", "", higher_is_better=True),
)
LOAD = (
    Metric("slowest_ms", "state, slowest answer", "ms", higher_is_better=False),
    Metric("median_ms", "state, median answer", "ms", higher_is_better=False),
    Metric("grown_bytes", "server's memory over that of before", "bytes", higher_is_better=False),
)


def contests(task: Task) -> Iterator[Contest]:
    """One streaming client, a folder, many clients at once; films are drawn once and go with them."""
    with tempfile.TemporaryDirectory() as scratch:
        films = draw_folder(Path(scratch) / "asked", task.sizes.repetitions + 1, task.sizes.image_px)
        yield _words(task, films)
        folder = Folder(task, Path(scratch))
        sides = (Side("serve", partial(_folder, task, folder)), Side("batch", folder.batch))
        yield Contest("serve, a folder", (METRIC,), sides, ("both from the start of the process to the last record",))
        (small,) = draw_folder(Path(scratch) / "small", 1, task.sizes.image_px // SMALLER)
        yield from (_load(task, film) for film in (small, films[0]))


def _words(task: Task, films: list[Path]) -> Contest:
    notes = (
        "pairs in turn, each about a film that neither has seen; both models are loaded; trust is off on both sides",
        "serve: the film is sent before, as the page does, and is read by then; ask: it is read before, too",
    )
    measured = partial(_called, task, "beside_ask", films=[str(film) for film in films])
    return Contest("serve, one client", WORDS, (Side(OURS, measured),), notes, has_peers=False)


def _load(task: Task, film: Path) -> Contest:
    size_mb, clients = film.stat().st_size / 1e6, task.sizes.clients
    note = f"{clients} ask at once, each with the film; the state is asked for again and again meanwhile"
    side = Side(OURS, partial(_called, task, "under_load", film=str(film), clients=clients))
    return Contest(f"serve, many clients, {size_mb:.1f} MB", LOAD, (side,), (note,), has_peers=False)


def _folder(task: Task, folder: Folder) -> Raw:
    return _called(task, "folder", films=[str(file) for file in folder.files])


def _called(task: Task, name: str, **more: Any) -> Raw:
    arguments = {"bundle": str(task.bundle), "threads": task.threads, "tokens": task.sizes.answer_tokens}
    found: Raw = child.call(f"served.{name}", question=QUESTION, **arguments, **more)
    return found
