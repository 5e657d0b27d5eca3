"""The words of a section into sentences and entries of a list, as reports are laid out: wrapped, numbered, in lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_END = re.compile(r"(?<![.!?])[.!?]++[\"')\]]*+(?=\s|$)|\n[ \t]*(?=\n)|\n")
_ABBREVIATION = re.compile(
    r"(?:\b(?:dr|drs|mr|mrs|ms|prof|st|vs|e\.?g|i\.?e|cf|approx|no|fig|resp|incl|ca|min|max|m\.?d|r\.?n|p\.?a|etc|s/p)|"
    r"(?:^|\s)[A-Z])\.$",
    re.IGNORECASE,
)
_HOUR = re.compile(r"\b[ap]\.m\.$", re.IGNORECASE)
_MARKER = re.compile(
    r"(?:\(?\d{1,2}[.)](?=\s)|[-*\u2022\u25cf\u25aa\u00b7>\u2013\u2014]+(?=\s)|\(?[a-hA-H][.)](?=\s))\s+"
)
_LONE_MARKER = re.compile(r"(?:^|\n\s*|[.!?:;]\s+)\(?(?:\d{1,2}|[a-h])[.)]$", re.IGNORECASE)
_ENTRY = re.compile(
    r"[ \t]*(?:\(?\d{1,2}[.)][ \t]|[-*\u2022\u25cf\u25aa\u00b7][ \t]|[A-Z][A-Za-z \t/,&()\-]{2,44}:(?:\s|$))"
)
_NUMBER_WITHIN = re.compile(r"\d{1,2}[.)](?=\s+[A-Z])")
_GOES_ON = re.compile(r"[A-Z0-9]")
_OPEN_END = re.compile(
    r"(?:[,;:(/&\-]|\b(?:of|in|at|by|with|to|from|for|than|the|a|an|and|or|is|are|was|were|on|as|no|not|may|which|that|likely|"
    r"right|left|small|mild|moderate|large|upper|lower|bilateral|without|dr\.?))$",
    re.IGNORECASE,
)
WIDTH_LEAST = 40
"""Characters; in a narrower column nobody can tell a wrapped line from one that ends."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence's place in the report, without white space around it."""

    start: int
    """Of its number or bullet, where it is an entry of a list."""
    words: int
    """Of its first word."""
    end: int
    """Behind its last character."""


def sentences(text: str, start: int, end: int) -> Iterator[Sentence]:
    """Sentences of text[start:end] from left to right; together they hold every character but white space."""
    width = max((len(line) for line in text[start:end].split("\n")), default=0)
    begin = start
    for stop in (*_ends(text, start, end, width), end):
        part = text[begin:stop]
        first, last = begin + len(part) - len(part.lstrip()), begin + len(part.rstrip())
        if first < last:
            marker = _MARKER.match(text, first, last)
            yield Sentence(first, marker.end() if marker else first, last)
        begin = stop


def _ends(text: str, start: int, end: int, width: int) -> Iterator[int]:
    found = [m.end() for m in _END.finditer(text, start, end) if _is_end(text, start, end, m, width)]
    found += [m.start() for m in _NUMBER_WITHIN.finditer(text, start, end) if _is_number(text, start, m)]
    yield from sorted(set(found))


def _is_number(text: str, start: int, m: re.Match[str]) -> bool:
    """In one line, "1) ... 2) ...": a number stands behind a space, one with a point behind a sentence as well."""
    before = text[max(start, m.start() - 3) : m.start()]
    return before[-1:].isspace() and (m[0].endswith(")") or before.rstrip()[-1:] in tuple(".!?:;"))


def _is_end(text: str, start: int, end: int, m: re.Match[str], width: int) -> bool:
    if m[0] == "\n":
        return _is_end_of_line(text, start, end, m.start(), width)
    if m[0].startswith("\n"):
        return True
    before = text[max(start, m.start() - 12) : m.end()]
    if before.endswith(("m.", "M.")) and _HOUR.search(before):
        return _GOES_ON.match(text[m.end() : m.end() + 3].lstrip()) is not None
    return not (m[0] == "." and (_ABBREVIATION.search(before) or _LONE_MARKER.search(before)))


def _is_end_of_line(text: str, start: int, end: int, at: int, width: int) -> bool:
    """Whether a line ends here because its sentence does, and not because the page was full."""
    line = text[max(start, text.rfind("\n", start, at) + 1) : at].rstrip()
    stop = text.find("\n", at + 1, end)
    following = text[at + 1 : stop if stop >= 0 else end]
    if not line.strip() or not following.strip():
        return False
    if _ENTRY.match(following):
        return True
    first = following.split(None, 1)[0]
    has_room = len(line) + 1 + len(first) < max(width, WIDTH_LEAST) - 1
    return has_room and _GOES_ON.match(first) is not None and not _OPEN_END.search(line)
