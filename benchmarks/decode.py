"""One answer after its prompt, beside llama-bench's generation at the same depth."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import child, tools
from benchmarks.pairs import Contest, Measure, Side
from benchmarks.prompt import MEMORY, tokens_per_s
from benchmarks.task import Task


def contests(task: Task, memory: str = "auto") -> Iterator[Contest]:
    """One, for weights as they are in the file, or repacked."""
    repack = MEMORY[memory]
    sides = (Side("xraygpt-edge", ours(task, repack=repack)), Side("llama-bench", peer(task, repack=repack)))
    notes = (
        f"{task.sizes.decoded} tokens from position {task.positions} on",
        "ours chooses each token from its logits and turns it into text; llama-bench draws numbers",
    )
    yield Contest(f"decode, {memory}", (tokens_per_s("one answer", memory),), sides, notes)


def ours(task: Task, *, repack: bool) -> Measure:
    """Our decoder, greedy."""
    return lambda: child.call(
        "ours.decode",
        language=str(task.language_path),
        threads=task.threads,
        n_rows=task.opened.manifest.n_image_tokens,
        tokens=task.sizes.decoded,
        repack=repack,
    )


def peer(task: Task, *, repack: bool) -> Measure:
    """llama-bench with its own defaults in all else."""
    options = ["-m", str(task.language_path), "-t", str(task.threads), "--repack", str(int(repack))]
    options += ["-p", "0", "-n", str(task.sizes.decoded), "-d", str(task.positions), "-r", "1"]
    return lambda: tools.llama_bench(task.peers.llama_bench, options)
