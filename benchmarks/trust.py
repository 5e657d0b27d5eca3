"""What `--trust fast` adds to an answer, and to a folder: one process measures both, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import child
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.task import Task

AT_ONCE = 8


def contests(task: Task) -> Iterator[Contest]:
    """One question at a time, and several radiographs at once."""
    for at_once, title in ((1, "trust, one question"), (AT_ONCE, f"trust, {AT_ONCE} radiographs at once")):
        yield Contest(
            title,
            (
                _seconds("off_s", "answers alone"),
                _seconds("fast_s", "answers, and how far to trust them"),
                Metric("ratio", "fast / off", "", higher_is_better=False),
            ),
            (Side("xraygpt-edge", lambda at_once=at_once: _measured(task, at_once)),),  # type: ignore[misc]
            (f"answers of at most {task.sizes.answer_tokens} tokens; median of pairs in one process",),
            has_peers=False,
        )


def _seconds(name: str, title: str) -> Metric:
    return Metric(name, title, "s", higher_is_better=False)


def _measured(task: Task, at_once: int) -> Raw:
    arguments = {"bundle": str(task.bundle), "threads": task.threads, "tokens": task.sizes.answer_tokens}
    found: Raw = child.call("trusted.pairs", at_once=at_once, repetitions=task.sizes.repetitions, **arguments)
    return found
