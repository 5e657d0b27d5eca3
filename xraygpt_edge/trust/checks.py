"""Rules about the words of an answer that need no model: they mark sentences, and never change one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from xraygpt_edge.findings import Finding
from xraygpt_edge.records import FinishReason, Source
from xraygpt_edge.trust.claims import Claim, Sentence
from xraygpt_edge.trust.comparison import compares

LATERAL, NOT_TURNED, ONE_SIDE = "W-DCM-007", "W-DCM-014", "W-DCM-031"


@dataclass(frozen=True, slots=True)
class Film:
    """What is known of the radiograph beside its pixels: facts, never the value of a tag."""

    is_lateral: bool = False
    """It is no frontal view."""
    n_images: int = 1
    """How many radiographs the model was given."""
    has_earlier: bool = False
    """One of them is an earlier one, so that the model may compare."""
    sides_are_doubtful: bool = False
    """The file says that it shows one side only, or that its rows do not run to the patient's left."""


def film_of(source: Source, n_images: int = 1, *, has_earlier: bool = False) -> Film:
    """What the warnings about a file say of it; n_images, has_earlier: what the model was given in all."""
    warned = {warning.id for warning in source.warnings}
    return Film(LATERAL in warned, n_images, has_earlier, bool(warned & {NOT_TURNED, ONE_SIDE}))


@dataclass(frozen=True, slots=True)
class Checked:
    """What the rules look at."""

    sentences: Sequence[Sentence]
    findings: Sequence[Finding]
    film: Film
    finish_reason: FinishReason


def check(
    sentences: Sequence[Sentence],
    findings: Sequence[Finding],
    film: Film | None = None,
    finish_reason: FinishReason = "stop",
) -> tuple[Sentence, ...]:
    """The same sentences, each with the `W-TXT-` ids of the rules that mark it.

    findings: the table that the sentences' claims were made with. film: what is not known is taken as usual.
    """
    checked = Checked(sentences, findings, film or Film(), finish_reason)
    marked = {name: set(rule(checked)) for name, rule in RULES.items()}
    return tuple(
        replace(sentence, flags=tuple(name for name in RULES if number in marked[name]))
        for number, sentence in enumerate(sentences)
    )


_LATERAL = re.compile(
    r"\blateral\s+(?:and\s+frontal\s+)?(?:views?|radiographs?|films?|projections?|images?|x-?rays?)\b|"
    r"\bon\s+(?:the\s+)?lateral\b(?!\s+(?:aspect|side|chest|border|wall|ribs?|left|right|portion|margin|part))|"
    r"\b(?:pa|ap|frontal)\s+(?:and|&)\s+lateral\b|\bdecubitus\b",
    re.IGNORECASE,
)
_SEVERAL = re.compile(
    r"\b(?:two|2|both|three|multiple|all)\s+(?:views|projections|images|films|radiographs)\b|"
    r"\b(?:second|other|additional)\s+(?:views?|images?|films?|projections?)\b",
    re.IGNORECASE,
)
_FRONTAL = re.compile(r"\b(?:frontal|pa|ap)\s+(?:view|radiograph|film|projection|image|x-?ray)\b", re.IGNORECASE)
_ADVICE = re.compile(
    r"\b(?:recommend\w*|advis\w+|suggested|consider|would|could\s+be|should|may\s+be\s+helpful)\b", re.IGNORECASE
)
_LENGTH = re.compile(
    r"\b\d+(?:[.,]\d+)?[\s-]*(?:mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?|inch(?:es)?)\b", re.IGNORECASE
)
_ENDED = re.compile(r"[.!?][\"')\]]*$")


def _comparisons(checked: Checked) -> Iterator[int]:
    if not checked.film.has_earlier:
        for number, sentence in enumerate(checked.sentences):
            if sentence.is_seen and compares(sentence.text):
                yield number


def _contradictions(checked: Checked) -> Iterator[int]:
    return _against_each_other(checked, {finding.name for finding in checked.findings if not finding.is_device})


def _devices(checked: Checked) -> Iterator[int]:
    return _against_each_other(checked, {finding.name for finding in checked.findings if finding.is_device})


def _against_each_other(checked: Checked, names: set[str]) -> Iterator[int]:
    """Sentences of which one states what another denies."""
    claims = [
        (number, claim)
        for number, sentence in enumerate(checked.sentences)
        for claim in sentence.claims
        if claim.finding in names
    ]
    for (first, denied), (second, stated) in permutations(claims, 2):
        if first != second and _denies(denied, stated):
            yield from (first, second)


def _denies(denied: Claim, stated: Claim) -> bool:
    """A denial without a side or a zone is one of every place; what is thought possible is denied as well."""
    return (
        denied.finding == stated.finding
        and denied.polarity == "absent" != stated.polarity
        and (not denied.sides or bool(set(denied.sides) & set(stated.sides)))
        and denied.zone in ("", stated.zone)
    )


def _views(checked: Checked) -> Iterator[int]:
    film = checked.film
    strange = [] if film.is_lateral or film.n_images > 1 else [_LATERAL]
    strange += [_SEVERAL] if film.n_images == 1 else []
    strange += [_FRONTAL] if film.is_lateral and film.n_images == 1 else []
    for number, sentence in enumerate(checked.sentences):
        if any(words.search(sentence.text) for words in strange) and not _ADVICE.search(sentence.text):
            yield number


def _sides(checked: Checked) -> Iterator[int]:
    for number, sentence in enumerate(checked.sentences):
        if checked.film.sides_are_doubtful and any(claim.sides for claim in sentence.claims):
            yield number


def _measurements(checked: Checked) -> Iterator[int]:
    return (number for number, sentence in enumerate(checked.sentences) if _LENGTH.search(sentence.text))


def _broken_off(checked: Checked) -> Iterator[int]:
    said: set[str] = set()
    for number, sentence in enumerate(checked.sentences):
        words = " ".join(re.findall(r"\w+", sentence.text.casefold()))
        if words.count(" ") >= 2 and words in said:
            yield number
        said.add(words)
    if checked.sentences and checked.finish_reason == "length" and not _ENDED.search(checked.sentences[-1].text):
        yield len(checked.sentences) - 1


RULES: dict[str, Callable[[Checked], Iterator[int]]] = {
    "W-TXT-001": _comparisons,
    "W-TXT-002": _contradictions,
    "W-TXT-003": _views,
    "W-TXT-004": _sides,
    "W-TXT-005": _devices,
    "W-TXT-006": _measurements,
    "W-TXT-007": _broken_off,
}
"""Id of the catalogue → the numbers of the sentences that it marks."""
