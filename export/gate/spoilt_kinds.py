"""The kinds of spoilt film that the gate is measured on, each with what it should be called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.gate import spoiling as spoil
from export.gate.spoiling import Picture, Spoil

SILENT: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to spoil a film."""

    name: str
    make: Spoil
    right: frozenset[str]
    """Warnings that name it; none where a film should be left in peace."""


def _quarter(picture: Picture, rng: np.random.Generator) -> Picture:
    return np.rot90(picture, int(rng.choice([1, 3])))


def _squeezed(picture: Picture, _: np.random.Generator) -> Picture:
    return spoil.resized(picture, picture.shape[0], picture.shape[1] // 2)


def _underexposed(picture: Picture, _: np.random.Generator) -> Picture:
    return np.clip(picture.astype(np.int64) - int(np.median(picture)), 0, 255).astype(np.uint8)


def _overexposed(picture: Picture, _: np.random.Generator) -> Picture:
    return np.clip(picture.astype(np.int64) + 255 - int(np.percentile(picture, 55)), 0, 255).astype(np.uint8)


def _two(stacked: bool) -> Spoil:  # noqa: FBT001 - one of two arrangements
    return lambda picture, rng: spoil.beside(picture, picture[:, ::-1], rng, stacked=stacked)


KINDS = (
    Kind("as it is", lambda p, _: p, SILENT),
    Kind("mirrored", lambda p, _: np.ascontiguousarray(p[:, ::-1]), SILENT),
    Kind("black border of 40 %", lambda p, r: spoil.framed(p, 0.4, 0, r), SILENT),
    Kind("squeezed to half its width", _squeezed, SILENT),
    Kind("JPEG quality 10", lambda p, _: spoil.jpeg(p, 10), SILENT),
    Kind("64 px", lambda p, _: spoil.resized(p, 64, 64), SILENT),
    Kind("name and date burned in", spoil.lettered, SILENT),
    Kind("tilted by 5°", lambda p, r: spoil.tilted(p, 5 * float(r.choice([-1, 1]))), SILENT),
    Kind("white border of 40 %", lambda p, r: spoil.framed(p, 0.4, 255, r), frozenset({"W-IMG-007"})),
    Kind("inverted", lambda p, _: 255 - p, frozenset({"W-IMG-004"})),
    Kind("turned by 180°", lambda p, _: np.rot90(p, 2), frozenset({"W-IMG-005"})),
    Kind("inverted, turned by 180°", lambda p, _: np.rot90(255 - p, 2), frozenset({"W-IMG-004", "W-IMG-005"})),
    Kind("turned by 90° or 270°", _quarter, frozenset({"W-IMG-020"})),
    Kind("inverted, turned by 90° or 270°", lambda p, r: _quarter(255 - p, r), frozenset({"W-IMG-020"})),
    Kind("tilted by 20°", lambda p, r: spoil.tilted(p, 20 * float(r.choice([-1, 1]))), frozenset({"W-IMG-023"})),
    Kind("heavy crop", spoil.heavy_crop, frozenset({"W-IMG-024"})),
    Kind("one lung only", spoil.one_lung, frozenset({"W-IMG-024"})),
    Kind("two films side by side", _two(stacked=False), frozenset({"W-IMG-021"})),
    Kind("two films, one above the other", _two(stacked=True), frozenset({"W-IMG-021"})),
    Kind("screenshot of a viewer", spoil.viewer, frozenset({"W-IMG-025"})),
    Kind("photo of a monitor", spoil.monitor, frozenset({"W-IMG-025"})),
    Kind("figure on a printed page", spoil.printed, frozenset({"W-IMG-025"})),
    Kind("under-exposed", _underexposed, frozenset({"W-IMG-028"})),
    Kind("over-exposed", _overexposed, frozenset({"W-IMG-007"})),
    Kind("low contrast", lambda p, _: spoil.toned(p, 1, 0.46, 0.54), frozenset({"W-IMG-008", "W-IMG-029"})),
    Kind("blurred", lambda p, _: spoil.blurred(p, 32), frozenset({"W-IMG-026"})),
    Kind("heavy noise", spoil.noisy, frozenset({"W-IMG-027"})),
)
"""A tint is left out: the gate sees brightness alone."""
