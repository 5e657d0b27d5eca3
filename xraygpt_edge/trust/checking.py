"""How well a profile's figures hold on films that it was not made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import UsageError
from xraygpt_edge.findings import Place
from xraygpt_edge.trust import metrics, support
from xraygpt_edge.trust.metrics import Figure
from xraygpt_edge.trust.observation import evidence_of
from xraygpt_edge.trust.profile import Profile
from xraygpt_edge.trust.reference import Observed, Truth

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    figure: Figure
    count: int
    """Films, decisions or sentences that it is of."""


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Every film and finding whose truth is known, one a row."""

    film: NDArray[np.int64]
    finding: NDArray[np.int64]
    z: Array
    p: Array
    """NaN without a calibration."""
    present: NDArray[np.bool_]
    verdict: NDArray[np.str_]
    kept: NDArray[np.bool_]
    """The true class is one of those that the conformal band keeps."""


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """Every sentence that can be checked and whose truth is known, one a row."""

    film: NDArray[np.int64]
    score: Array
    wrong: NDArray[np.bool_]
    support: NDArray[np.str_]


def require_other_films(observed: Observed, profile: Profile) -> None:
    """Raise UsageError when a film is one of those that made the profile."""
    known = sum(profile.knows(one.features) for one in observed.observations)
    if known:
        raise UsageError("E-TRU-005", f"{known} of {len(observed.films)} films made it")


def figures(observed: Observed, truth: Truth, profile: Profile, places: Sequence[Place]) -> list[Row]:
    """The table: of the films alone where nothing is labelled."""
    unlike = np.array([profile.films.distance(one.seen) for one in observed.observations])
    flags = unlike > profile.films.threshold
    rows = [_row("films unlike the reference films", _share, np.arange(len(flags)), flags)]
    if not (truth >= 0).any():
        return rows
    decided, sentences = decisions(observed, truth, profile, places), checked(observed, truth, profile, places)
    rows += _of_sentences(sentences)
    rows.append(_row("panel, AUC", metrics.auc, decided.film, decided.z, decided.present))
    return rows + (_of_probabilities(decided) if profile.calibration else [])


def decisions(observed: Observed, truth: Truth, profile: Profile, places: Sequence[Place]) -> Decisions:
    """Flatten films and findings."""
    film, finding = np.nonzero(truth >= 0)
    z = observed.z[film, finding]
    present = truth[film, finding] == 1
    if profile.calibration is None:
        return Decisions(film, finding, z, np.full(len(z), np.nan), present, np.full(len(z), ""), np.ones(len(z), bool))
    band = profile.calibration.band
    p = profile.calibration.joined.probabilities(observed.z, observed.said(places))[film, finding]
    verdict = np.array([band.verdict(int(k), float(q)) for k, q in zip(finding, p, strict=True)])
    kept = np.where(present, p >= band.present_from[finding], p <= band.absent_to[finding])
    return Decisions(film, finding, z, p, present, verdict, kept)


def checked(observed: Observed, truth: Truth, profile: Profile, places: Sequence[Place]) -> Checked:
    """Flatten sentences."""
    rows = [
        (film, evidence, wrong)
        for film, one in enumerate(observed.observations)
        for sentence, evidence in zip(one.sentences, evidence_of(one, profile.moves, places), strict=True)
        if evidence and (wrong := support.is_wrong(sentence, truth[film], places)) is not None
    ]
    evidence = [row[1] for row in rows]
    score = profile.support.score(evidence)
    words = [profile.support.verdict(e, float(s)) for e, s in zip(evidence, score, strict=True)]
    films, are_wrong = np.array([row[0] for row in rows], np.int64), np.array([row[2] for row in rows], bool)
    return Checked(films, score, are_wrong, np.array(words, "U20"))


def _of_sentences(found: Checked) -> list[Row]:
    marked = found.support != "agrees"
    return [
        _row("sentences, wrong", _share, found.film, found.wrong),
        _row("sentences, AUC", metrics.auc, found.film, found.score, ~found.wrong),
        _row("worst 10 % of sentences hold, of the wrong", _worst_tenth, found.film, found.score, found.wrong),
        _row("sentences marked", _share, found.film, marked),
        _row("marked sentences hold, of the wrong", _share_of, found.film, marked, found.wrong),
        _row("wrong among sentences without a mark", _share_of, found.film, found.wrong, ~marked),
        _row("wrong among contradicted sentences", _share_of, found.film, found.wrong, found.support == "contradicted"),
    ]


def _of_probabilities(found: Decisions) -> list[Row]:
    wrong = (found.p >= 0.5) != found.present
    sure = found.verdict != "unsure"
    missed = np.where(found.present, found.verdict == "absent", found.verdict == "present")
    return [
        _row("joined, AUC", metrics.auc, found.film, found.p, found.present),
        _row("joined, ECE", metrics.calibration_error, found.film, found.p, found.present),
        _row("error at 90 % answered", _error_at_90, found.film, np.abs(found.p - 0.5), wrong),
        _row("verdicts unsure", _share, found.film, ~sure),
        _row("wrong among sure verdicts", _share_of, found.film, missed, sure),
        _row("present kept", _share_of, found.film, found.kept, found.present),
        _row("absent kept", _share_of, found.film, found.kept, ~found.present),
    ]


def _row(name: str, figure: Callable[..., float], film: NDArray[np.int64], *columns: NDArray[Any]) -> Row:
    if not len(film):
        return Row(name, Figure(float("nan"), float("nan"), float("nan")), 0)
    return Row(name, metrics.over_films(figure, film, *columns), len(film))


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean())


def _share_of(flags: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(flags[among].mean()) if among.any() else float("nan")


def _worst_tenth(score: Array, wrong: NDArray[np.bool_]) -> float:
    return metrics.share_found(0.1, score, wrong)


def _error_at_90(confidence: Array, wrong: NDArray[np.bool_]) -> float:
    return metrics.error_at(0.9, confidence, wrong)
