"""Training copies: what each picture becomes in everyday use and when it is spoilt, with the class to learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from export.gate import spoiling as spoil
from export.gate.pictures import Original
from export.gate.spoiling import Picture

Make = Callable[[Picture, np.random.Generator, Sequence[Original]], Picture]


def everyday(picture: Picture, rng: np.random.Generator) -> Picture:
    """What happens to good films: a little tilt, crop and frame, other contrast, writing, a lossy file."""
    if rng.random() < 0.3:
        picture = picture[:, ::-1]
    if rng.random() < 0.6:
        picture = spoil.tilted(np.ascontiguousarray(picture), rng.normal(0, 3.5), int(rng.choice([0, 0, 255])))
    if rng.random() < 0.6:
        picture = spoil.cropped(picture, rng.uniform(0.82, 1), rng.uniform(0.82, 1), rng)
    picture = spoil.toned(picture, np.exp(rng.normal(0, 0.4)), rng.uniform(-0.25, 0.2), rng.uniform(0.7, 1.35))
    if rng.random() < 0.3:
        picture = spoil.lettered(picture, rng, int(rng.integers(1, 4)), int(rng.choice([255, 255, 0])))
    if rng.random() < 0.15:
        picture = spoil.shuttered(picture, rng)
    if rng.random() < 0.4:
        picture = _in_a_frame(picture, rng)
    return _degraded(np.ascontiguousarray(picture), rng)


def _in_a_frame(picture: Picture, rng: np.random.Generator) -> Picture:
    """Black or white, all round or on two sides, up to 45 % of the result."""
    share, grey = rng.uniform(0.01, 0.45), int(rng.choice([0, 0, 255, int(rng.integers(256))]))
    if rng.random() < 0.6:
        return spoil.framed(picture, share, grey, rng)
    edge = round(picture.shape[1] * share / (1 - share) / 2)
    width = ((0, 0), (edge, edge)) if rng.random() < 0.7 else ((edge, edge), (0, 0))
    return np.pad(picture, width, constant_values=grey)


def _degraded(picture: Picture, rng: np.random.Generator) -> Picture:
    if rng.random() < 0.15:
        picture = spoil.blurred(picture, int(rng.integers(24, 80)))
    if rng.random() < 0.2:
        picture = spoil.noisy(picture, rng, rng.uniform(3, 55))
    return spoil.jpeg(picture, int(rng.integers(8, 60))) if rng.random() < 0.2 else picture


def _tilted(picture: Picture, rng: np.random.Generator, _: Sequence[Original]) -> Picture:
    degrees = rng.uniform(15, 40) * rng.choice([-1, 1])
    return spoil.tilted(everyday(picture, rng), degrees, int(rng.choice([0, 0, 128, 255])))


def _part(picture: Picture, rng: np.random.Generator, _: Sequence[Original]) -> Picture:
    return everyday((spoil.one_lung if rng.random() < 0.5 else spoil.heavy_crop)(picture, rng), rng)


def _scene(picture: Picture, rng: np.random.Generator, _: Sequence[Original]) -> Picture:
    surround = (spoil.viewer, spoil.monitor, spoil.printed)[rng.choice(3, p=[0.4, 0.4, 0.2])]
    return surround(everyday(picture, rng), rng)


def _several(picture: Picture, rng: np.random.Generator, others: Sequence[Original]) -> Picture:
    other = others[int(rng.integers(len(others)))].pixels
    both = spoil.beside(everyday(picture, rng), everyday(other, rng), rng, stacked=rng.random() < 0.35)
    return np.ascontiguousarray(both[:, ::-1]) if rng.random() < 0.5 else both


def _plain(picture: Picture, rng: np.random.Generator, _: Sequence[Original]) -> Picture:
    return everyday(picture, rng)


def _turned(quarters: int, *, inverted: bool = False) -> Make:
    def make(picture: Picture, rng: np.random.Generator, _: Sequence[Original]) -> Picture:
        seen = 255 - picture if inverted else picture
        return np.ascontiguousarray(np.rot90(everyday(seen, rng), quarters))

    return make


FRONTAL: tuple[tuple[str, int, Make], ...] = (
    ("upright", 8, _plain),
    ("inverted", 2, _turned(0, inverted=True)),
    ("half", 2, _turned(2)),
    ("inverted half", 1, _turned(2, inverted=True)),
    ("left quarter", 2, _turned(1)),
    ("left quarter", 1, _turned(1, inverted=True)),
    ("right quarter", 2, _turned(3)),
    ("right quarter", 1, _turned(3, inverted=True)),
    ("several", 2, _several),
    ("tilted", 2, _tilted),
    ("part", 3, _part),
    ("scene", 3, _scene),
)
"""Class, copies of each frontal film, and how they are made."""
OTHERS = 5
"""Copies of each other picture; some are inverted or turned, and stay what they are."""


def copies(original: Original, films: Sequence[Original], rng: np.random.Generator) -> Iterator[tuple[str, Picture]]:
    """The classes and pictures that one original becomes; films give second pictures for `several`."""
    if original.kind == "frontal":
        for name, count, make in FRONTAL:
            for _ in range(count):
                yield name, make(original.pixels, rng, films)
        return
    for _ in range(OTHERS):
        picture = everyday(original.pixels, rng)
        if original.kind == "lateral":
            yield "lateral", picture
            continue
        picture = 255 - picture if rng.random() < 0.2 else picture
        yield "other", np.rot90(picture, int(rng.choice([0, 0, 0, 1, 2, 3])))
