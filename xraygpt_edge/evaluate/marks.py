"""Sides, contradictions, comparisons: what is wrong with answers whatever their findings are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.evaluate.draws import Array, Draws, Figure, Statistic, mean_of, share
from xraygpt_edge.trust import Sentence
from xraygpt_edge.trust.checks import RULES

Report = Sequence[Sentence]


@dataclass(frozen=True, slots=True)
class Sides:
    """Findings that answer and reference both place on a side."""

    n: int
    same: Figure
    """Share of them on the same side or sides."""
    opposite: Figure
    """Share of them on no common side."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How often a rule marks a text."""

    id: str
    """A `W-TXT-` id."""
    what: str
    answers: Figure
    """Share of answers with at least one such sentence."""
    references: Figure


def sides(answers: Sequence[Report], references: Sequence[Report], draws: Draws) -> Sides:
    """Compare the sides of findings that both state."""
    counts = np.array([_sides_of(*pair) for pair in zip(answers, references, strict=True)], np.float64)
    n = int(counts[:, 0].sum())
    return Sides(n, *(share(draws.figure(_of_both(counts, column)), n) for column in (1, 2)))


def marks(answers: Sequence[Report], references: Sequence[Report], draws: Draws) -> tuple[Mark, ...]:
    """How often each rule marks an answer, and a reference."""
    n = len(np.unique(draws.study))
    return tuple(
        Mark(
            name,
            CATALOGUE[name].what,
            *(share(draws.figure(mean_of(marked(t, name))), n) for t in (answers, references)),
        )
        for name in RULES
    )


def marked(texts: Sequence[Report], name: str) -> Array:
    """(n,) 1 for a text with a sentence that this rule marks."""
    return np.array([any(name in sentence.flags for sentence in text) for text in texts], np.float64)


def _sides_of(answer: Report, reference: Report) -> tuple[int, int, int]:
    """How many findings have a side in both, the same, and no common one."""
    said, real = _placed(answer), _placed(reference)
    both = [(said[name], real[name]) for name in said.keys() & real.keys()]
    return len(both), sum(one == other for one, other in both), sum(not one & other for one, other in both)


def _placed(report: Report) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for claim in (claim for sentence in report for claim in sentence.claims):
        if claim.polarity == "present" and claim.sides:
            found.setdefault(claim.finding, set()).update(claim.sides)
    return found


def _of_both(counts: Array, column: int) -> Statistic:
    def statistic(weights: Array) -> Array:
        part, whole = weights @ counts[:, column], weights @ counts[:, 0]
        found: Array = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
        return found

    return statistic
