"""A report into a clean text by rules alone: what is left out, and what is taken out of the rest, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from xraygpt_edge.findings import CHEXPERT
from xraygpt_edge.summarize.clauses import Part, is_cut_off, smallest, without
from xraygpt_edge.summarize.headings import Kind
from xraygpt_edge.summarize.marks import MARK, mark_removed
from xraygpt_edge.summarize.sections import Section, sections
from xraygpt_edge.summarize.sentences import Sentence, sentences
from xraygpt_edge.summarize.told import CORRECTS, told
from xraygpt_edge.summarize.views import next_view, view_removed
from xraygpt_edge.trust import check, claims
from xraygpt_edge.trust.comparison import compares

FINDINGS_LEAST_WORDS, IMPRESSION_LEAST_WORDS = 10, 2
"""Of the published recipe."""
Rule: TypeAlias = Literal[
    "list number", "no words", "too long", "told to whom", "comparison", "view", "mark", "unfinished", "repeated"
]
LONGEST_SENTENCE = 2_000
"""Characters; what is longer is no sentence of a report."""
Reason: TypeAlias = Literal[
    "no findings section",
    "no impression section",
    "findings under 10 words",
    "impression under 2 words",
    "an addendum contradicts the report",
    "nothing is left",
]
_USED: tuple[tuple[Kind, ...], ...] = (("findings", "findings and impression"), ("impression",), ("addendum",))
"""The kinds of section that make the text, in its order."""
_SPACE = re.compile(r"\s")
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_SAYS_NOTHING = frozenset(
    (
        *("there", "is", "are", "was", "were", "be", "been", "a", "an", "the", "of", "this", "it", "that", "again"),
        *(
            "seen",
            "noted",
            "present",
            "identified",
            "evidence",
            "demonstrated",
            "visualized",
            "visualised",
            "appreciated",
        ),
    )
)
"""Words without which two sentences are the same."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A piece of the report that is not in the text; places are characters of the report."""

    start: int
    end: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What the rules made of a report."""

    sections: tuple[Section, ...]
    text: str = ""
    """One paragraph; empty where the report is left out."""
    removed: tuple[Removed, ...] = ()
    """From left to right, of the sections that are used."""
    reason: Reason | None = None
    """Why it is left out."""


def clean(report: str) -> Cleaned:
    """The clean text of a report, or why there is none; never raises, whatever the text."""
    found = sections(report)
    reason = _left_out(report, found)
    if reason:
        return Cleaned(found, reason=reason)
    kept, removed = _kept(report, found)
    text = " ".join(kept)
    places = tuple(sorted(removed, key=lambda piece: (piece.start, piece.end)))
    return Cleaned(found, text, places, None if text else "nothing is left")


def _left_out(report: str, found: Sequence[Section]) -> Reason | None:
    """The filter of the published recipe; a section of both kinds counts as each of them."""
    both = _words(report, found, "findings and impression")
    findings, impression = (_words(report, found, kind) + both for kind in ("findings", "impression"))
    if not findings:
        return "no findings section"
    if not impression:
        return "no impression section"
    if findings < FINDINGS_LEAST_WORDS:
        return "findings under 10 words"
    if impression < IMPRESSION_LEAST_WORDS:
        return "impression under 2 words"
    return "an addendum contradicts the report" if _is_contradicted(report, found) else None


def _words(report: str, found: Sequence[Section], kind: Kind) -> int:
    return sum(
        sum(any(map(str.isalnum, word)) for word in report[s.start : s.end].split()) for s in found if s.kind == kind
    )


def _is_contradicted(report: str, found: Sequence[Section]) -> bool:
    """An addendum corrects the report, or states what it denies, or denies it: which is right, no rule knows."""
    added = " ".join(report[s.start : s.end] for s in found if s.kind == "addendum")
    if not added:
        return False
    if CORRECTS.search(added):
        return True
    added = f"FINDINGS: {added}"
    if not any(sentence.claims for sentence in claims(added, CHEXPERT)):
        return False
    before = " ".join(report[s.start : s.end] for kinds in _USED[:2] for s in found if s.kind in kinds)
    marked = check(claims(f"{before}\n\n{added}", CHEXPERT), CHEXPERT)
    return any("W-TXT-002" in sentence.flags and sentence.start > len(before) for sentence in marked)


def _kept(report: str, found: Sequence[Section]) -> tuple[list[str], list[Removed]]:
    """Sentences of the text, and what was taken out."""
    kept: dict[tuple[str, ...], str] = {}
    removed: list[Removed] = []
    for section in (s for kinds in _USED for s in found if s.kind in kinds):
        for sentence in sentences(report, section.start, section.end):
            text, pieces = cleaned_sentence(report, sentence)
            said = _said(text)
            if text and said in kept:
                text, pieces = "", [Removed(sentence.start, sentence.end, "repeated")]
            if text:
                kept[said] = text
            removed += pieces
    return list(kept.values()), removed


def cleaned_sentence(report: str, sentence: Sentence) -> tuple[str, list[Removed]]:
    """What is left of one sentence, empty where nothing is, and what was taken out of it."""
    judged = _judged(_SPACE.sub(" ", report[sentence.words : sentence.end]))
    if judged.whole:
        return "", [Removed(sentence.start, sentence.end, judged.whole)]
    pieces = [
        Removed(sentence.words + first, sentence.words + last, rule)
        for rule, part in judged.parts
        for first, last in part
    ]
    if sentence.start < sentence.words:
        pieces.append(Removed(sentence.start, sentence.words, "list number"))
    return judged.text, pieces


@dataclass(frozen=True, slots=True)
class _Judged:
    """What becomes of the words of a sentence, wherever it stands."""

    text: str = ""
    parts: tuple[tuple[Rule, Part], ...] = ()
    whole: Rule | None = None
    """The rule by which all of it goes."""


@lru_cache(maxsize=16_384)
def _judged(text: str) -> _Judged:
    """Kept, because radiologists repeat themselves: most sentences of a hospital's reports were there before."""
    whole = _whole_rule(text)
    if whole:
        return _Judged(whole=whole)
    parts: list[tuple[Rule, Part]] = []
    for rule, part in _parts(text):
        text = without(text, part)
        parts.append((rule, part))
        if not any(map(str.isalpha, text)):
            return _Judged(whole=rule)
    return _Judged(whole="unfinished") if is_cut_off(text) and not parts else _Judged(_tidy(text), tuple(parts))


def _whole_rule(text: str) -> Rule | None:
    """The rule by which a whole sentence goes."""
    if len(text) > LONGEST_SENTENCE:
        return "too long"
    if not re.search(r"[A-Za-z]{2}", MARK.sub(" ", text)):
        return "no words"
    return "comparison" if compares(text) else None


def _parts(text: str) -> Iterator[tuple[Rule, Part]]:
    """Parts to take out, one after another, until nothing is left to object to."""
    while found := _next_part(text):
        rule, part = found
        text = without(text, part)
        yield rule, part


def _next_part(text: str) -> tuple[Rule, Part] | None:
    if place := told(text):
        return "told to whom", smallest(text, *place)
    if place := next_view(text):
        return "view", view_removed(text, *place)
    if mark := MARK.search(text):
        return "mark", mark_removed(text, mark.start())
    return None


def _said(text: str) -> tuple[str, ...]:
    """The words that make two sentences the same: their order is kept, for it decides what lies on which side."""
    return tuple(word for word in _WORD.findall(text.casefold()) if word not in _SAYS_NOTHING)


def _tidy(text: str) -> str:
    """One line that begins with a capital and ends with a full stop."""
    text = re.sub(r"\s+([,.;:)!?])", r"\1", re.sub(r"\(\s+", "(", " ".join(text.split())))
    text = re.sub(r"\.{2,}$", ".", re.sub(r"[\s,;:]+([.!?]*)$", r"\1", text).lstrip(" ,;:.)-"))
    ended = text if re.search(r"[.!?][\"')\]]*$", text) else f"{text}."
    return ended[:1].upper() + ended[1:]
