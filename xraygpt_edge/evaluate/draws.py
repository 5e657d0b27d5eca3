"""Intervals: studies are drawn again with replacement, always the same draws, so that two systems can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
SEED = 20_261_126
LEVEL = 0.95
_AT_ONCE = 100
"""Draws in memory at once."""

Array: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[[Array], Array]
"""Weights (k, n) of n pairs in k draws into k values, or (k, m); NaN where a draw has none."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A value, and where 95 % of the draws lie; None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much one value is above another in the same draws."""

    figure: Figure
    p: float | None
    """Two-sided: how often draws fall on the other side of zero."""


@dataclass(frozen=True, slots=True)
class Draws:
    """How often each pair is in each draw; a study's pairs are drawn together."""

    study: NDArray[np.int64]
    """(n,) number of the study of each pair."""

    @classmethod
    def of(cls, studies: Sequence[str]) -> Draws:
        """Draws of pairs that belong to these studies."""
        _, numbers = np.unique(np.array(studies, dtype=object).astype(str), return_inverse=True)
        return cls(numbers.astype(np.int64))

    def figures(self, statistic: Statistic) -> list[Figure]:
        """Each value of a statistic, with its interval."""
        return [self._figure(value, drawn) for value, drawn in zip(*self._both(statistic), strict=True)]

    def figure(self, statistic: Statistic) -> Figure:
        """The one value of a statistic, with its interval."""
        return self.figures(statistic)[0]

    def differences(self, one: Statistic, other: Statistic) -> list[Difference]:
        """Values of one statistic minus those of another, in the same draws."""
        values, drawn = self._both(lambda weights: _columns(one(weights)) - _columns(other(weights)))
        figures = [self._figure(value, column) for value, column in zip(values, drawn, strict=True)]
        return [Difference(figure, _p(column)) for figure, column in zip(figures, drawn, strict=True)]

    def _both(self, statistic: Statistic) -> tuple[Array, Array]:
        """Values (m,) of all pairs once, and (m, DRAWS) of the draws."""
        whole = _columns(statistic(np.ones((1, len(self.study)))))
        drawn = np.concatenate([_columns(statistic(weights)) for weights in self._weights()])
        return whole[0], drawn.T

    def _weights(self) -> Iterator[Array]:
        random = np.random.default_rng(SEED)
        n_studies = int(self.study.max()) + 1
        for _ in range(DRAWS // _AT_ONCE):
            often = random.multinomial(n_studies, np.full(n_studies, 1 / n_studies), size=_AT_ONCE)
            yield often[:, self.study].astype(np.float64)

    @staticmethod
    def _figure(value: float, drawn: Array) -> Figure:
        if np.isnan(value):
            return Figure(None)
        tails = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
        low, high = np.quantile(drawn[~np.isnan(drawn)], tails) if not np.isnan(drawn).all() else (value, value)
        return Figure(float(value), float(low), float(high))


def mean_of(scores: Array) -> Statistic:
    """The weighted mean of each column; scores: (n,) or (n, m)."""
    columns = _columns(scores)

    def statistic(weights: Array) -> Array:
        found: Array = weights @ columns / weights.sum(1, keepdims=True)
        return found

    return statistic


def share(figure: Figure, n: int) -> Figure:
    """A share of n, with Clopper and Pearson's interval where none or all are counted: there no draw differs."""
    tail = (1 - LEVEL) / 2
    if figure.value == 0:
        return Figure(0.0, 0.0, 1 - tail ** (1 / n))
    return Figure(1.0, tail ** (1 / n), 1.0) if figure.value == 1 else figure


def holm(ps: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's method, in the order given."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    corrected, highest = [0.0] * len(ps), 0.0
    for rank, number in enumerate(order):
        highest = max(highest, min(1.0, ps[number] * (len(ps) - rank)))
        corrected[number] = highest
    return corrected


def _p(drawn: Array) -> float | None:
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return None
    below, above = int((known <= 0).sum()), int((known >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(known) + 1))


def _columns(values: Array) -> Array:
    return values[:, None] if values.ndim == 1 else values
