"""Marks that de-identification left ("___", "XXXX", "[**Name**]"), and the parts of a sentence that go with them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xraygpt_edge.summarize.clauses import Part, smallest

MARK = re.compile(
    r"_{2,}|\[\*\*[^\n\]]{0,80}\*\*\]|\bX{3,}\b|\bX{4,}|\[(?:redacted|removed|name|date|time|hospital|location|phone|doctor|mrn|"
    r"id|age|deidentified|de-identified|phi)\]|<(?:redacted|removed|name|date|time|phi|unk)>|"
    r"\b(?:REDACTED|DEIDENTIFIED)\b|\{\{[^\n}]{0,40}\}\}|\*{4,}",
    re.IGNORECASE,
)
_M = f"(?:{MARK.pattern})"
_TITLE = r"(?:(?:drs?|mr|mrs|ms|prof|doctor|nurse|resident|physician|attending|radiologist)\b\.?\s*)"
_TIME = (
    r"(?:\d{1,2}:\d{2}(?:\s*[ap]\.?\s?m\b\.?)?|\d{3,4}(?:\s*(?:hours|hrs|h))?|\d{1,2}\s*[ap]\.?\s?m\b\.?|hours|today|"
    r"noon|midnight)"
)
_CLUSTER = re.compile(
    rf"(?:{_TITLE})?[\w.]*-?{_M}(?:'s)?(?:(?:\s*[,/&:-]\s*|\s+)?(?:{_TITLE}?{_M}(?:'s)?|{_TIME}|(?:at|on|and|of|through|to|by)\s+"
    rf"(?:the\s+)?(?:{_TITLE}?{_M}|{_TIME})|m\.?d\b\.?|r\.?n\b\.?|n\.?p\b\.?|p\.?a\b\.?|"
    r"(?:by|via|over|on)\s+(?:the\s+)?(?:tele)?(?:phone|pager|page|text|email)|"
    r"hospital|medical\s+cent(?:er|re)|clinic|university))*",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"\s*(?:x\s*)?(?:cm|mm|millimet\w+|centimet\w+|inch(?:es)?|%|percent|degrees?|cc|ml)\b", re.IGNORECASE
)
_AGE = re.compile(r"[\s-]*(?:years?|yrs?|yo|y/o|months?|weeks?|days?)(?:[\s-]+old)?\b", re.IGNORECASE)
_ROUGHLY = re.compile(
    r"\b(?:approximately|approx\.?|about|roughly|nearly|around|up to|at least|some)\s+$", re.IGNORECASE
)
_WHEN = re.compile(
    r"\s*,?\s*\b(?:on|at|by|dated|from|since|per|during|of|through|via)\s+(?:the\s+|our\s+|your\s+)?$", re.IGNORECASE
)
_WANTS_MORE = re.compile(
    r"\b(?:consistent|compatible|compared|comparison|similar|due|secondary|relative|related|prior|terminat\w+|ends?|ending|"
    r"locat\w+|situat\w+|position\w*|seated|projects?|projecting|lies|lying|measur\w+|is|are|was|were|be|been|because|tip|"
    r"confirmed|verified|recommended|requested|suggested|reviewed|level|lead|distal|proximal|history|placement|fracture|level)\s*,?\s*$",
    re.IGNORECASE,
)
_PLACED = re.compile(
    r",?\s*\b(?:placed|inserted|dated|obtained|performed|implanted|seen|acquired|taken|done|described|noted|removed|read|"
    r"resected|repaired|operated)\s*$",
    re.IGNORECASE,
)
_BE = re.compile(r"\b(?:is|are|was|were|be|been)(?:\s+\w+ly)?\s*$", re.IGNORECASE)
_DATED = re.compile(
    r"\b(?:radiographs?|stud(?:y|ies)|films?|exams?|examinations?|ct|mri|scan|x-?rays?|surgery|procedure)\s*$",
    re.IGNORECASE,
)
_MEASURING = re.compile(r",?\s*\b(?:measuring|numbered|labell?ed|named|called)\s+(?:up\s+to\s+)?$", re.IGNORECASE)
_IN_SIZE = re.compile(r"\s+in\s+(?:size|diameter|length|width|thickness|depth|greatest\s+\w+)\b", re.IGNORECASE)
_COMMA = re.compile(r"\s*,")
_BEFORE_NOUN = re.compile(
    r"(?:^|\b(?:a|an|the|this|that|these|those|his|her|its|their|one|two|three|single|multiple|several|small|large|mild|"
    r"moderate|severe|minimal|tiny|right|left|bilateral|old|chronic|there\s+(?:is|are)|with|patchy|linear|dense|"
    r"left-sided|right-sided|right\s+sided|left\s+sided|dual[- ]lead|single[- ]lead|known))\s*$",
    re.IGNORECASE,
)
_NOUN = re.compile(
    r"\s+(?!(?:is|are|was|were|has|have|had|and|or|in|on|at|of|to|by|with|from|for|the|a|an|that|which|may|can|could|should|"
    r"shows?|demonstrates?|ends?|terminates?|projects?|lies|appears?|who|as|per|via|since|than|also|not|now|then)\b)[A-Za-z]{3,}",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:no|not|without|nor|neither|never|negative|free|absence)\b[^;]*$", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)


def mark_removed(text: str, start: int) -> Part:
    """What to take out of a sentence because of the mark at or behind a place: parts, from left to right.

    A mark before a noun ("a ___ catheter") goes alone, since less is said then; in a denial more would be denied,
    and the whole clause goes.
    """
    first, last = _cluster(text, start)
    return _before_noun(text, first, last) or smallest(text, first, last, _phrases(text, first, last))


def _cluster(text: str, start: int) -> tuple[int, int]:
    """The mark with its title, and the marks and hours that go with it."""
    mark = MARK.search(text, start)
    if mark is None:
        raise ValueError("a sentence without a mark")
    found = next((m for m in _CLUSTER.finditer(text) if m.start() <= mark.start() < m.end()), mark)
    first, last = found.span()
    unit = _UNIT.match(text, last)
    if unit:
        roughly = _ROUGHLY.search(text, 0, first)
        first, last = roughly.start() if roughly else first, unit.end()
    return first, last


def _before_noun(text: str, first: int, last: int) -> Part:
    age = _AGE.match(text, last)
    last = age.end() if age else last
    before = text[:first]
    if not _BEFORE_NOUN.search(before) or not _NOUN.match(text, last) or _DENIED.search(before):
        return ()
    article = _ARTICLE.search(before)
    noun = text[last:].lstrip()
    if article and article[1].lower() == "a" and noun[:1].lower() in "aeiou":
        return ((article.start(1), last),)
    if article and article[1].lower() == "an" and noun[:1].lower() not in "aeiou":
        return ((article.start(1) + 1, article.start(1) + 2), (first, last))
    return ((first, last),)


def _phrases(text: str, first: int, last: int) -> Iterator[Part]:
    """Parts that a sentence does without: "on ___ at 5:30", ", ___,", "measuring ___ mm"."""
    when = _WHEN.search(text, 0, first)
    if when and (placed := _PLACED.search(text, 0, when.start())) and not _BE.search(text, 0, placed.start()):
        comma = _COMMA.match(text, last) if placed[0].startswith(",") else None
        yield ((placed.start(), comma.end() if comma else last),)
    if when and not _WANTS_MORE.search(text, 0, when.start()):
        is_of = when[0].strip(" ,").lower().startswith(("of", "through", "via", "from"))
        if not is_of or _DATED.search(text, 0, when.start()):
            yield ((when.start(), last),)
    entry = re.compile(r",\s*$").search(text, 0, first)
    if entry and re.match(r"\s*(?:,|and\b|or\b)", text[last:]):
        of_two = re.match(r"\s*,(?=\s*(?:and|or)\b)", text[last:]) if "," not in text[: entry.start()] else None
        yield ((entry.start(), last + (of_two.end() if of_two else 0)),)
    measuring = _MEASURING.search(text, 0, first)
    if measuring:
        behind = _IN_SIZE.match(text, last)
        stop = behind.end() if behind else last
        comma = _COMMA.match(text, stop) if measuring[0].startswith(",") else None
        yield ((measuring.start(), comma.end() if comma else stop),)
    if _UNIT.search(text, first, last) and re.search(
        r"\b(?:ends?|terminates?|lies|is|located|positioned|seen|projects?)\s*$", text[:first]
    ):
        yield ((first, last),)
