"""A report's text into spans: sentences, and the parts of a sentence in which a negation reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

NOT_SEEN = (
    r"(?:clinical |patient |medical |past |relevant |brief )*(?:indications?|history|information|data|details|concern)"
    r"|reason for (?:the )?(?:exam(?:ination)?|study|test)|comparisons?|techniques?|exam(?:ination)?|procedure|views?|"
    r"type of exam|study|signs and symptoms|diagnosis|question|request"
)
"""Headings of what was known before, or of how the film was taken: nothing below them was seen in the film."""
_HEADING = re.compile(
    rf"(?:(?P<before>{NOT_SEEN})|findings?|impressions?|conclusions?|results?|reports?|opinion|summary|"
    r"findings and impressions?|findings/impressions?)\s*:",
    re.IGNORECASE,
)
_ABBREVIATION = re.compile(r"\b(?:dr|mr|mrs|ms|st|vs|e\.?g|i\.?e|cf|approx|a\.m|p\.m|a|p|fig|resp)\.$", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:^|\n)[ \t]*\d{1,2}\.$")
_BOUNDARY = re.compile(
    r"(?<![.!?])[.!?]++[\"')\]]*+(?=\s|$)"  # the end of a sentence
    r"|\n[ \t]*(?=\r?\n)"  # an empty line
    r"|\n(?=[ \t]*(?:\d{1,2}[.)]|[-*\u2022])[ \t])"  # an entry of a list
    rf"|(?<![\w-])(?=(?:{_HEADING.pattern}))",  # a heading
    re.IGNORECASE,
)
_BREAK = re.compile(
    r"[;]|:(?!\s*(?:none|no|nil|absent|negative|not|normal|clear|unremarkable)\b)"
    r"|,?\s(?:but|however|although|though|whereas|which)\b"
    r"|,?\s(?:and |with )?there (?:is|are|was|were|has|have)\b"
    r"|,?\s(?:and )?with (?:a |an )?(?:new |stable )?(?:tiny|small|mild|moderate|large|severe|minimal|trace|marked)\b"
    r"|[.!?](?=\s)",
    re.IGNORECASE,
)

CLAUSE_CHARS = 600
"""A longer one is no clause of a report; cut, it costs no more than its length."""


@dataclass(frozen=True, slots=True)
class Span:
    """A sentence's place in the text, without the white space around it."""

    start: int
    end: int
    is_seen: bool
    """False below a heading such as INDICATION or COMPARISON."""


def sentence_spans(text: str) -> Iterator[Span]:
    """Sentences from left to right; together they hold every character but white space."""
    is_seen = True
    begin = 0
    for end in (*_ends(text), len(text)):
        part = text[begin:end]
        start, stop = begin + len(part) - len(part.lstrip()), begin + len(part.rstrip())
        heading = _HEADING.match(text, start, stop)
        if heading:
            is_seen = heading["before"] is None
        if start < stop:
            yield Span(start, stop, is_seen)
            if not is_seen and _is_paragraph_end(text, stop) and not (heading and heading.end() == stop):
                is_seen = True
        begin = end


def clause_spans(text: str, span: Span) -> Iterator[tuple[int, int]]:
    """Parts of a sentence, (start, end) in the text: a negation in one says nothing about the next."""
    breaks = [found.start() for found in _BREAK.finditer(text, span.start, span.end)]
    for begin, end in pairwise((span.start, *breaks, span.end)):
        for start in range(begin, end, CLAUSE_CHARS):
            yield start, min(start + CLAUSE_CHARS, end)


def _ends(text: str) -> Iterator[int]:
    for found in _BOUNDARY.finditer(text):
        before = text[max(0, found.start() - 8) : found.end()]
        if found[0].startswith(".") and (_ABBREVIATION.search(before) or _NUMBERED.search(before)):
            continue
        if found.end() > 0:
            yield found.end()


def _is_paragraph_end(text: str, stop: int) -> bool:
    return re.match(r"[ \t]*\r?\n[ \t]*\r?\n", text[stop : stop + 80]) is not None
