"""How far to trust the answers of a batch, as reports show it; only what the records say, the model never runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xraygpt_edge.ledger import Answered
from xraygpt_edge.records import Answer, FindingTrust, Trust
from xraygpt_edge.reports.rows import Radiograph
from xraygpt_edge.trust import words

NOBODY_KNOWS = -1.0
"""Score of the weakest sentence where the model's figures do not hold: such a radiograph is read first."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an answer's text; all pieces together are the text."""

    text: str
    mark: words.Mark | None = None
    """Before a sentence; None for what stands between two."""


def parts(answer: Answered | Answer) -> Iterator[Part]:
    """The answer's text with a mark before each sentence, as far as the record tells where sentences are."""
    end = 0
    for sentence in answer.trust.sentences if answer.trust else ():
        if end <= sentence.start < sentence.end <= len(answer.text):
            yield Part(answer.text[end : sentence.start])
            yield Part(answer.text[sentence.start : sentence.end], words.mark_of(sentence))
            end = sentence.end
    yield Part(answer.text[end:])


def panel(trust: Trust) -> list[FindingTrust]:
    """What the panel says, the likeliest first."""
    return sorted(trust.findings, key=_likelihood, reverse=True)


def band(finding: FindingTrust) -> str:
    """Probabilities between which there is no verdict."""
    return f"{finding.doubt[0]:.2f} to {finding.doubt[1]:.2f}" if finding.doubt else ""


def film(radiograph: Radiograph) -> Literal["like", "unlike", ""]:
    """Whether it is like the reference films; nothing where no record says so."""
    known = [answer.trust.film.like for answer in radiograph.answers if answer.trust and answer.trust.film]
    return ("like" if all(known) else "unlike") if known else ""


def read_first(radiographs: Sequence[Radiograph]) -> Mapping[Path, int]:
    """Place of each radiograph in the order in which a person should read them; empty where nothing is known of trust.

    The sum of two ranks decides: of the weakest sentence, and of the strongest finding that the text does not state.
    """
    if not any(answer.trust for each in radiographs for answer in each.answers):
        return {}
    weakest = [_weakest(each) for each in radiographs]
    strongest = [max((_likelihood(f) for f in _unstated(each)), default=float("-inf")) for each in radiographs]
    of_weakest = {value: place for place, value in enumerate(sorted(set(weakest)))}
    of_strongest = {value: place for place, value in enumerate(sorted(set(strongest), reverse=True))}
    known = [value == NOBODY_KNOWS for value in weakest]
    rank = [of_weakest[one] + of_strongest[other] for one, other in zip(weakest, strongest, strict=True)]
    order = sorted(range(len(radiographs)), key=lambda k: (not known[k], rank[k], k))
    return {radiographs[k].first.file: place for place, k in enumerate(order)}


def _weakest(radiograph: Radiograph) -> float:
    if film(radiograph) == "unlike" or any(answer.trust and answer.trust.failed for answer in radiograph.answers):
        return NOBODY_KNOWS
    trusts = [answer.trust for answer in radiograph.answers if answer.trust]
    return min((s.score for trust in trusts for s in trust.sentences if s.score is not None), default=1.0)


def _unstated(radiograph: Radiograph) -> Iterator[FindingTrust]:
    for answer in radiograph.answers:
        yield from (finding for finding in answer.trust.findings if finding.said != "present") if answer.trust else ()


def _likelihood(finding: FindingTrust) -> float:
    """Probability, or without labels the log-odds: either puts findings in order."""
    return finding.log_odds if finding.p is None else finding.p
