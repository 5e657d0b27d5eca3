"""One greedy answer with words guessed ahead, beside one token at a time: where guesses hit, and where none does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import child
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.pictures import draw_folder
from benchmarks.task import Task

RATE = Metric("tokens_per_s", "an answer", "tokens/s", higher_is_better=True)
AHEAD, ALONE = "guessing ahead", "one token at a time"


def contests(task: Task) -> Iterator[Contest]:
    """Answers of the demonstration; then reports of a real length, and nonsense, given to this bundle's weights."""
    with tempfile.TemporaryDirectory() as scratch:
        films = draw_folder(Path(scratch) / "films", task.sizes.drafted, task.sizes.drafted_px)
        answers = _Answers(task, films)
        sides = tuple(Side(name, partial(answers.measured, draft=name == AHEAD)) for name in (AHEAD, ALONE))
        note = f"{len(films)} drawn radiographs and the demonstration bundle; equal token ids, or the run stops"
        yield Contest("draft, demonstration", (RATE,), sides, (note,))
    for what, note in (
        (
            "reports",
            "reports of a real length in our own words, given token by token; stock phrases of XrayGPT's bundle",
        ),
        ("nonsense", "the worst that can be: every guess is asked for, and wrong"),
    ):
        sides = tuple(Side(name, partial(_replayed, task, what, draft=name == AHEAD)) for name in (AHEAD, ALONE))
        yield Contest(f"draft, {what}", (RATE,), sides, (note,))


class _Answers:
    """Answers about the same films, which must be the same words on both sides."""

    def __init__(self, task: Task, films: list[Path]) -> None:
        self._task, self._films, self._ids = task, [str(film) for film in films], ""

    def measured(self, *, draft: bool) -> Raw:
        """One side; raises SideFailed for other token ids than before."""
        found: Raw = child.call(
            "drafted.answers", bundle=str(self._task.demo), films=self._films, threads=self._task.threads, draft=draft
        )
        self._ids = self._ids or found["ids_sha256"]
        if found["ids_sha256"] != self._ids:
            raise child.SideFailed("guessing ahead has changed an answer")
        return found


def _replayed(task: Task, what: str, *, draft: bool) -> Raw:
    found: Raw = child.call(
        "drafted.replayed",
        language=str(task.language_path),
        words=str(task.demo),
        n_rows=task.opened.manifest.rows,
        threads=task.threads,
        what=what,
        draft=draft,
    )
    return found
