"""A report into its sections: what each heading is, where its words begin and end, and what decided that."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from xraygpt_edge.summarize.headings import Decided, Heading, Kind, headings

_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_ONE_PARAGRAPH: frozenset[Kind] = frozenset({"history", "comparison", "technique", "examination", "signature"})
"""What stands below such a heading ends with its paragraph."""
_FINDINGS: frozenset[Kind] = frozenset({"findings", "findings and impression"})


@dataclass(frozen=True, slots=True)
class Section:
    """One section; all places are characters of the report."""

    kind: Kind
    decided: Decided
    heading_start: int
    """Where its heading begins; the same as `start` where it has none."""
    start: int
    """Of its first word below the heading."""
    end: int
    """Behind its last; the same as `start` where nothing stands below the heading."""


def sections(text: str) -> tuple[Section, ...]:
    """The sections of a report from left to right; they do not overlap, and banners belong to none."""
    found = list(_bodies(text, _without_those_inside(text, headings(text))))
    return tuple(_placed(_with_titles(found)))


def _without_those_inside(text: str, found: Sequence[Heading]) -> list[Heading]:
    """A wet read reaches to the banner of the final report, whatever headings stand in it."""
    banners = [heading.start for heading in found if heading.is_banner_of_words(text)]
    kept: list[Heading] = []
    until = 0
    for heading in found:
        if heading.start < until and heading.kind != "banner":
            continue
        if heading.kind == "wet read":
            behind = bisect(banners, heading.start)
            until = banners[behind] if behind < len(banners) else 0
        kept.append(heading)
    return kept


def _bodies(text: str, found: Sequence[Heading]) -> Iterator[Section]:
    ends = [*(heading.start for heading in found), len(text)]
    yield from _unlabelled(text, 0, ends[0])
    for heading, stop in zip(found, ends[1:], strict=True):
        if heading.kind == "banner":
            yield from _unlabelled(text, heading.end, stop)
        elif heading.kind in _ONE_PARAGRAPH:
            yield from _paragraph(text, heading, stop)
        else:
            yield _section(text, heading, stop)


def _paragraph(text: str, heading: Heading, stop: int) -> Iterator[Section]:
    """A section of one paragraph; what stands behind it has no heading."""
    section = _section(text, heading, stop)
    gap = _PARAGRAPH.search(text, section.start, section.end)
    if gap is None:
        yield section
        return
    yield _section(text, heading, gap.start())
    yield from _unlabelled(text, gap.start(), stop)


def _unlabelled(text: str, start: int, stop: int) -> Iterator[Section]:
    if text[start:stop].strip():
        begin = start + len(text[start:stop]) - len(text[start:stop].lstrip())
        yield _section(text, Heading("unlabelled", begin, begin, "no heading"), stop)


def _section(text: str, heading: Heading, stop: int) -> Section:
    body = text[heading.end : stop]
    if not body.strip():
        return Section(heading.kind, heading.decided, heading.start, heading.end, heading.end)
    start, end = heading.end + len(body) - len(body.lstrip()), heading.end + len(body.rstrip())
    return Section(heading.kind, heading.decided, heading.start, start, end)


def _has_findings(found: Sequence[Section]) -> bool:
    return any(section.kind in _FINDINGS and section.start < section.end for section in found)


def _with_titles(found: Sequence[Section]) -> list[Section]:
    """What stands below the title of an examination is its findings, unless there is a section of that name."""
    named = _has_findings(found)
    return [
        replace(s, kind="examination" if named or s.start == s.end else "findings") if s.kind == "title" else s
        for s in found
    ]


def _placed(found: Sequence[Section]) -> Iterator[Section]:
    """Words without a heading right before the impression are the findings, where no section is called so."""
    named = _has_findings(found)
    for section, following in zip_longest(found, found[1:]):
        before = following is not None and following.kind == "impression"
        if section.kind == "unlabelled" and before and not named:
            yield replace(section, kind="findings", decided="place before the impression")
        else:
            yield section
