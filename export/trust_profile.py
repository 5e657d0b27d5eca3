"""The demonstration's trust profile: measured on phantoms, put into its bundle, and evaluated on others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from export.bundle_writer import enter
from export.demo import reference_films
from xraygpt_edge import LoadOptions, XrayGPT
from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.errors import UsageError
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.trust import checking, metrics, profile, reference
from xraygpt_edge.trust.checking import Row
from xraygpt_edge.trust.metrics import Figure
from xraygpt_edge.trust.observation import observe, reliance_of
from xraygpt_edge.trust.profile import Profile
from xraygpt_edge.trust.reference import Observed, ReferenceFilm
from xraygpt_edge.trust.reliance import ContrastFilms

FILE = "profile.npz"
CREATED = "2026-11-26"
"""Fixed, so that the same films give the same bytes."""
SOURCE = "drawn phantoms"
WEAKENED_FILMS = 100
STRENGTHS = (0.5, 0.25, 0.1, 0.0)
"""Of the image's effect: 1 is the film itself, 0 the mean film, whatever is shown."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure must reach."""

    row: str
    bound: float
    sense: Literal["at least", "at most"]

    def met(self, figure: Figure) -> bool:
        """Whether it is reached."""
        return figure.value >= self.bound if self.sense == "at least" else figure.value <= self.bound


Goals: TypeAlias = dict[str, list[tuple[Row, Goal | None]]]
"""Tables by title: each figure, and what it is to reach."""

CLEAN_GOALS = (
    Goal("sentences, AUC", 0.95, "at least"),
    Goal("worst 10 % of sentences hold, of the wrong", 0.8, "at least"),
    Goal("panel, AUC", 0.98, "at least"),
    Goal("joined, AUC", 0.995, "at least"),
    Goal("joined, ECE", 0.01, "at most"),
    Goal("error at 90 % answered", 0.003, "at most"),
    Goal("present kept", 0.95, "at least"),
    Goal("absent kept", 0.95, "at least"),
)
BADLY_SEEN_GOALS = (
    Goal("sentences, AUC", 0.78, "at least"),
    Goal("films unlike the reference films", 0.65, "at least"),
)
RELIANCE_GOALS = (
    Goal("effect 1: little", 0.05, "at most"),
    Goal("effect 0.25: AUC against 1", 0.98, "at least"),
    Goal("effect 0.1: AUC against 1", 0.999, "at least"),
    Goal("effect 0: AUC against 1", 0.999, "at least"),
)


def opened(bundle: Path) -> XrayGPT:
    """The model as the program itself takes it, one thread: the same films give the same bytes."""
    return XrayGPT.load(bundle, LoadOptions("cpu", 1, capacity=Capacity()))


def write(bundle: Path) -> Profile:
    """Measure the profile and put it into the bundle, in place of an earlier one."""
    seeds = reference_films.PROFILE_SEEDS
    with opened(bundle) as model:
        observed = observed_phantoms(model, seeds, badly=False)
        found = reference.make(model, observed, reference_films.labels(seeds), SOURCE, created=CREATED)
    profile.save(found, bundle / FILE)
    enter(bundle, bundle / FILE, profile.ROLE)  # the profile does not depend on the manifest's own hash
    return found


def observed_phantoms(model: XrayGPT, seeds: Iterable[int], *, badly: bool) -> Observed:
    """Draw phantoms and measure each."""
    draw = reference_films.badly_seen if badly else reference_films.clean
    return reference.observe_all(model, reference_films.films(model, {seed: draw(seed) for seed in seeds}))


def evaluate(bundle: Path) -> Goals:
    """Every figure that the profile is to reach, on phantoms that neither training nor the profile saw."""
    with opened(bundle) as model:
        found = profile.find(model.parts.plan)
        if found is None:
            raise UsageError("E-TRU-006")
        clean = observed_phantoms(model, reference_films.CLEAN_SEEDS, badly=False)
        badly = observed_phantoms(model, reference_films.BADLY_SEEN_SEEDS, badly=True)
        films = clean.films[:WEAKENED_FILMS]
        return {
            f"{len(clean.films)} clean phantoms": _with_goals(_table(model, clean, found), CLEAN_GOALS),
            f"{len(badly.films)} badly seen phantoms": _with_goals(_table(model, badly, found), BADLY_SEEN_GOALS),
            f"{len(films)} phantoms, image's effect weakened": _with_goals(
                _reliance(model, films, found), RELIANCE_GOALS
            ),
        }


def _table(model: XrayGPT, observed: Observed, found: Profile) -> list[Row]:
    places = profile.places_of(model.parts.plan)
    checking.require_other_films(observed, found)
    truth = observed.truth(reference_films.labels(int(film.name) for film in observed.films), places)
    return checking.figures(observed, truth, found, places)


def weakened(image: EncodedImage, mean: NDArray[np.float32], strength: float) -> EncodedImage:
    """A film whose image embeddings are moved towards the mean film's."""
    return EncodedImage(image.source, (mean + np.float32(strength) * (image.embeddings - mean)).astype(np.float32))


def _reliance(model: XrayGPT, films: Iterable[ReferenceFilm], found: Profile) -> list[Row]:
    """Nats of each sentence at each strength of the image's effect, held against those at full strength."""
    images = [film.encode() for film in films]
    mean = np.stack([image.embeddings for image in images]).mean(axis=0)
    full = nats(model, images, found, mean, 1.0)
    rows = [_little("effect 1: little", full, found)]
    for strength in STRENGTHS:
        weak = nats(model, images, found, mean, strength)
        rows.append(_little(f"effect {strength:g}: little", weak, found))
        film, values = (np.concatenate([full[k], weak[k]]) for k in (0, 1))
        is_full = np.arange(len(film)) < len(full[0])
        figure = metrics.over_films(metrics.auc, film, values, is_full)
        rows.append(Row(f"effect {strength:g}: AUC against 1", figure, len(film)))
    return rows


def _little(name: str, nats: tuple[NDArray[np.int64], NDArray[np.float64]], found: Profile) -> Row:
    film, values = nats
    figure = metrics.over_films(lambda little: float(little.mean()), film, values < found.head.reliance_bound_nats)
    return Row(name, figure, len(values))


def nats(
    model: XrayGPT, images: list[EncodedImage], found: Profile, mean: NDArray[np.float32], strength: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Film and reliance of each sentence, where the image path weakens every film, the contrast films too."""
    contrast = ContrastFilms(
        (mean + np.float32(strength) * (found.contrast.embeddings - mean)).astype(np.float32), found.contrast.shows
    )
    pairs = [
        (number, value)
        for number, image in enumerate(images)
        for value in reliance_of(model, observe(model, weakened(image, mean, strength)), contrast)
        if value is not None
    ]
    return np.array([film for film, _ in pairs]), np.array([value for _, value in pairs])


def _with_goals(rows: list[Row], goals: tuple[Goal, ...]) -> list[tuple[Row, Goal | None]]:
    by_row = {goal.row: goal for goal in goals}
    return [(row, by_row.get(row.name)) for row in rows]
