"""From reference films to a profile, and the check of a profile on other films."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.engine import EncodedImage, XrayGPT
from xraygpt_edge.errors import UsageError, XrayGPTError
from xraygpt_edge.findings import Place
from xraygpt_edge.imaging.preprocess import grey_of
from xraygpt_edge.trust import calibration, film, maps, panel, profile, reliance, support
from xraygpt_edge.trust.calibration import CONTRADICTED_WITHOUT_LABELS, Calibration
from xraygpt_edge.trust.observation import Observation, evidence_of, observe, reliance_of
from xraygpt_edge.trust.panel import Form
from xraygpt_edge.trust.profile import Head, Profile
from xraygpt_edge.trust.reliance import ContrastFilms
from xraygpt_edge.version import __version__

LEAST_FILMS, GOOD_FILMS = 100, 300
FORM_FILMS = 50
"""Films that decide in which form the panel asks."""

Truth = NDArray[np.int8]
"""(n_films, n_places): 1 present, 0 absent, -1 where nobody knows."""


@dataclass(frozen=True, slots=True)
class ReferenceFilm:
    """One film of a set: read and encoded when it is needed, since a thousand would not fit in memory."""

    name: str
    """What its labels are found by; never written anywhere."""
    encode: Callable[[], EncodedImage]


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What was measured of a set of films."""

    films: tuple[ReferenceFilm, ...]
    """Those that could be read."""
    observations: tuple[Observation, ...]
    refused: int
    mean_film: NDArray[np.uint8]
    """(size, size) mean of all, as the encoder is given them."""

    @property
    def features(self) -> NDArray[np.float64]:
        """(n_films, n) as `film.features` gives them."""
        return np.stack([one.features for one in self.observations])

    @property
    def seen(self) -> NDArray[np.float64]:
        """(n_films, n) as `film.seen` gives it."""
        return np.stack([one.seen for one in self.observations])

    @property
    def z(self) -> NDArray[np.float64]:
        """(n_films, n_places) log-odds of the panel."""
        return np.stack([one.panel.z for one in self.observations])

    def said(self, places: Sequence[Place]) -> NDArray[np.bool_]:
        """(n_films, n_places) what the reports state."""
        return np.stack([support.said(one.sentences, places) for one in self.observations])

    def truth(self, labels: Mapping[str, Mapping[str, int]], places: Sequence[Place]) -> Truth:
        """What labels say about each film; labels: film name, place name, 1, 0 or -1."""
        rows = [[labels.get(one.name, {}).get(place.name, -1) for place in places] for one in self.films]
        return np.array(rows, np.int8)


def observe_all(
    model: XrayGPT,
    films: Sequence[ReferenceFilm],
    form: Form = "question",
    tell: Callable[[int], object] = lambda _: None,
) -> Observed:
    """Measure every film; one that cannot be read or answered is left out and counted. tell: films done so far."""
    kept, found, n_views = [], [], 0
    views = np.zeros((model.parts.plan.bundle.manifest.image.size_px,) * 2)
    for number, one in enumerate(films, start=1):
        try:
            image = one.encode()
            found.append(observe(model, image, form))
            kept.append(one)
            if image.model_view is not None:
                views, n_views = views + grey_of(image.model_view), n_views + 1
        except XrayGPTError:
            pass
        tell(number)
    mean_film = np.rint(views / max(1, n_views)).astype(np.uint8)
    return Observed(tuple(kept), tuple(found), len(films) - len(kept), mean_film)


def choose_form(model: XrayGPT, films: Sequence[ReferenceFilm]) -> Form:
    """The form in which the panel asks: questions, unless the model does not answer them and statements spread more."""
    places = profile.places_of(model.parts.plan)
    images = []
    for one in films[:FORM_FILMS]:
        try:
            images.append(one.encode())
        except XrayGPTError:
            continue
    asked = [panel.ask(model, image, places) for image in images]
    if not asked or np.median([one.mass for one in asked]) >= panel.MASS_LEAST:
        return "question"
    stated = [panel.ask(model, image, places, "statement") for image in images]
    spreads = [np.median(np.std([one.z for one in form], axis=0)) for form in (asked, stated)]
    return "statement" if spreads[1] > spreads[0] else "question"


def make(
    model: XrayGPT,
    observed: Observed,
    labels: Mapping[str, Mapping[str, int]],
    source: str,
    *,
    form: Form = "question",
    created: str = "",
) -> Profile:
    """Make a profile; labels: film name, place name, 1, 0 or -1; empty where there are none.

    source: where the films come from, in words for people. created: the day; today without it.
    Raises UsageError when there are too few films or labels.
    """
    if len(observed.films) < LEAST_FILMS:
        raise UsageError("E-TRU-003", f"{len(observed.films)} could be read")
    places = profile.places_of(model.parts.plan)
    truth = observed.truth(labels, places)
    labelled = int((truth >= 0).any(axis=1).sum())
    calibrated = _calibrated(observed, truth, places) if labels else None
    z, reference = observed.z, film.fit(observed.seen)
    spread = z.std(axis=0)
    supported = _supported(observed, truth, spread >= profile.SPREAD_LEAST, places, calibrated)
    contrast = _contrast(observed)
    gains = [reliance_of(model, one, contrast) for one in observed.observations]
    head = Head(
        schema=profile.SCHEMA,
        model=profile.identity(model.parts.plan),
        places=tuple(place.name for place in places),
        form=form,
        films=len(observed.films),
        labelled=labelled,
        source=source,
        created=created or date.today().isoformat(),  # noqa: DTZ011 - the day where the clinic is
        program=__version__,
        film_threshold=reference.threshold,
        rest_variance=reference.rest_variance,
        doubtful_below=supported.doubtful_below,
        contradicted_below=supported.contradicted_below,
        reliance_bound_nats=reliance.bound([value for row in gains for value in row if value is not None]),
        slope=calibrated.joined.slope if calibrated else 0.0,
        said_weight=calibrated.joined.said if calibrated else 0.0,
    )
    mass = np.median([one.panel.mass for one in observed.observations], axis=0)
    hashes, read_outs = profile.hashes_of(observed.features), maps.read_outs(observed.features, z)
    return Profile(
        head, reference, supported, contrast, spread, mass, read_outs, observed.mean_film, calibrated, hashes
    )


def _calibrated(observed: Observed, truth: Truth, places: Sequence[Place]) -> Calibration:
    known = (truth >= 0).any(axis=1)
    try:
        return calibration.fit(observed.z[known], observed.said(places)[known], truth[known])
    except ValueError as error:
        raise UsageError("E-TRU-004", str(error)) from error


def _supported(
    observed: Observed,
    truth: Truth,
    moves: NDArray[np.bool_],
    places: Sequence[Place],
    calibrated: Calibration | None,
) -> support.SupportModel:
    """Describe the sentences that can be checked; a model that sees nothing has none."""
    found = [
        (evidence, support.is_wrong(sentence, truth[k], places))
        for k, one in enumerate(observed.observations)
        for sentence, evidence in zip(one.sentences, evidence_of(one, moves, places), strict=True)
        if evidence
    ]
    bound = calibrated.contradicted_below if calibrated else CONTRADICTED_WITHOUT_LABELS
    return support.fit([evidence for evidence, _ in found], [wrong for _, wrong in found], bound)


def _contrast(observed: Observed) -> ContrastFilms:
    chosen = reliance.choose(observed.z)
    embeddings = np.stack([observed.films[k].encode().embeddings for k in chosen])
    return ContrastFilms(embeddings, observed.z[chosen] > reliance.SHOWS)
