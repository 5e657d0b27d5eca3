"""Films of which a rounded pair of files says something else, and how near the unrounded pair was to saying it too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from export.compare.answers import Said
from export.compare.flips import Flips, flips
from xraygpt_edge.trust.observation import Observation

LeadOf: TypeAlias = Callable[[int, Sequence[int]], float]
"""Index of a film, and the token ids of another answer about it → as `answers.lead`."""


@dataclass(frozen=True, slots=True)
class Change:
    """One film of which another answer states something else."""

    film: int
    """Its place among the films that could be read, by path, from 1 on: a path may name a patient."""
    flips: Flips
    lead: float
    """As `answers.lead`: near 0 the whole of the other answer was as good as a tie for the unrounded pair."""


def changes(original: Sequence[Observation], found: Sequence[Said], lead_of: LeadOf) -> tuple[Change, ...]:
    """Every film that flips, in order."""
    return tuple(_changes(original, found, lead_of))


def _changes(original: Sequence[Observation], found: Sequence[Said], lead_of: LeadOf) -> Iterator[Change]:
    for index, (one, said) in enumerate(zip(original, found, strict=True)):
        flipped = flips(one.sentences, said.observation.sentences)
        if flipped.any:
            yield Change(index + 1, flipped, lead_of(index, said.observation.generation.token_ids))
