"""Sides that are measured in turn, and the ratios of what they measured.

    ours, peer, ours, peer, ... ──▶ rounds ── summary ──▶ medians, and the median of the rounds' ratios

Two sides of one round ran within minutes of each other, so a machine that slows down in the course of a run moves
both. A ratio above 1 always says that ours is better: tokens a second ours / peer, seconds peer / ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

Raw = dict[str, Any]
"""What one side measured once: `values` (metric → number), and beside it the facts that explain them."""


Measure = Callable[[], Raw]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number means."""

    name: str
    title: str
    unit: str
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One of those that are compared."""

    name: str
    measure: Measure
    most_rounds: int | None = None
    """A slow peer may be measured less often; None is every round."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Sides, ours first, and what is compared."""

    name: str
    metrics: tuple[Metric, ...]
    sides: tuple[Side, ...]
    notes: tuple[str, ...] = ()
    has_peers: bool = True
    """False for sides that are our own ways to do something: no ratio is made of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One side's result in one metric."""

    contest: str
    metric: Metric
    side: str
    value: float
    """The median of all rounds."""
    rounds: int
    ratio: float | None = None
    """Median of ours against this side, round by round; None for our own side."""
    lowest: float | None = None
    highest: float | None = None


def measured(contest: Contest, rounds: int, watch: Callable[[Measure], Raw]) -> dict[str, Any]:
    """Run a contest; the object for the results file. watch: runs a side and adds what else the machine did."""
    found: list[dict[str, Raw]] = []
    for number in range(rounds):
        turn = [side for side in contest.sides if side.most_rounds is None or number < side.most_rounds]
        found.append({side.name: watch(side.measure) for side in turn})
    return {
        "name": contest.name,
        "ours": contest.sides[0].name,
        "has_peers": contest.has_peers,
        "sides": [side.name for side in contest.sides],
        "metrics": [
            {"name": m.name, "title": m.title, "unit": m.unit, "higher_is_better": m.higher_is_better}
            for m in contest.metrics
        ],
        "notes": list(contest.notes),
        "rounds": found,
    }


def summary(measurement: dict[str, Any]) -> Iterator[Row]:
    """Rows of a contest from the results file, ours first in each metric."""
    for facts in measurement["metrics"]:
        metric = Metric(**facts)
        for side in measurement["sides"]:
            row = _row(measurement, metric, side)
            if row:
                yield row


def _row(measurement: dict[str, Any], metric: Metric, side: str) -> Row | None:
    ours, rounds = measurement["ours"], measurement["rounds"]
    values = [_value(turn, side, metric) for turn in rounds]
    there = [value for value in values if value is not None]
    if not there:
        return None
    is_peer = measurement["has_peers"] and side != ours
    ratios = list(_ratios(rounds, (ours, side), metric)) if is_peer else []
    middle = (median(ratios), min(ratios), max(ratios)) if ratios else (None, None, None)
    return Row(measurement["name"], metric, side, median(there), len(there), *middle)


def _ratios(rounds: list[dict[str, Raw]], sides: tuple[str, str], metric: Metric) -> Iterator[float]:
    """Ours against a peer in each round that has both."""
    for turn in rounds:
        ours, peer = (_value(turn, side, metric) for side in sides)
        if ours and peer:
            yield ours / peer if metric.higher_is_better else peer / ours


def _value(turn: dict[str, Raw], side: str, metric: Metric) -> float | None:
    value = turn.get(side, {}).get("values", {}).get(metric.name)
    return None if value is None else float(value)
