"""Sentences into statements about findings, by rules alone; never raises, whatever the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xraygpt_edge.findings import Finding, places
from xraygpt_edge.records import Polarity
from xraygpt_edge.trust.mentions import Mention, mentions
from xraygpt_edge.trust.polarity import polarity_of
from xraygpt_edge.trust.sentences import Span, clause_spans, sentence_spans


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement about one finding."""

    finding: str
    """A name of the table of findings."""
    sides: tuple[str, ...]
    """Sides that are named; empty where none is, or where a side means nothing."""
    zone: str
    """The zone that is named, of those that the table tells apart; else empty."""
    polarity: Polarity


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a text, and what it states."""

    text: str
    start: int
    """Of its first character in the whole text."""
    end: int
    """Behind its last."""
    token_range: tuple[int, int] | None = None
    """The first token that wrote it, and the one behind the last; None where that is not known."""
    claims: tuple[Claim, ...] = ()
    flags: tuple[str, ...] = ()
    """`W-TXT-` ids of the catalogue."""
    is_seen: bool = True
    """False below a heading such as INDICATION or COMPARISON: it says nothing of the film."""


def claims(text: str, findings: Sequence[Finding]) -> tuple[Sentence, ...]:
    """The sentences of a report or an answer with what each states; together they hold every character but white space.

    What stands below a heading such as INDICATION or COMPARISON was not seen in the film, and so states nothing.
    """
    table = tuple(findings)
    return tuple(
        Sentence(
            text[span.start : span.end], span.start, span.end, claims=_claims(text, span, table), is_seen=span.is_seen
        )
        for span in sentence_spans(text)
    )


def places_said(sentences: Iterable[Sentence], findings: Sequence[Finding], polarity: Polarity) -> frozenset[str]:
    """Names of the places, as `findings.places` gives them, of which the sentences say so.

    A finding that is told apart by side or zone counts only where they are named.
    """
    said = [claim for sentence in sentences for claim in sentence.claims if claim.polarity == polarity]
    return frozenset(
        place.name
        for place in places(findings)
        for claim in said
        if claim.finding == place.finding
        and (not place.side or place.side in claim.sides)
        and place.zone in ("", claim.zone)
    )


def _claims(text: str, span: Span, table: tuple[Finding, ...]) -> tuple[Claim, ...]:
    if not span.is_seen:
        return ()
    found: dict[Claim, None] = {}
    for start, end in clause_spans(text, span):
        clause = text[start:end]
        for mention in mentions(clause, table):
            polarity = polarity_of(clause, mention)
            if polarity:
                found.update(dict.fromkeys(_placed(mention, polarity)))
    return tuple(found)


def _placed(mention: Mention, polarity: Polarity) -> Iterable[Claim]:
    zones = mention.zones or ("",)
    return (Claim(mention.finding.name, mention.sides, zone, polarity) for zone in zones)
