"""Whether what records say about trust holds: where the references say what is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.evaluate.draws import Array, Figure
from xraygpt_edge.evaluate.findings import ABSENT, PRESENT, Table
from xraygpt_edge.evaluate.pairs import Pair
from xraygpt_edge.findings import Place
from xraygpt_edge.trust.claims import Claim, Sentence
from xraygpt_edge.trust.metrics import Flags, auc, calibration_error, error_at, over_films
from xraygpt_edge.trust.support import is_wrong

COVERAGES = (1.0, 0.95, 0.9, 0.8)
SUPPORTS = ("contradicted", "doubtful", "agrees", "unchecked")
NOBODY_KNOWS = -1


@dataclass(frozen=True, slots=True)
class Risk:
    """How many decisions are wrong when only the surest share is answered."""

    coverage: float
    error: Figure


@dataclass(frozen=True, slots=True)
class Marked:
    """Sentences with one verdict about their support."""

    support: str
    n: int
    wrong: int
    """State or deny something of which the reference says the opposite."""


@dataclass(frozen=True, slots=True)
class TrustFigures:
    """What the panel and the marks of the records are worth."""

    n: int
    """Answers with trust in their record."""
    unlike: int
    """Of which the film is unlike the reference films, so that no figure holds."""
    auc: Figure
    """Of the panel's log-odds."""
    calibration_error: Figure
    """Of its probabilities; not defined where the profile has no labels."""
    risk_coverage: tuple[Risk, ...]
    sentences: tuple[Marked, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """The panel about one finding of one film."""

    pair: int
    log_odds: float
    p: float | None
    is_present: bool


def trust_figures(pairs: Sequence[Pair], truth: Table, columns: Sequence[Place]) -> TrustFigures | None:
    """Measure it on all records that have it; None where none has. A film counts as a study of its own here."""
    held = [pair.trust for pair in pairs if pair.trust]
    if not held:
        return None
    decisions = list(_decisions(pairs, truth, columns))
    film = np.array([one.pair for one in decisions], np.int64)
    z = np.array([one.log_odds for one in decisions], np.float64)
    real = np.array([one.is_present for one in decisions], np.bool_)
    known = np.array([one.p is not None for one in decisions], np.bool_)
    p = np.array([np.nan if one.p is None else one.p for one in decisions], np.float64)[known]
    return TrustFigures(
        len(held),
        sum(bool(trust.film and not trust.film.like) for trust in held),
        _figure(auc, film, z, real),
        _figure(calibration_error, film[known], p, real[known]),
        _risks(film[known], p, real[known]) if len(p) else (),
        _marked(pairs, truth, columns),
    )


def _decisions(pairs: Sequence[Pair], truth: Table, columns: Sequence[Place]) -> Iterator[Decision]:
    """Those of films that are like the reference films, where the truth is known."""
    number_of = {place.name: number for number, place in enumerate(columns)}
    for row, pair in enumerate(pairs):
        if pair.trust is None or (pair.trust.film and not pair.trust.film.like):
            continue
        for finding in pair.trust.findings:
            column = number_of.get(finding.name)
            if column is not None and truth[row, column] in (PRESENT, ABSENT):
                yield Decision(row, finding.log_odds, finding.p, truth[row, column] == PRESENT)


def _risks(film: NDArray[np.int64], p: Array, real: Flags) -> tuple[Risk, ...]:
    confidence, wrong = np.abs(p - 0.5), (p >= 0.5) != real

    return tuple(Risk(at, _figure(partial(error_at, at), film, confidence, wrong)) for at in COVERAGES)


def _figure(of: Callable[..., float], film: NDArray[np.int64], *columns: NDArray[Any]) -> Figure:
    """A figure of decisions, with its interval when whole films are drawn again; not defined where it has no value."""
    if not len(film):
        return Figure(None)
    found = over_films(of, film, *columns)
    return Figure(None) if np.isnan(found.value) else Figure(found.value, found.low, found.high)


def _marked(pairs: Sequence[Pair], truth: Table, columns: Sequence[Place]) -> tuple[Marked, ...]:
    counts = {support: [0, 0] for support in SUPPORTS}
    known = np.where((truth == PRESENT) | (truth == ABSENT), truth, NOBODY_KNOWS).astype(np.int8)
    for real, pair in zip(known, pairs, strict=True):
        for sentence in pair.trust.sentences if pair.trust else ():
            claims = tuple(Claim(c.finding, c.sides, c.zone, c.polarity) for c in sentence.claims)
            counts[sentence.support][0] += 1
            counts[sentence.support][1] += bool(
                is_wrong(Sentence("", sentence.start, sentence.end, claims=claims), real, columns)
            )
    return tuple(Marked(support, n, wrong) for support, (n, wrong) in counts.items())
