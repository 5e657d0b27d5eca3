"""Synthetic radiology reports about phantoms, in the variety of real ones, with the truth of each part.

What a report says comes from a phantom's findings; one integer seed is one report.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .findings import sample_case
from .report_wording import (
    AGREES,
    BEFORE,
    COMPARISONS,
    CORRECTS,
    HEADINGS,
    LOOKS_LIKE_ONE,
    MARK_FORMS,
    MARKS,
    TOLD,
    VIEWS,
)
from .texts import Rng, findings_of, phrase_of, pick, sentence_of
from .wording import ABSENT

WIDTH = 78
RULE = "_" * 78


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence of a report."""

    text: str
    """As it stands, before lines are wrapped."""
    kind: str
    """plain, comparison, view, mark or told."""
    left: tuple[str, ...]
    """All that may be left of it, best first; "" is nothing."""


@dataclass(frozen=True, slots=True)
class TrueSection:
    """Where a section really is; places are characters of the report."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TrueReport:
    """A report and what is true of it."""

    seed: int
    text: str
    sections: tuple[TrueSection, ...]
    said: tuple[Said, ...]
    """Of the sections that a summary is made of, in its order."""
    reason: str | None
    """Why it is left out; None where it is kept."""


@dataclass(slots=True)
class _Page:
    """A report that is being written."""

    rng: Rng
    text: str = ""
    sections: list[TrueSection] = field(default_factory=list)

    def add(self, kind: str, heading: str, body: str, gap: str = "\n\n") -> None:
        """One section; a body of nothing leaves a heading alone."""
        self.text += (
            heading
            if not body or heading.endswith(("\n", " "))
            else heading + pick(self.rng, (" ", "  ", "\n", "\n\n"))
        )
        start = len(self.text)
        self.text += body
        self.sections.append(TrueSection(kind, start, len(self.text)))
        self.text += gap


def sample_report(seed: int) -> TrueReport:
    """The report of one seed; the same seed always gives the same."""
    rng = np.random.default_rng((seed, 9))
    page = _Page(rng)
    form = str(rng.choice(list(_FORMS), p=list(_SHARES.values())))
    in_line = form == "usual" and rng.random() < 0.12
    gap = "  " if in_line else str(pick(rng, ("\n\n", "\n\n", "\n \n", "\n")))
    if rng.random() < 0.4 and not in_line:
        page.text += "FINAL REPORT\n"
    said, reason = _FORMS[form](page, seed, gap)
    return TrueReport(seed, page.text.rstrip(), tuple(page.sections), tuple(said), reason)


def _usual(page: _Page, seed: int, gap: str) -> tuple[list[Said], str | None]:
    """Findings and impression, each once."""
    _before(page, gap)
    findings, impression = _findings(page.rng, seed), _impression(page.rng, seed)
    _write(page, "findings", findings, gap)
    _write(page, "impression", impression, gap)
    _behind(page, gap)
    return findings + impression, None


def _title(page: _Page, seed: int, gap: str) -> tuple[list[Said], str | None]:
    """The findings stand below the examination's title."""
    findings, impression = _findings(page.rng, seed), _impression(page.rng, seed)
    page.add("history", pick(page.rng, HEADINGS["history"]), pick(page.rng, BEFORE["history"][:2]), "\n\n")
    page.add("findings", pick(page.rng, HEADINGS["title"]), _laid_out(page.rng, findings), "\n\n")
    _write(page, "impression", impression, gap if "\n" in gap else "\n\n")
    return findings + impression, None


def _both(page: _Page, seed: int, gap: str) -> tuple[list[Said], str | None]:
    _before(page, gap)
    said = _findings(page.rng, seed) + _impression(page.rng, seed)
    page.add(
        "findings and impression", pick(page.rng, HEADINGS["findings and impression"]), _laid_out(page.rng, said), gap
    )
    return said, None


def _bare(page: _Page, seed: int, _gap: str) -> tuple[list[Said], str | None]:
    """The findings have no heading and stand before the impression."""
    findings, impression = _findings(page.rng, seed), _impression(page.rng, seed)
    page.add("history", pick(page.rng, HEADINGS["history"][:5]), pick(page.rng, BEFORE["history"][:2]), "\n\n")
    page.add("findings", "", _laid_out(page.rng, findings, lists=False), "\n\n")
    _write(page, "impression", impression, "\n\n")
    return findings + impression, None


def _twice(page: _Page, seed: int, _gap: str) -> tuple[list[Said], str | None]:
    """Two sections of findings, as of two examinations, and one impression."""
    first, second = _findings(page.rng, seed), _findings(page.rng, seed)
    impression = _impression(page.rng, seed)
    _write(page, "findings", first, "\n\n")
    _write(page, "findings", second, "\n\n")
    _write(page, "impression", impression, "\n\n")
    return first + second + impression, None


def _wet_read(page: _Page, seed: int, _gap: str) -> tuple[list[Said], str | None]:
    """A preliminary reading before the final report."""
    page.text = ""
    page.add(
        "wet read", pick(page.rng, HEADINGS["wet read"][:3]), pick(page.rng, BEFORE["wet read"]), "\n" + RULE + "\n"
    )
    page.text += " " * 20 + "FINAL REPORT\n"
    return _usual(page, seed, "\n\n")


def _addendum(page: _Page, seed: int, _gap: str) -> tuple[list[Said], str | None]:
    """Something that was forgotten, before or behind the report."""
    added = [_plain(pick(page.rng, AGREES))]
    first = page.rng.random() < 0.4
    if first:
        _write(page, "addendum", added, "\n" + RULE + "\n")
    said, _ = _usual(page, seed, "\n\n")
    if not first:
        _write(page, "addendum", added, "\n\n")
    return said + added, None


def _contradicted(page: _Page, seed: int, _gap: str) -> tuple[list[Said], str | None]:
    """An addendum says that the report is not right."""
    _usual(page, seed, "\n\n")
    denials = {"effusion": "No pleural effusion is present.", "pneumothorax": "There is no pneumothorax."}
    denied = [denials[finding.kind] for finding in findings_of(sample_case(seed)) if finding.kind in denials]
    body = pick(page.rng, denied or CORRECTS)
    page.add("addendum", pick(page.rng, HEADINGS["addendum"]), body, "\n\n")
    return [], "an addendum contradicts the report"


def _no_impression(page: _Page, seed: int, gap: str) -> tuple[list[Said], str | None]:
    _before(page, gap)
    _write(page, "findings", _findings(page.rng, seed), gap)
    if page.rng.random() < 0.3:
        page.add("impression", "IMPRESSION:", "", gap)
    return [], "no impression section"


def _no_findings(page: _Page, seed: int, gap: str) -> tuple[list[Said], str | None]:
    _before(page, gap)
    _write(page, "impression", _impression(page.rng, seed), gap)
    return [], "no findings section"


def _nothing(page: _Page, seed: int, _gap: str) -> tuple[list[Said], str | None]:
    """Headings none at all."""
    page.add("unlabelled", "", _laid_out(page.rng, _findings(page.rng, seed), lists=False), "")
    return [], "no findings section"


def _short_findings(page: _Page, seed: int, gap: str) -> tuple[list[Said], str | None]:
    _before(page, gap)
    _write(page, "findings", [_plain(pick(page.rng, ("See below.", "As above.", "Normal heart and lungs.")))], gap)
    _write(page, "impression", _impression(page.rng, seed), gap)
    return [], "findings under 10 words"


def _short_impression(page: _Page, seed: int, gap: str) -> tuple[list[Said], str | None]:
    _before(page, gap)
    _write(page, "findings", _findings(page.rng, seed), gap)
    page.add("impression", "IMPRESSION:", pick(page.rng, ("Normal.", "Unremarkable.", "Negative")), gap)
    return [], "impression under 2 words"


_Form = Callable[[_Page, int, str], tuple[list[Said], str | None]]
_FORMS: dict[str, _Form] = {
    "usual": _usual,
    "title": _title,
    "both": _both,
    "bare": _bare,
    "twice": _twice,
    "wet read": _wet_read,
    "addendum": _addendum,
    "contradicted": _contradicted,
    "no impression": _no_impression,
    "no findings": _no_findings,
    "nothing": _nothing,
    "short findings": _short_findings,
    "short impression": _short_impression,
}
_SHARES = dict(zip(_FORMS, (0.52, 0.08, 0.06, 0.05, 0.04, 0.06, 0.05, 0.02, 0.03, 0.03, 0.02, 0.02, 0.02), strict=True))


def _before(page: _Page, gap: str) -> None:
    kinds = [kind for kind in ("examination", "history", "technique", "comparison") if page.rng.random() < 0.6]
    for kind in kinds:
        page.add(kind, pick(page.rng, HEADINGS[kind]).rstrip("\n") + " ", pick(page.rng, BEFORE[kind]), gap)


def _behind(page: _Page, gap: str) -> None:
    for kind in ("recommendation", "notification"):
        if page.rng.random() < 0.15:
            page.add(kind, pick(page.rng, HEADINGS[kind]) + " ", pick(page.rng, BEFORE[kind]), gap)


def _write(page: _Page, kind: str, said: Sequence[Said], gap: str) -> None:
    if "\n" not in gap:  # all in one line
        headings = [heading for heading in HEADINGS[kind] if heading.rstrip().endswith(":") and heading.isupper()]
        page.add(kind, pick(page.rng, headings).rstrip() + " ", " ".join(sentence.text for sentence in said), gap)
    else:
        page.add(kind, pick(page.rng, HEADINGS[kind]), _laid_out(page.rng, said), gap)


def _laid_out(rng: Rng, said: Sequence[Said], *, lists: bool = True) -> str:
    """A wrapped paragraph, one line a sentence, a numbered list or bullets."""
    texts = [sentence.text for sentence in said]
    layout = rng.random()
    if layout < 0.5 or not lists:
        return (
            "\n".join(textwrap.wrap(" ".join(texts), WIDTH, break_on_hyphens=False))
            if rng.random() < 0.7
            else " ".join(texts)
        )
    if layout < 0.7:
        return "\n".join(texts)
    if layout < 0.9:
        return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
    return "\n".join(f"{pick(rng, ('-', '*'))} {text}" for text in texts)


def _plain(text: str) -> Said:
    return Said(text, "plain", (text,))


def _findings(rng: Rng, seed: int) -> list[Said]:
    """What the phantom shows and what it does not, among all that reports say besides."""
    said = [_plain(text) for text in _true_sentences(rng, seed)]
    said += [_plain(pick(rng, LOOKS_LIKE_ONE)) for _ in range(int(rng.integers(1, 4)))]
    for kind, share in (("comparison", 0.6), ("view", 0.5), ("mark", 0.4), ("told", 0.15)):
        said += [_other(rng, seed, kind) for _ in range(2) if rng.random() < share]
    return [said[number] for number in rng.permutation(len(said))]


def _impression(rng: Rng, seed: int) -> list[Said]:
    texts = _true_sentences(rng, seed)
    said = [_plain(texts[number]) for number in rng.permutation(len(texts))[:2]]
    return said + ([_other(rng, seed, str(rng.choice(["comparison", "mark"])))] if rng.random() < 0.3 else [])


def _true_sentences(rng: Rng, seed: int) -> list[str]:
    case = sample_case(seed)
    found = findings_of(case)
    texts = [sentence_of(finding, rng) for finding in found]
    organs = {
        "heart": ("heart",),
        "lungs": ("consolidation", "nodule", "oedema"),
        "pleura": ("effusion", "pneumothorax"),
    }
    texts += [
        pick(rng, ABSENT[organ])
        for organ, kinds in organs.items()
        if not any(finding.kind in kinds for finding in found)
    ]
    return texts


def _other(rng: Rng, seed: int, kind: str) -> Said:
    """A sentence of a kind that the rules have something to do with."""
    found = findings_of(sample_case(seed))
    phrase = phrase_of(found[int(rng.integers(len(found)))], rng) if found else "a small calcified granuloma"
    sentence = pick(rng, _true_sentences(rng, seed)).rstrip(".")
    bare = re.sub(r"^an? ", "", phrase)
    words = {"it": phrase, "It": _capital(phrase), "bare": bare, "Bare": _capital(bare), "m": pick(rng, MARK_FORMS)}
    words |= {"s": sentence, "l": sentence[:1].lower() + sentence[1:]}
    if kind == "comparison":
        return Said(pick(rng, COMPARISONS).format(**words), kind, ("",))
    templates = {"view": VIEWS, "mark": MARKS, "told": TOLD}[kind]
    text, left = templates[int(rng.integers(len(templates)))]
    return Said(text.format(**words), kind, tuple(_capital(one.format(**words)) for one in left))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
