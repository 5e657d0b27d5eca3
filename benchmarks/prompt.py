"""Prompt processing: words, image rows and words to the first logits, beside llama-bench's prompt of as many tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import child, tools
from benchmarks.pairs import Contest, Measure, Metric, Side
from benchmarks.task import Task

MEMORY = {"auto": False, "fast": True}
"""`--memory` → whether the weights are repacked; llama.cpp's own default is to repack."""


def contests(task: Task, memory: str = "auto") -> Iterator[Contest]:
    """One, for weights as they are in the file, or repacked."""
    repack = MEMORY[memory]
    sides = (Side("xraygpt-edge", ours(task, repack=repack)), Side("llama-bench", peer(task, repack=repack)))
    notes = (f"prompt of {task.positions} positions; ours has image rows in it, llama-bench's is words alone",)
    yield Contest(f"prompt, {memory}", (tokens_per_s("prompt", memory),), sides, notes)


def tokens_per_s(what: str, memory: str) -> Metric:
    """Of one kind of weights."""
    weights = "repacked" if MEMORY[memory] else "weights as in the file"
    return Metric("tokens_per_s", f"{what}, {weights}", "tokens/s", higher_is_better=True)


def ours(task: Task, *, repack: bool, packages: Path | None = None) -> Measure:
    """Our decoder. packages: as in `child.run`."""
    return lambda: child.call(
        "ours.prompt",
        packages,
        language=str(task.language_path),
        threads=task.threads,
        n_rows=task.opened.manifest.n_image_tokens,
        repetitions=task.sizes.repetitions,
        repack=repack,
    )


def peer(task: Task, *, repack: bool) -> Measure:
    """llama-bench with its own defaults in all else."""
    options = ["-m", str(task.language_path), "-t", str(task.threads), "--repack", str(int(repack))]
    options += ["-p", str(task.positions), "-n", "0", "-r", str(task.sizes.repetitions)]
    return lambda: tools.llama_bench(task.peers.llama_bench, options)
