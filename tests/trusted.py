"""Phantoms that the demonstration model is measured on, for tests of trust: as few as show anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from export.demo import reference_films
from xraygpt_edge import LoadOptions, XrayGPT
from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.trust import reference
from xraygpt_edge.trust.reference import Observed, ReferenceFilm

SEEDS = reference_films.CLEAN_SEEDS[:24]


def load(bundle) -> XrayGPT:
    return XrayGPT.load(bundle, LoadOptions("cpu", 1, capacity=Capacity()))


def films(model: XrayGPT, seeds: Iterable[int] = SEEDS, draw=reference_films.clean) -> list[ReferenceFilm]:
    """Films that are drawn and encoded once."""
    encoded = [
        (film.name, film.encode()) for film in reference_films.films(model, {seed: draw(seed) for seed in seeds})
    ]
    return [ReferenceFilm(name, lambda image=image: image) for name, image in encoded]


def observe(model: XrayGPT, seeds: Iterable[int] = SEEDS, draw=reference_films.clean) -> Observed:
    return reference.observe_all(model, films(model, seeds, draw))


def constant(model: XrayGPT, seeds: Iterable[int]) -> list[ReferenceFilm]:
    """Films that all have the image embeddings of the first: an image path that sees nothing."""
    first, *others = seeds
    image = films(model, [first])[0].encode()
    return [ReferenceFilm(str(seed), lambda: image) for seed in (first, *others)]


def moved(image: EncodedImage, value: float) -> EncodedImage:
    """The film with other embeddings."""
    return replace(image, embeddings=(image.embeddings + np.float32(value)).astype(np.float32))
