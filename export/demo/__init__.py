"""The demonstration model: drawn phantoms, a small Swin, a small LLaMA, trained for real from a seed."""

from __future__ import annotations

from pathlib import Path

from xraygpt_edge.findings import Finding


def train(folder: Path, seed: int = 0) -> None:
    """Train the model and write its checkpoints in the published layouts into folder."""
    from .training import train as train_all

    train_all(folder, seed)


def evaluate(bundle: Path, checkpoints: Path) -> None:
    """Print the scores of a demonstration bundle on phantoms that training never saw."""
    from .evaluation import evaluate as evaluate_all

    evaluate_all(bundle, checkpoints)


def common_sentences() -> tuple[str, ...]:
    """What the demonstration model often says."""
    from .texts import common_sentences as sentences

    return sentences()


def stated_findings() -> tuple[Finding, ...]:
    """The table of what its reports state and deny."""
    from .table import FINDINGS

    return FINDINGS
