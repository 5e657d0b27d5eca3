"""Phantoms for the trust profile and its evaluation: seeds of their own, and films that the model sees badly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from xraygpt_edge import XrayGPT
from xraygpt_edge.imaging.images import Radiograph
from xraygpt_edge.records import Source
from xraygpt_edge.trust.reference import ReferenceFilm

from .findings import LABELS, sample_case
from .phantoms import draw
from .pictures import picture

PROFILE_SEEDS = range(60_000_000, 60_001_200)
"""Training used seeds below 10,000,000, the model's evaluation those from 20,000,000, examples from 30,000,000 on."""
CLEAN_SEEDS = range(40_000_000, 40_000_500)
BADLY_SEEN_SEEDS = range(50_000_000, 50_000_260)
BLUR_PX, NOISE = 7.0, 20.0
"""Of a badly seen film: standard deviation of the blur in pixels of 224, and of the noise in grey levels of 256."""


def clean(seed: int) -> NDArray[np.uint8]:
    """A phantom as the program reads it: uint8 (224, 224)."""
    return picture(draw(sample_case(seed)))


def badly_seen(seed: int) -> NDArray[np.uint8]:
    """The same blurred and noisy: reports about such films are as wrong as published models' about real ones."""
    blurred = np.asarray(Image.fromarray(clean(seed)).filter(ImageFilter.GaussianBlur(BLUR_PX)), np.float64)
    noise = np.random.default_rng((seed, 9)).normal(0, NOISE, blurred.shape)
    return np.clip(np.rint(blurred + noise), 0, 255).astype(np.uint8)


def films(model: XrayGPT, pictures: Mapping[int, NDArray[np.uint8]]) -> list[ReferenceFilm]:
    """Pictures by seed as films that the model encodes when they are needed."""

    def one(seed: int, pixels: NDArray[np.uint8]) -> ReferenceFilm:
        radiograph = Radiograph(pixels, Source("", "png", *pixels.shape))
        return ReferenceFilm(str(seed), lambda: model.encode_radiograph(radiograph))

    return [one(seed, pixels) for seed, pixels in pictures.items()]


def labels(seeds: Iterable[int]) -> dict[str, dict[str, int]]:
    """What is drawn: film name, place name, 1 or 0."""
    return dict(_labels(seeds))


def _labels(seeds: Iterable[int]) -> Iterator[tuple[str, dict[str, int]]]:
    for seed in seeds:
        present = sample_case(seed).labels
        yield str(seed), {label: int(label in present) for label in LABELS}
