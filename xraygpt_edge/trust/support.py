"""How far the panel and the model's own certainty agree with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.findings import Place
from xraygpt_edge.records import Support
from xraygpt_edge.trust.calibration import CONTRADICTED_WITHOUT_LABELS, Flags, fit_logistic, sigmoid
from xraygpt_edge.trust.claims import Claim, Sentence

Array: TypeAlias = NDArray[np.float64]

DOUBTFUL_QUANTILE = 0.1
"""Of the reference films' sentences have a lower score."""
_GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a sentence that can be checked."""

    v: float
    """The least log-odds that the panel gives any of its statements."""
    entropy: float
    """The highest of its tokens, in nats."""
    states: bool
    """Whether the statement with the least log-odds says "present"."""
    place: int = 0
    """Number of the place that these log-odds are of."""


@dataclass(frozen=True, slots=True, eq=False)
class SupportModel:
    """Evidence into a score, and where a score is doubtful."""

    weights: Array
    """(6,) of `_inputs`, fitted on labelled films; empty without labels."""
    v_quantiles: Array
    """(101,) of the reference films' sentences."""
    entropy_quantiles: Array
    """(101,) of the same."""
    doubtful_below: float
    contradicted_below: float = CONTRADICTED_WITHOUT_LABELS
    """A sentence is contradicted where v is below minus this."""

    def score(self, evidence: Sequence[Evidence]) -> Array:
        """Score (n,) from 0 to 1: the higher, the rarer wrong."""
        if len(self.weights):
            return sigmoid(_inputs(evidence) @ self.weights)
        v, entropy, _ = _columns(evidence)
        certain = 1 - np.interp(entropy, self.entropy_quantiles, _GRID)
        found: Array = (np.interp(v, self.v_quantiles, _GRID) + certain) / 2
        return found

    def verdict(self, evidence: Evidence, score: float) -> Support:
        """Contradicted, doubtful, or neither."""
        if evidence.v < -self.contradicted_below:
            return "contradicted"
        return "doubtful" if score < self.doubtful_below else "agrees"


def evidence_of(sentence: Sentence, entropy: float | None, z: Array, places: Sequence[Place]) -> Evidence | None:
    """What the panel says about a sentence; None where nothing in it was asked about.

    z: (n_places,), NaN where the panel's answer counts for nothing.
    """
    odds = [(claim.polarity == "present", *_log_odds(claim, z, places)) for claim in sentence.claims]
    found = [(v, states, place) for states, v, place in odds if np.isfinite(v)]
    if not found or entropy is None:
        return None
    v, states, place = min(found)
    return Evidence(v, entropy, states, place)


def is_wrong(sentence: Sentence, truth: NDArray[np.int8], places: Sequence[Place]) -> bool | None:
    """Whether a sentence states what is not there or denies what is; None where nobody knows. truth: as in labels."""
    known = np.where(truth < 0, np.nan, np.where(truth == 1, 1.0, -1.0))
    found = [v for claim in sentence.claims if (v := _log_odds(claim, known, places)[0]) == v]
    return min(found) < 0 if found else None


def said(sentences: Sequence[Sentence], places: Sequence[Place]) -> Flags:
    """Flags (n_places,) of what the sentences state; what names no side states none."""
    stated = [claim for sentence in sentences for claim in sentence.claims if claim.polarity == "present"]
    return np.array([any(_names(claim, place) for claim in stated) for place in places], bool)


def denied(sentence: Sentence, places: Sequence[Place]) -> Flags:
    """Flags (n_places,) of what a sentence denies; without a side it denies all."""
    claims = [claim for claim in sentence.claims if claim.polarity == "absent"]
    return np.array([any(_covers(claim, place) for claim in claims) for place in places], bool)


def fit(evidence: Sequence[Evidence], wrong: Sequence[bool | None], contradicted_below: float) -> SupportModel:
    """Describe the sentences of reference films; those that are known to be right or wrong are learnt from.

    Without any sentence that could be checked, whatever comes is doubtful.
    """
    if not evidence:
        return SupportModel(np.empty(0), np.zeros(len(_GRID)), np.zeros(len(_GRID)), 2.0, contradicted_below)
    labelled = [(e, not w) for e, w in zip(evidence, wrong, strict=True) if w is not None]
    right = np.array([r for _, r in labelled], bool)
    weights = np.empty(0)
    if right.any() and not right.all():
        weights = fit_logistic(_inputs([e for e, _ in labelled]), right)
    v, entropy, _ = _columns(evidence)
    model = SupportModel(weights, np.quantile(v, _GRID), np.quantile(entropy, _GRID), 0.0, contradicted_below)
    return replace(model, doubtful_below=float(np.quantile(model.score(evidence), DOUBTFUL_QUANTILE)))


def _columns(evidence: Sequence[Evidence]) -> tuple[Array, Array, Array]:
    rows = [(e.v, e.entropy, 1.0 if e.states else -1.0) for e in evidence]
    v, entropy, polarity = np.array(rows, np.float64).reshape(-1, 3).T
    return v, entropy, polarity


def _inputs(evidence: Sequence[Evidence]) -> Array:
    v, entropy, polarity = _columns(evidence)
    return np.stack([np.ones(len(v)), v, entropy, polarity, v * polarity, entropy * polarity], axis=1)


def _log_odds(claim: Claim, z: Array, places: Sequence[Place]) -> tuple[float, int]:
    """Log-odds of a claim and the place that they are of.

    A denial has its least likely place, a statement its likeliest of each side that it names. NaN where it is no
    statement or nothing of it was asked about.
    """
    covered = [k for k, place in enumerate(places) if _covers(claim, place) and np.isfinite(z[k])]
    if not covered or claim.polarity == "unsure":
        return float("nan"), -1
    likeliest = max(covered, key=lambda k: z[k])
    if claim.polarity == "absent":
        return float(-z[likeliest]), likeliest
    sides = {places[k].side for k in covered} if claim.sides else {None}
    groups = [[k for k in covered if side is None or places[k].side == side] for side in sides]
    place = min((max(group, key=lambda k: z[k]) for group in groups), key=lambda k: z[k])
    return float(z[place]), place


def _covers(claim: Claim, place: Place) -> bool:
    """The place is one of those that a claim speaks of; what it leaves open it leaves open."""
    is_side = not place.side or not claim.sides or place.side in claim.sides
    is_zone = not place.zone or not claim.zone or place.zone == claim.zone
    return claim.finding == place.finding and is_side and is_zone


def _names(claim: Claim, place: Place) -> bool:
    """A claim names this very place."""
    return _covers(claim, place) and (not place.side or place.side in claim.sides) and place.zone in ("", claim.zone)
