"""The smallest part of a sentence that can be taken out so that the rest still stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeAlias

Part: TypeAlias = tuple[tuple[int, int], ...]
"""Places of a sentence that go together, (start, end) each, from left to right."""

_AUXILIARY = r"is|are|was|were|has|have|had|does|do|did|can|could|may|might|will|would|should|must|cannot"
FINITE = re.compile(
    rf"\b(?:{_AUXILIARY}|shows?|showed|demonstrates?|demonstrated|reveals?|revealed|appears?|appeared|seems?|ends?|"
    r"terminates?|projects?|lies|lie|overlies|extends?|suggests?|represents?|reflects?|indicates?|measures?|contains?|"
    r"obscures?|blunts|persists?|remains?|courses?|reaches|crosses|enters|exits|traverses|fills?|occupies|displaces?|"
    r"marks?|carries|holds|limits?|denotes?|raises|excludes?|discuss(?:es)?|confirms?|correlates?)\b",
    re.IGNORECASE,
)
"""A verb that a sentence can rest on."""
_LITTLE = (
    r"of|in|at|by|with|to|from|for|than|between|on|onto|into|near|above|below|within|over|under|since|until|per|via|"
    r"during|the|a|an|and|or|nor|but|dr|drs|mr|mrs|ms|no|not|without|is|are|was|were|be|been|has|have|had|may|might|can|"
    r"could|should|would|will|which|that|who|whose|where|when|as|if|because|while|likely|dated|measuring|measures?|"
    r"approximately|about|roughly|its|their|his|her|this|these|both|either|neither|very|more|less|most|least|"
    r"demonstrates?|shows?|reveals?|shown|representing|suggesting|suggests?|consistent|compatible|due|secondary|prior|"
    r"status|post|reflecting|concerning|including|containing|overlying|involving|obscuring|abutting|projects?|projecting"
)
"""Words that want another one behind them."""
_BROKEN = re.compile(
    rf"\b(?:{_LITTLE})\s*(?:[,.;:)!?]|$)"
    r"|\b(?:the|a|an|its|their|no)\s+(?:of|in|on|at|is|are|was|were|and|or|to|with|by|for|from|has|have|which|that|may)\b"
    r"|\b(?:of|from|by|at|since|than|between|into|via)\s+(?:of|from|by|with|to|at|and|or|is|are|was|were|which|,)\b"
    r"|\b(?:is|are|was|were)\s+\w+ly\s*[.,;]|[,;:]\s*[,;:.]|\(\s*\)|^\s*[,;:.)]"
    r"|^\s*(?:and|but|or|nor|which|that|who|is|are|was|were|has|have|of|by|than|to\s+be|be|been|also|however|"
    r"although|because|whereas|if)\b",
    re.IGNORECASE,
)
_CUT_OFF = re.compile(
    rf"\b(?:{_LITTLE})\s*[,;:(/-]?\s*$|\b(?:of|in|at|by|with|to|from|for|the|a|an|and|or|is|are|was|were|which)\s*\.\s*$",
    re.IGNORECASE,
)
LONGEST_WORD = 24
_FIRST_TO_BE = re.compile(
    r"^(?:(?!\b(?:is|are|was|were|appears?|seems?|thought|felt|likely|believed|known)\b).)*\bto\s+be\b"
)
_SUBORDINATE = (
    r"as|which|who|whose|where|when|while|although|though|whereas|since|because|if|given|per|by|with|on|at|in|from|dated|"
    r"discussed|reported|communicated|relayed|conveyed|telephoned|called|paged|measured|measuring|seen|performed|obtained|"
    r"acquired|taken|noted|described|visuali[sz]ed|demonstrated|placed|inserted|consistent|compatible|representing|"
    r"reflecting|suggesting|suggestive|compared|similar|including|likely|possibly|probably|presumably|best|better|"
    r"well|only|previously|following|after|before|prior|due|secondary|related|according|allowing|accounting|considering|"
    r"despite|under|until|through|via|for|of|\w+ing"
)
_OPENS = re.compile(rf"\s*(?:{_SUBORDINATE})\b", re.IGNORECASE)
_WITHIN = re.compile(
    r"\s+(?:,\s*)?(?:which\b|who\b|as\s+(?:discussed|reported|communicated|described|noted|seen|stated|per|relayed|"
    r"conveyed|requested|told|above|agreed|called|dictated)\b|that\s+(?:was|were|is|are|has|had)\b|per\s|according\s+to\b|"
    r"consistent\s+with\b|compatible\s+with\b|suggest(?:ing|ive\s+of)\b|representing\b|reflecting\b|"
    r"(?:which\s+(?:was|were)\s+)?(?:discussed|communicated|reported|relayed|conveyed|telephoned|confirmed)\s+(?:with|to|by|at|on|in)\b|"
    r"(?:dated|obtained|performed|acquired|taken|placed|inserted|measuring|labell?ed|implanted|read|reviewed)\b|"
    r"at\s+the\s+(?:time|request)\b|because\b|although\b|though\b|while\b|whereas\b|due\s+to\b|secondary\s+to\b)",
    re.IGNORECASE,
)
_JOINT = re.compile(
    r";\s*|,?\s+(?:and|but|however|while|whereas|although|though|so|yet)\s+(?=\S)|\s+[-\u2013\u2014]+\s+|:\s+",
    re.IGNORECASE,
)
_COMMA = re.compile(r"(?<!\d),|,(?!\d)")


def smallest(text: str, start: int, end: int, phrases: Iterable[Part] = ()) -> Part:
    """The first part that holds text[start:end] and without which the sentence stands; the whole one where none is.

    phrases: parts to be tried first, the smallest first.
    """
    for part in chain(phrases, ((clause,) for clause in _clauses(text, start, end))):
        if any(first <= start and end <= last for first, last in part) and stands(without(text, part), text):
            return part
    return ((0, len(text)),)


def without(text: str, part: Part) -> str:
    """The sentence with blanks where a part of it was: places stay what they are."""
    for first, last in part:
        text = text[:first] + " " * (last - first) + text[last:]
    return text


def stands(rest: str, whole: str) -> bool:
    """Whether what is left of a sentence is one, as reports have them: "No effusion." is, "Effusion of." is not."""
    rest = " ".join(rest.split())
    words = re.findall(r"[A-Za-z]{2,}", rest)
    if not words or (len(words) < 2 and len(whole.split()) > 2) or _BROKEN.search(rest.rstrip(" .!?") + "."):
        return False
    if rest.count("(") != rest.count(")") or _FIRST_TO_BE.search(rest.lower()):
        return False
    return bool(FINITE.search(rest)) or not FINITE.search(whole) or _is_phrase(rest)


def is_cut_off(text: str) -> bool:
    """Whether a report ends within this sentence: "The line terminates in"."""
    return _CUT_OFF.search(text[-LONGEST_WORD:]) is not None


def _is_phrase(rest: str) -> bool:
    """A finding named without a verb: "No focal consolidation"."""
    return re.match(
        r"(?:there|it|this|that|he|she|patient|findings?|results?|dr|the)\b", rest, re.IGNORECASE
    ) is None and bool(re.match(r"[A-Za-z]", rest))


def _clauses(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Parts that hold text[start:end], from small to large."""
    stop = len(text.rstrip(" .!?"))
    yield from _parenthesis(text, start, end)
    yield from _between_commas(text, start, end, stop)
    yield from _subordinate(text, start, stop)
    yield from _joined(text, start, end, stop)


def _parenthesis(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    first, last = text.rfind("(", 0, start + 1), text.find(")", end - 1)
    if first >= 0 and last >= 0 and ")" not in text[first:start] and "(" not in text[end:last]:
        yield len(text[:first].rstrip()), last + 1


def _between_commas(text: str, start: int, end: int, stop: int) -> Iterator[tuple[int, int]]:
    commas = [m.start() for m in _COMMA.finditer(text, 0, stop)]
    before = max((c for c in commas if c < start), default=-1)
    behind = min((c for c in commas if c >= end), default=stop)
    if not _OPENS.match(text, before + 1):
        return
    if before < 0 and behind < stop:
        yield 0, behind + 1
    elif before >= 0 and behind < stop:
        yield before, behind + 1
        yield before, stop
    elif before >= 0:
        yield before, stop


def _subordinate(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    openings = [m.start() for m in _WITHIN.finditer(text, 0, stop) if m.end() <= start + 1 or m.start() < start]
    comma = _COMMA.search(text, start, stop)
    for first in reversed(openings):
        if comma:
            yield first, comma.start()
        yield first, stop


def _joined(text: str, start: int, end: int, stop: int) -> Iterator[tuple[int, int]]:
    """One of two statements of a sentence: the second must have a verb of its own."""
    joints = list(_JOINT.finditer(text, 0, stop))
    before = [m for m in joints if m.end() <= start and FINITE.search(text, m.end())]
    behind = [m for m in joints if m.start() >= end and FINITE.search(text, m.end(), stop)]
    for joint in reversed(before):
        yield joint.start(), behind[0].start() if behind else stop
        yield joint.start(), stop
    for joint in behind:
        yield 0, joint.end()
