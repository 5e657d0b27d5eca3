"""What a person sees of how far to trust an answer: a mark before each sentence, and each mark's reason in words."""

from __future__ import annotations

from collections.abc import Iterator

from xraygpt_edge.cli import console
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import Trust
from xraygpt_edge.text import one_line, visible
from xraygpt_edge.trust import words
from xraygpt_edge.trust.assess import Told
from xraygpt_edge.trust.assessor import Assessor

CHECKING = "Checking the answer ..."


def show(text: str, trust: Trust | None) -> None:
    """Print it on standard error; never a colour alone."""
    if trust is None:
        return
    for line in lines(text, trust, ascii_only=not console.says_any_character()):
        console.say(f"  {visible(line)}")


def lines(text: str, trust: Trust, *, ascii_only: bool = False) -> Iterator[str]:
    """The sentences with their marks in one line; then reasons, what the text leaves out, the film, and the source."""
    marks = [words.mark_of(sentence) for sentence in trust.sentences]
    signs = [mark.plain_sign if ascii_only else mark.sign for mark in marks]
    parts = [f"{sign} {one_line(text[s.start : s.end])}" for sign, s in zip(signs, trust.sentences, strict=True)]
    yield from ["  ".join(parts)] if any(mark is not words.UNCHECKED for mark in marks) else []
    yield from words.checks(trust)
    is_like = trust.film is not None and trust.film.like
    yield from [words.film(trust)] if is_like else []
    yield from words.maps(trust)
    yield words.source(trust)


def assessed(assessor: Assessor, told: Told, deadline: Deadline | None = None, *, quiet: bool) -> Trust | None:
    """How far to trust an answer, with a spinner meanwhile."""
    with console.waiting(CHECKING, quiet=quiet):
        return assessor.assess(told, deadline)
