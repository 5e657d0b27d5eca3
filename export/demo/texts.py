"""Reports, answers and questions made from the truth of a case, and the way back from text to labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .findings import LABELS, SIDES, ZONES, Case, sample_case
from .wording import (
    ABNORMAL_QUESTIONS,
    ABSENT,
    ASK,
    HEART_QUESTIONS,
    INFECTION_QUESTIONS,
    NO,
    NORMAL_QUESTIONS,
    NOUNS,
    PHRASES,
    QUESTIONS,
    SENTENCES,
    SHOWN,
)

Rng = np.random.Generator
REPORT_KINDS = ("description", "findings", "both", "impression", "abnormalities")
"""The kinds of question whose answer names every finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say: the kind of finding, how severe, and where."""

    kind: str
    label: str
    how: str = ""
    side: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Topic:
    """A yes/no question: the answer is yes when any of `labels` is present, or none of them if `inverse`."""

    name: str
    labels: frozenset[str]
    noun: str = ""
    questions: tuple[str, ...] = ()
    inverse: bool = False

    def holds(self, case: Case) -> bool:
        """Whether the true answer is yes."""
        return bool(self.labels & case.labels) != self.inverse


def _topics() -> tuple[Topic, ...]:
    everything = frozenset(LABELS)
    topics = [
        Topic("heart", frozenset({"cardiomegaly"}), "cardiomegaly", HEART_QUESTIONS),
        Topic("oedema", frozenset({"oedema"}), "oedema"),
        Topic("device", frozenset({"device"}), "device"),
        Topic("abnormal", everything, "abnormality", ABNORMAL_QUESTIONS),
        Topic("normal", everything, "abnormality", NORMAL_QUESTIONS, inverse=True),
    ]
    for kind in ("effusion", "pneumothorax", "consolidation", "nodule"):
        of_kind = [label for label in LABELS if label.startswith(kind)]
        topics.append(Topic(kind, frozenset(of_kind), kind))
        topics += [Topic(f"{kind} {side}", frozenset(x for x in of_kind if side in x), kind) for side in SIDES]
    topics += [Topic(f"consolidation {zone}", frozenset({f"consolidation {zone}"}), "consolidation") for zone in ZONES]
    consolidations = frozenset(label for label in LABELS if label.startswith("consolidation"))
    topics.append(Topic("infection", consolidations, "consolidation", INFECTION_QUESTIONS))
    return tuple(topics)


TOPICS = _topics()


def findings_of(case: Case) -> list[Finding]:
    """Everything that is present, in the order of a report: heart, lungs, pleura, device."""
    found = [Finding("heart", "cardiomegaly", case.heart)] if case.heart else []
    for place, how in zip(ZONES, case.consolidation, strict=True):
        side, zone = place.split()
        found += [Finding("consolidation", f"consolidation {place}", how, side, zone)] if how else []
    for side, zone in zip(SIDES, case.nodule, strict=True):
        found += [Finding("nodule", f"nodule {side}", "", side, zone)] if zone else []
    found += [Finding("oedema", "oedema", case.oedema)] if case.oedema else []
    for kind, sizes in (("effusion", case.effusion), ("pneumothorax", case.pneumothorax)):
        for side, how in zip(SIDES, sizes, strict=True):
            found += [Finding(kind, f"{kind} {side}", how, side)] if how else []
    return found + ([Finding("device", "device", "", case.device)] if case.device else [])


def pick(rng: Rng, choices: Sequence[str]) -> str:
    """One of them."""
    return choices[int(rng.integers(len(choices)))]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def phrase_of(finding: Finding, rng: Rng) -> str:
    """One wording of a finding, with its article: "a small right pleural effusion"."""
    words = {"how": finding.how, "side": finding.side, "zone": finding.zone}
    return pick(rng, PHRASES[finding.kind]).format(**words)


def sentence_of(finding: Finding, rng: Rng) -> str:
    """One sentence that states a finding."""
    if rng.random() < 0.6:
        phrase = phrase_of(finding, rng)
        return pick(rng, SHOWN).format(it=phrase, It=_capital(phrase))
    words = {"how": finding.how, "side": finding.side, "zone": finding.zone}
    return _capital(pick(rng, SENTENCES[finding.kind]).format(**words))


def _listed(found: Sequence[Finding], rng: Rng) -> str:
    """Short list with one finding in each part, as in 'Small right pleural effusion; mild cardiomegaly'."""
    phrases = [re.sub(r"^an? ", "", phrase_of(finding, rng)) for finding in found]
    return _capital("; ".join(phrases)) + "."


def _organ(found: Sequence[Finding], kinds: tuple[str, ...], organ: str, rng: Rng) -> str:
    said = [sentence_of(finding, rng) for finding in found if finding.kind in kinds]
    return " ".join(said) if said else pick(rng, ABSENT[organ])


_ORGANS = {"heart": ("heart",), "lungs": ("consolidation", "nodule", "oedema"), "pleura": ("effusion", "pneumothorax")}
"""The kinds of finding that belong to each organ."""


def _report(case: Case, rng: Rng) -> str:
    """Heart, lungs and pleura are always mentioned, a device when there is one."""
    found = findings_of(case)
    parts = [_organ(found, kinds, organ, rng) for organ, kinds in _ORGANS.items()]
    return " ".join(parts + [sentence_of(finding, rng) for finding in found if finding.kind == "device"])


def _impression(case: Case, rng: Rng) -> str:
    found = findings_of(case)
    return _listed(found, rng) if found else pick(rng, ABSENT["all"])


def answer(case: Case, kind: str, rng: Rng) -> str:
    """A true answer to an open question of one of the kinds in `QUESTIONS`."""
    found = findings_of(case)
    if kind in {"description", "findings"}:
        return _report(case, rng)
    if kind == "both":
        return f"Findings: {_report(case, rng)} Impression: {_impression(case, rng)}"
    if kind in _ORGANS:
        return _organ(found, _ORGANS[kind], kind, rng)
    if kind == "normal":
        return f"Abnormal. {_listed(found, rng)}" if found else "Normal. " + pick(rng, ABSENT["all"])
    if kind == "risks":
        return f"Yes. {_listed(found, rng)} This needs follow-up." if found else "No. " + pick(rng, ABSENT["all"])
    return _impression(case, rng)


def yes_no_answer(case: Case, topic: Topic, rng: Rng) -> str:
    """A true answer to a yes/no question; it begins with Yes or No."""
    found = [finding for finding in findings_of(case) if finding.label in topic.labels]
    word = "Yes" if topic.holds(case) else "No"
    if not found:
        if topic.noun == "abnormality":
            return f"{word}. {pick(rng, ABSENT['all'])}"
        return pick(rng, NO).format(noun=_noun(topic, rng))
    if len(found) > 1 or rng.random() < 0.3:
        return f"{word}. {_listed(found, rng)}"
    if rng.random() < 0.5:
        return f"{word}, there is {phrase_of(found[0], rng)}."
    return f"{word}. {sentence_of(found[0], rng)}"


def _noun(topic: Topic, rng: Rng) -> str:
    """The thing that is asked about, with its place: 'right pleural effusion'."""
    noun, place = pick(rng, NOUNS[topic.noun]), topic.name.removeprefix(topic.noun).strip()
    if topic.name in ("heart", "infection") or not place:
        return noun
    if " " in place:
        return f"{noun} in the {place} zone" if rng.random() < 0.7 else f"{place} zone {noun}"
    after = (" on the {}", " in the {} lung") if topic.noun in ("consolidation", "nodule") else (" on the {}",)
    return f"{place} {noun}" if rng.random() < 0.6 else noun + pick(rng, after).format(place)


def yes_no_question(topic: Topic, rng: Rng) -> str:
    """One wording of a yes/no question."""
    if topic.noun == "abnormality" or (topic.questions and rng.random() < 0.6):
        return _loose(pick(rng, topic.questions), rng)
    if topic.name == "infection":
        return _loose(pick(rng, topic.questions), rng)
    asked = pick(rng, ASK).format(noun=_noun(topic, rng))
    return _loose(_capital(re.sub(r"\ba (?=[aeio])", "an ", asked)), rng)


def common_sentences(count: int = 80, cases: int = 600) -> tuple[str, ...]:
    """What reports about drawn cases say most often, the most frequent first."""
    rng = np.random.default_rng(0)
    told = (answer(sample_case(number), kind, rng) for number in range(cases) for kind in ("description", "impression"))
    sentences = Counter(part for text in told for part in re.split(r"(?<=\.) ", text))
    return tuple(sentence for sentence, _ in sentences.most_common(count))


def question(kind: str, rng: Rng) -> str:
    """One wording of an open question."""
    return _loose(pick(rng, QUESTIONS[kind]), rng)


def _loose(text: str, rng: Rng) -> str:
    """As people type: now and then without capital or without the mark at the end."""
    if rng.random() < 0.12:
        text = text.lower()
    return text.rstrip("?.") if rng.random() < 0.08 else text


_NEGATION = re.compile(r"\b(no|not|without|neither|nor|free of|clear|normal|nothing)\b")
_WORDS = {
    "cardiomegaly": r"cardiomegaly|cardiac enlargement|enlargement of the heart"
    r"|heart .*(enlarged|increased|widened)|silhouette .*enlarged",
    "effusion": r"effusion|pleural fluid",
    "pneumothorax": r"pneumothorax",
    "consolidation": r"consolidation",
    "nodule": r"nodule",
    "oedema": r"o?edema",
    "device": r"pacemaker|device",
}


def parse_labels(text: str) -> frozenset[str]:
    """The labels that a text claims: one finding a clause, clauses with a negation claim nothing."""
    bare = re.sub(r"^\s*(yes|no)[,.]\s*", "", text.lower())
    claimed: set[str] = set()
    for clause in re.split(r"[.;:]", bare):
        if not _NEGATION.search(clause):
            claimed.update(_claims(clause))
    return frozenset(claimed)


def _claims(clause: str) -> list[str]:
    sides = [side for side in SIDES if re.search(rf"\b{side}\b", clause)]
    zones = [zone for zone in ("upper", "lower") if re.search(rf"\b{zone}\b", clause)]
    claims = []
    for kind, words in _WORDS.items():
        if not re.search(words, clause):
            continue
        if kind in ("cardiomegaly", "oedema", "device"):
            claims.append(kind)
        elif kind == "consolidation":
            claims += [f"{kind} {side} {zone}" for side in sides for zone in zones]
        else:
            claims += [f"{kind} {side}" for side in sides]
    return claims


def parse_yes(text: str) -> bool | None:
    """True for an answer that begins with yes, False for no, None for anything else."""
    found = re.match(r"\s*(yes|no)\b", text.lower())
    return None if found is None else found.group(1) == "yes"
