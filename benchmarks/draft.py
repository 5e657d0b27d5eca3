"""One greedy answer with drafts, beside one token at a time: where they are accepted, and where none is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import child
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.task import Task

AHEAD, ALONE = "with drafts", "one token at a time"


def contests(task: Task) -> Iterator[Contest]:
    """Reports, the demonstration's answers and nonsense, given token by token to this bundle's weights."""
    for what, note in (
        (
            "reports",
            "reports of a real length in our own words, stock phrases of XrayGPT's bundle; near ties not asked again",
        ),
        ("phantoms", "what the demonstration says about phantoms, with its own stock phrases"),
        ("nonsense", "the worst that can be: every draft is asked for, and wrong"),
    ):
        sides = tuple(Side(name, partial(_replayed, task, what, draft=name == AHEAD)) for name in (AHEAD, ALONE))
        rate = Metric("tokens_per_s", f"an answer: {what}", "tokens/s", higher_is_better=True)
        yield Contest(f"draft, {what}", (rate,), sides, (note,))


def _replayed(task: Task, what: str, *, draft: bool) -> Raw:
    found: Raw = child.call(
        "drafted.replayed",
        language=str(task.language_path),
        demo=str(task.demo),
        n_rows=task.opened.manifest.n_image_tokens,
        threads=task.threads,
        what=what,
        draft=draft,
    )
    return found
