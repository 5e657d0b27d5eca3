"""Where a clause names a finding, and on which side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from xraygpt_edge.findings import SIDES, Finding

_GAP = r"\b[^;:]{0,48}?\b"
"""What " ... " in a phrase stands for."""
_SIDE = re.compile(
    r"\b(?:(?P<right>right|rt)|(?P<left>left|lt)|"
    r"(?P<both>bilateral(?:ly)?|both|bi(?:basilar|basal|apical)|(?:each|either) side))"
    r"\b(?![ -]*(?:atri|ventric|heart|hear|main ?stem|brachiocephalic|internal jugular|subclavian|clavic|shoulder))",
    re.IGNORECASE,
)
_ZONE = re.compile(
    r"\b(?:(?P<upper>upper|apex|apical|apices|biapical)|(?P<middle>middle|mid|perihilar)|"
    r"(?P<lower>lower|base|bases|basal|basilar|bibasilar|bibasal|retrocardiac|lingula|lingular))\b",
    re.IGNORECASE,
)
_PLACE_BEHIND = re.compile(
    r"\b(?:on|in|at|of|over|within|along|to|from|into|overlying)\s+(?:the\s+|its\s+|both\s+)?$", re.IGNORECASE
)

Pattern: TypeAlias = re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Mention:
    """A finding that is named in a clause, or denied there by a phrase about what is normal."""

    finding: Finding
    start: int
    """Of its first character in the clause."""
    end: int
    is_normal: bool
    """It is a phrase such as "lungs are clear"."""
    sides: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


def mentions(clause: str, table: tuple[Finding, ...]) -> list[Mention]:
    """Everything that a clause names, with its sides and zones, from left to right."""
    named = sorted(_named(clause, table), key=lambda mention: (mention.start, mention.end))
    return [_placed(mention, named, clause) for mention in named]


def _named(clause: str, table: tuple[Finding, ...]) -> Iterable[Mention]:
    for finding, words, normal, other in _compiled(table):
        elsewhere = [found.span() for found in other.finditer(clause)] if other else []
        for pattern, is_normal in ((words, False), (normal, True)):
            for found in pattern.finditer(clause) if pattern else ():
                if not any(start <= found.start() and found.end() <= end for start, end in elsewhere):
                    yield Mention(finding, found.start(), found.end(), is_normal)


def _placed(mention: Mention, named: Sequence[Mention], clause: str) -> Mention:
    finding = mention.finding
    sides = _near(_SIDE, mention, named, clause) if finding.sides else ()
    zones = _near(_ZONE, mention, named, clause) if finding.zones else ()
    return Mention(
        finding,
        mention.start,
        mention.end,
        mention.is_normal,
        SIDES if "both" in sides else tuple(side for side in SIDES if side in sides),
        tuple(zone for zone in finding.zones if zone in zones),
    )


def _near(pattern: re.Pattern[str], mention: Mention, named: Sequence[Mention], clause: str) -> set[str]:
    """What of a clause's sides or zones belongs to a mention: its own, or where it has none, all."""
    before = max((other.end for other in named if other.end <= mention.start), default=0)
    behind = min((other.start for other in named if other.start >= mention.end), default=len(clause))
    every, own = set(), set()
    for found in pattern.finditer(clause):
        word = found.lastgroup or ""
        every.add(word)
        is_behind = bool(_PLACE_BEHIND.search(clause, max(0, found.start() - 24), found.start()))
        begins_next = found.start() >= mention.end and behind < len(clause) and not is_behind
        ends_last = found.end() <= mention.start and before > 0 and is_behind
        if before <= found.start() and found.end() <= behind and not begins_next and not ends_last:
            own.add(word)
    return own or every


@lru_cache(maxsize=16)
def _compiled(table: tuple[Finding, ...]) -> tuple[tuple[Finding, Pattern, Pattern, Pattern], ...]:
    return tuple((f, _pattern(f.words), _pattern(f.normal), _pattern(f.other)) for f in table)


def _pattern(phrases: Sequence[str]) -> Pattern:
    """Any of the phrases, the longest first; None where there is none."""
    if not phrases:
        return None
    longest = sorted(phrases, key=len, reverse=True)
    return re.compile("|".join(f"(?:{_phrase(phrase)})" for phrase in longest), re.IGNORECASE)


def _phrase(phrase: str) -> str:
    parts = (r"[\s:-]+".join(map(re.escape, part.split())) for part in phrase.split(" ... "))
    return rf"\b{_GAP.join(parts)}(?:e?s)?\b"
