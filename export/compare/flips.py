"""What two answers about one film state differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from xraygpt_edge.records import Polarity
from xraygpt_edge.trust import Sentence

Stated: TypeAlias = tuple[str, str, str]
"""Finding, side, zone; empty where none is named."""


@dataclass(frozen=True, slots=True)
class Flips:
    """Differences that change what a reader learns."""

    finding: bool
    """One states a finding, at this place, that the other does not state, nor on another side."""
    side: bool
    """Both state a finding, each on a side that the other leaves out."""
    negation: bool
    """One states a finding that the other denies at the same place."""

    @property
    def any(self) -> bool:
        """Any of them."""
        return self.finding or self.side or self.negation


def flips(one: Sequence[Sentence], other: Sequence[Sentence]) -> Flips:
    """Compare two answers, as sentences with their claims."""
    here, there = set(_stated(one, "present")), set(_stated(other, "present"))
    only_here, only_there = here - there, there - here
    moved = _moved(only_here, only_there)
    return Flips(
        finding=any(finding not in moved for finding, _, _ in only_here | only_there),
        side=bool(moved),
        negation=_contradicts(only_here, _stated(other, "absent")) or _contradicts(only_there, _stated(one, "absent")),
    )


def _stated(sentences: Sequence[Sentence], polarity: Polarity) -> Iterator[Stated]:
    for claim in (claim for sentence in sentences for claim in sentence.claims if claim.polarity == polarity):
        yield from ((claim.finding, side, claim.zone) for side in claim.sides or ("",))


def _moved(only_here: set[Stated], only_there: set[Stated]) -> set[str]:
    """Findings that are stated on another side."""
    sides = [{(finding, side) for finding, side, _ in stated if side} for stated in (only_here, only_there)]
    return {finding for finding, _ in sides[0] - sides[1]} & {finding for finding, _ in sides[1] - sides[0]}


def _contradicts(stated: set[Stated], denied: Iterator[Stated]) -> bool:
    """What is denied without a side or a zone is denied everywhere."""
    return any(
        no[0] == yes[0] and all(not n or not y or n == y for n, y in zip(no[1:], yes[1:], strict=True))
        for no in denied
        for yes in stated
    )
