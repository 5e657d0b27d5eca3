"""From the panel's log-odds to probabilities and verdicts; numpy only.

One logistic function for all findings joins what the panel answers with what the report says. The band of doubt is
split conformal: its thresholds come from films that the function was not fitted on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.records import Verdict
from xraygpt_edge.trust.metrics import error_at

Array: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

EPSILON = 0.02
"""Share of true verdicts that may fall out of the band."""
EVEN = 0.5
CASES_FOR_OWN_OFFSET = 30
"""Of a finding, present and absent each, before it gets an offset of its own."""
COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7)
WRONG_QUANTILE = 0.9
CONTRADICTED_WITHOUT_LABELS = 2.0
_RIDGE = 1e-3
_STEPS = 100
_SEED = 16


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """The probability of a finding from the panel and the report: σ(slope·z + offset + said·weight)."""

    slope: float
    said: float
    offsets: Array
    """(n_findings,)"""

    def probabilities(self, z: Array, said: Flags) -> Array:
        """Probability of each finding; z, said: (..., n_findings)."""
        return sigmoid(self.slope * z + self.offsets + self.said * said)


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Where a probability is a verdict, by finding."""

    present_from: Array
    """(n_findings,) least probability that keeps "present"."""
    absent_to: Array
    """(n_findings,) highest probability that keeps "absent"."""
    own: Flags
    """(n_findings,) whether the thresholds are the finding's own; otherwise all findings share them."""

    def verdict(self, finding: int, probability: float) -> Verdict:
        """One class kept is a verdict; none or both are doubt, and so is the less likely one alone."""
        present = bool(probability >= self.present_from[finding])
        absent = bool(probability <= self.absent_to[finding])
        if present == absent or present != (probability >= EVEN):
            return "unsure"
        return "present" if present else "absent"

    def doubt(self, finding: int) -> tuple[float, float]:
        """Probabilities between which there is no verdict."""
        bounds = float(self.absent_to[finding]), float(self.present_from[finding]), EVEN
        return min(bounds), max(bounds)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What labelled films add to a profile."""

    joined: Joined
    band: Band
    contradicted_below: float
    """A sentence is contradicted where its log-odds are below minus this: few wrong answers are so sure."""
    n_present: NDArray[np.int64]
    """(n_findings,) labelled decisions, by what is true."""
    n_absent: NDArray[np.int64]
    risk: Array
    """(len(COVERAGES),) share of wrong decisions among the surest, for each of `COVERAGES`."""


def sigmoid(x: Array) -> Array:
    """The logistic function, without overflow."""
    found: Array = np.exp(-np.logaddexp(0.0, -x))
    return found


def fit_logistic(inputs: Array, true: Flags) -> Array:
    """Weights (n_inputs,) of a logistic regression with a little ridge, by Newton's method; inputs: (n, n_inputs)."""
    weights = np.zeros(inputs.shape[1])
    for _ in range(_STEPS):
        p = sigmoid(inputs @ weights)
        gradient = inputs.T @ (p - true) + _RIDGE * weights
        curvature = (inputs * (p * (1 - p))[:, None]).T @ inputs + _RIDGE * np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        weights -= step * min(1.0, 4.0 / (1e-12 + float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-8:
            break
    return weights


def fit(z: Array, said: Flags, truth: NDArray[np.int8], epsilon: float = EPSILON) -> Calibration:
    """Calibrate on labelled films; z, said, truth: (n_films, n_findings), truth 1, 0, or -1 where nobody knows.

    Raises ValueError unless some finding is present and some absent in each half of the films.
    """
    order = np.random.default_rng(_SEED).permutation(len(z))
    one, other = order[::2], order[1::2]
    for half in (one, other):
        if not (truth[half] == 1).any() or not (truth[half] == 0).any():
            raise ValueError("too few labels")
    joined = _fit_joined(z[one], said[one], truth[one])
    p, held_out = joined.probabilities(z[other], said[other]), truth[other]
    known = held_out >= 0
    wrong = (p >= 0.5) != (held_out == 1)
    confidence = np.abs(p - 0.5)
    panel_wrong = np.abs(z)[((z > 0) != (truth == 1)) & (truth >= 0)]
    return Calibration(
        joined,
        _fit_band(p, held_out, epsilon),
        float(np.quantile(panel_wrong, WRONG_QUANTILE)) if len(panel_wrong) else CONTRADICTED_WITHOUT_LABELS,
        (truth == 1).sum(axis=0),
        (truth == 0).sum(axis=0),
        np.array([error_at(coverage, confidence[known], wrong[known]) for coverage in COVERAGES]),
    )


def _fit_joined(z: Array, said: Flags, truth: NDArray[np.int8]) -> Joined:
    n_findings = z.shape[1]
    known = truth >= 0
    enough = ((truth == 1).sum(axis=0) >= CASES_FOR_OWN_OFFSET) & ((truth == 0).sum(axis=0) >= CASES_FOR_OWN_OFFSET)
    finding = np.broadcast_to(np.arange(n_findings), z.shape)[known]
    own = (finding[:, None] == np.flatnonzero(enough)).astype(np.float64)
    shared = np.stack([z[known], said[known], np.ones(len(finding))], axis=1)
    weights = fit_logistic(np.concatenate([shared, own], axis=1), truth[known] == 1)
    offsets = np.full(n_findings, weights[2])
    offsets[enough] += weights[3:]
    # A panel that says the opposite of the truth gets no say: verdicts never fall where log-odds rise.
    return Joined(max(0.0, float(weights[0])), float(weights[1]), offsets)


def _fit_band(p: Array, truth: NDArray[np.int8], epsilon: float) -> Band:
    """Thresholds pooled over findings; one's own only where it has 1/ε cases of each class."""
    n_findings = p.shape[1]
    cases = np.stack([(truth == value).sum(axis=0) for value in (1, 0)])
    own = cases.min(axis=0) >= math.ceil(1 / epsilon)
    everywhere = np.ones(n_findings, bool)
    found = [_thresholds(p, truth, columns, epsilon) for columns in (everywhere, *np.eye(n_findings, dtype=bool))]
    chosen = [found[k + 1 if own[k] else 0] for k in range(n_findings)]
    present, absent = np.array(chosen).T
    return Band(1 - present, absent, own)


def _thresholds(p: Array, truth: NDArray[np.int8], columns: Flags, epsilon: float) -> tuple[float, float]:
    """Highest score that keeps each class: 1 - p for present, p for absent."""
    of_columns, known = p[:, columns], truth[:, columns]
    return conformal_quantile(1 - of_columns[known == 1], epsilon), conformal_quantile(of_columns[known == 0], epsilon)


def conformal_quantile(scores: Array, epsilon: float) -> float:
    """The ⌈(n + 1)(1 − ε)⌉-th smallest of n scores; 1, which keeps everything, where there are too few."""
    rank = math.ceil((len(scores) + 1) * (1 - epsilon))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else 1.0
