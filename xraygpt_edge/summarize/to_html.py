"""Reports beside what was made of them, on a page that needs nothing else: removed pieces are struck through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import BinaryIO

from xraygpt_edge.records import NOTICE
from xraygpt_edge.reports.pages import digest, template
from xraygpt_edge.summarize.check import Difference
from xraygpt_edge.summarize.records import Row, Summarized

_PAGE = files("xraygpt_edge.summarize") / "page"


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of a report's characters."""

    text: str
    rule: str = ""
    """By which it is not in the text; empty where it is."""
    used: bool = True
    """It stands in a section that the text is made of."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One record as the page shows it."""

    row: Row
    pieces: tuple[Piece, ...]
    changed: tuple[str, ...]
    """What a rewriting says otherwise, in words."""


def write(found: Iterable[Row], stream: BinaryIO) -> int:
    """Write the page, one record in memory at a time; returns their number."""
    style = (_PAGE / "page.css").read_text("utf-8")
    count = 0

    def counted() -> Iterator[Shown]:
        nonlocal count
        for row in found:
            count += 1
            yield _shown(row)

    page = template((_PAGE / "page.html.j2").read_text("utf-8")).stream(
        shown=counted(),
        notice=NOTICE,
        style=style,
        policy=f"default-src 'none'; style-src '{digest(style)}'; base-uri 'none'; form-action 'none'",
    )
    page.dump(stream, encoding="utf-8")
    return count


def words_of(difference: Difference) -> str:
    """One difference in words: "left pleural effusion (present) is lost"."""
    named = " ".join(part for part in (difference.side, difference.finding) if part)
    return f"{named} ({difference.polarity}) is {difference.change}"


def _shown(row: Row) -> Shown:
    if not isinstance(row, Summarized):
        return Shown(row, tuple(_whole(row)), ())
    changed = row.rewriting.differences if row.rewriting else ()
    return Shown(row, tuple(_pieces(row)), tuple(map(words_of, changed)))


def _whole(row: Row) -> Iterator[Piece]:
    report = getattr(row, "report", "")
    if report:
        yield Piece(report, used=False)


def _pieces(row: Summarized) -> Iterator[Piece]:
    """The whole report from left to right."""
    at = 0
    for section in row.sections:
        inside = [piece for piece in row.removed if section.start <= piece.start < section.end]
        if not inside and section.kind not in ("findings", "impression", "findings and impression", "addendum"):
            continue
        yield Piece(row.report[at : section.start], used=False)
        at = section.start
        for piece in inside:
            yield Piece(row.report[at : piece.start])
            yield Piece(row.report[piece.start : piece.end], piece.rule)
            at = piece.end
        yield Piece(row.report[at : section.end])
        at = section.end
    yield Piece(row.report[at:], used=False)
