"""Many answers at once, beside llama-batched-bench with as many sequences of the same lengths."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import child, tools
from benchmarks.pairs import Contest, Measure, Metric, Side
from benchmarks.task import Task

CELL = 256
"""llama.cpp rounds each sequence's part of the cache up to this."""


def contests(task: Task) -> Iterator[Contest]:
    """All numbers of sequences in one process a side."""
    metrics = [
        Metric(f"{what}_{count}", f"{title}, {count} at once", "tokens/s", higher_is_better=True)
        for what, title in (("decode", "answers"), ("prompt", "prompts"))
        for count in task.sizes.sequences
    ]
    sides = (Side("xraygpt-edge", ours(task)), Side("llama-batched-bench", peer(task)))
    notes = (
        f"prompts of {task.positions} positions, {task.sizes.decoded_by_many} tokens each; weights as in the file",
        "prompt speed counts positions that were computed: of several, ours computes the start that they share once",
    )
    yield Contest("many", tuple(metrics), sides, notes)


def ours(task: Task) -> Measure:
    """Our parallel decoder."""
    return lambda: child.call(
        "ours.many",
        language=str(task.language_path),
        threads=task.threads,
        n_rows=task.opened.manifest.n_image_tokens,
        sequences=list(task.sizes.sequences),
        tokens=task.sizes.decoded_by_many,
    )


def peer(task: Task) -> Measure:
    """llama-batched-bench with its own defaults in all else."""
    each = -(-(task.positions + task.sizes.decoded_by_many) // CELL) * CELL
    options = ["-m", str(task.language_path), "-t", str(task.threads), "-c", str(each * max(task.sizes.sequences))]
    options += ["--no-repack"]
    options += ["-npp", str(task.positions), "-ntg", str(task.sizes.decoded_by_many)]
    options += ["-npl", ",".join(map(str, task.sizes.sequences))]
    return lambda: tools.batched_bench(task.peers.batched_bench, options)
