"""Films of which a rounded pair of files says something else, and how near a tie the unrounded pair was there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from export.compare.answers import Said
from export.compare.flips import Flips, flips
from xraygpt_edge.trust.observation import Observation


@dataclass(frozen=True, slots=True)
class Change:
    """One film of which another answer states something else."""

    film: int
    """Its place among the films that could be read, by path, from 1 on: a path may name a patient."""
    flips: Flips
    lead: float | None
    """As of `Said`: near 0 the unrounded pair's own choice was a tie."""


def changes(original: Sequence[Observation], found: Sequence[Said]) -> tuple[Change, ...]:
    """Every film that flips, in order."""
    return tuple(_changes(original, found))


def _changes(original: Sequence[Observation], found: Sequence[Said]) -> Iterator[Change]:
    for number, (one, said) in enumerate(zip(original, found, strict=True), 1):
        flipped = flips(one.sentences, said.observation.sentences)
        if flipped.any:
            yield Change(number, flipped, said.lead)
