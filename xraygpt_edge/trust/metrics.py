"""Figures about signals and what they should tell, each with an interval over films."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
_BINS = 10

Array: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and the interval that 95 % of resampled sets of films give."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def auc(scores: Array, positive: Flags) -> float:
    """How often a positive has the higher score than a negative, ties half; NaN without both."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    return float((ranks(scores)[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def ranks(values: Array) -> Array:
    """Rank of each value from 1, equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    found: Array = (ends - (counts - 1) / 2)[inverse]
    return found


def calibration_error(probabilities: Array, true: Flags) -> float:
    """Expected calibration error: mean gap of probability and frequency over ten bins of equal width."""
    bins = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
    gaps = [abs(float(probabilities[bins == b].mean() - true[bins == b].mean())) for b in np.unique(bins)]
    return float(np.average(gaps, weights=np.unique(bins, return_counts=True)[1]))


def error_at(coverage: float, confidence: Array, wrong: Flags) -> float:
    """Share of wrong ones among the most confident share of all."""
    n = max(1, round(coverage * len(wrong)))
    return float(wrong[np.argsort(-confidence, kind="stable")[:n]].mean())


def share_found(fraction: float, scores: Array, wrong: Flags) -> float:
    """Share of all wrong ones that lie in the fraction with the lowest scores; NaN without any."""
    n = max(1, round(fraction * len(wrong)))
    lowest = np.argsort(scores, kind="stable")[:n]
    return float(wrong[lowest].sum() / wrong.sum()) if wrong.any() else float("nan")


def over_films(figure: Callable[..., float], film: NDArray[np.int64], *columns: NDArray[np.generic]) -> Figure:
    """A figure of rows, and its interval when whole films are drawn again; film: (n,) which film each row is of."""
    random = np.random.default_rng(0)
    rows = [np.flatnonzero(film == number) for number in np.unique(film)]
    found = []
    for _ in range(DRAWS):
        drawn = np.concatenate([rows[k] for k in random.integers(len(rows), size=len(rows))])
        found.append(figure(*(column[drawn] for column in columns)))
    low, high = np.nanquantile(found, (0.025, 0.975)) if np.isfinite(found).any() else (np.nan, np.nan)
    return Figure(figure(*columns), float(low), float(high))
