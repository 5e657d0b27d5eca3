"""What is known of an answer in words for people: the same on a terminal, on a page, and in an archive.

*Agrees* means that the model agrees with itself, never that a sentence is right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.records import FindingTrust, SentenceTrust, Trust


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands before a sentence."""

    name: str
    sign: str
    plain_sign: str
    """For a screen that knows only ASCII."""
    meaning: str


CONTRADICTED = Mark("contradicted", "\u2717", "x", "the model contradicts itself")
DOUBTFUL = Mark("doubtful", "?", "?", "doubtful")
FLAGGED = Mark("flagged", "!", "!", "marked by a rule")
AGREES = Mark("agrees", "\u2713", "+", "the model agrees with itself")
UNCHECKED = Mark("unchecked", "\u00b7", "-", "not checked")
MARKS = (CONTRADICTED, DOUBTFUL, FLAGGED, AGREES, UNCHECKED)
"""The gravest first."""


MAP = "Maps show what the software's answer depends on, not where disease is."
NO_MAP = "No map, since no part of the film turns the model's own answer"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a sentence is marked, or what the panel adds to a text."""

    words: str
    p: float | None = None
    """Probability of the finding that it is about; never for an archive."""

    @property
    def with_p(self) -> str:
        """With the probability, where there is one."""
        return self.words if self.p is None else f"{self.words} ({self.p:.2f})"


def mark_of(sentence: SentenceTrust) -> Mark:
    """The gravest that is known of a sentence."""
    if sentence.support == "contradicted":
        return CONTRADICTED
    if sentence.support == "doubtful" or sentence.reliance == "little":
        return DOUBTFUL
    if sentence.flags:
        return FLAGGED
    return AGREES if sentence.support == "agrees" else UNCHECKED


def reasons(trust: Trust, sentence: SentenceTrust) -> tuple[Reason, ...]:
    """Why a sentence has its mark; none where nothing speaks against it."""
    return tuple(_reasons(trust, sentence))


def unsaid(trust: Trust) -> tuple[Reason, ...]:
    """What the model's own yes and no see and its text does not state."""
    by_name = {finding.name: finding for finding in trust.findings}
    return tuple(Reason(name, by_name[name].p if name in by_name else None) for name in trust.unsaid)


def film(trust: Trust) -> str:
    """Whether the film is like the reference films; nothing where nobody knows."""
    if trust.film is None:
        return ""
    return "Film: like the reference films." if trust.film.like else warning("W-TRU-001")


def source(trust: Trust) -> str:
    """What the figures come from, or why there are none."""
    made = trust.reference
    if made is None:
        return "No trust profile: only rules about the words were applied."
    films = f"{made.films:,} films of {made.source}, {made.created}"
    if made.labelled:
        return f"Figures from {films}: they hold for such films only."
    return f"Measured beside {films}; without labels there are no percentages."


def maps(trust: Trust) -> Iterator[str]:
    """Which maps there are, and which not; nothing where none was asked for."""
    drawn = trust.maps.findings if trust.maps else ()
    shown, hardly = ([one.finding for one in drawn if one.shown is which] for which in (True, False))
    if shown:
        yield f"Maps: {', '.join(shown)}. {MAP}"
    if hardly:
        yield f"{NO_MAP}: {', '.join(hardly)}."
    if trust.maps and not drawn:
        yield "Maps: nothing is stated or seen that one could be drawn of."


def failed(trust: Trust) -> str:
    """What is missing; nothing where nothing is."""
    return f"Not everything could be checked: {trust.failed}. The answer is not affected." if trust.failed else ""


def warning(name: str) -> str:
    """A line of the catalogue behind its id."""
    return f"{name}: {_what(name)}."


def checks(trust: Trust) -> Iterator[str]:
    """Why sentences have their marks, what the text leaves out, warnings; with probabilities: for a screen."""
    for number, sentence in enumerate(trust.sentences, start=1):
        for reason in reasons(trust, sentence):
            yield f"Sentence {number}: {reason.with_p}."
    found = ", ".join(finding.with_p for finding in unsaid(trust))
    yield from [f"Not stated in the text, but answered yes: {found}."] if found else []
    yield from map(warning, trust.warnings)
    yield from filter(None, [failed(trust)])


def remarks(trust: Trust, heading: str = "sentence") -> Iterator[str]:
    """All that a reader must know, without a figure: for an archive. heading: what comes before a sentence's number."""
    for number, sentence in enumerate(trust.sentences, start=1):
        for reason in reasons(trust, sentence):
            yield f"Software check of {heading} {number}: {reason.words}."
    for finding in trust.unsaid:
        yield f"Software check: not stated in the text, but the model's own answer is yes: {finding}."
    yield from (line for line in (film(trust), failed(trust)) if line)
    yield from (warning(name) for name in trust.warnings if name != "W-TRU-001")


def _reasons(trust: Trust, sentence: SentenceTrust) -> Iterator[Reason]:
    about = next((finding for finding in trust.findings if finding.name == sentence.weakest), None)
    if sentence.support == "contradicted":
        yield _reason("the model's own yes/no answer is the opposite", about)
    elif sentence.support == "doubtful":
        yield _doubt(sentence, about)
    if sentence.reliance == "little":
        yield Reason("it would read the same without the image")
    for flag in sentence.flags:
        yield Reason(f"{_what(flag)} ({flag})")


def _what(name: str) -> str:
    """The words of an id; a record of a newer version may have others."""
    return CATALOGUE[name].what if name in CATALOGUE else "this version does not know it"


def _doubt(sentence: SentenceTrust, about: FindingTrust | None) -> Reason:
    states = any(claim.polarity == "present" for claim in sentence.claims)
    if about is None or about.verdict is None or about.verdict == ("present" if states else "absent"):
        return Reason("the model was not sure of its words")
    word = "unsure" if about.verdict == "unsure" else "the opposite"
    return _reason(f"the model's own yes/no answer is {word}", about)


def _reason(words: str, about: FindingTrust | None) -> Reason:
    return Reason(f"{words}: {about.name}", about.p) if about else Reason(words)
