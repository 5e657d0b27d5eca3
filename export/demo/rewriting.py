"""What the demonstration learns to rewrite: each finding once, in one wording, then the rest as it is.

    rules' text ── sentences ──▶ what each says ── sorted, each once ──▶ one wording for each ──▶ paragraph

The way back from words to findings is a table of every sentence that the phantoms' reports have; what is not in it is
taken over as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import product

from .findings import SIDES
from .texts import Finding
from .wording import ABSENT, PHRASES, SENTENCES, SHOWN

TOLD = {
    "heart": "The heart is {how}ly enlarged.",
    "consolidation": "There is {how} consolidation in the {side} {zone} zone.",
    "nodule": "There is a nodule in the {side} {zone} zone.",
    "oedema": "There is {how} pulmonary oedema.",
    "effusion": "There is a {how} {side} pleural effusion.",
    "pneumothorax": "There is a {how} {side} pneumothorax.",
    "device": "A pacemaker lies on the {side}.",
}
"""The one wording of each kind of finding, in the order of a summary."""
NORMAL_HEART = "The heart is normal in size."
NORMAL_LUNGS = "The lungs are clear."
NORMAL_PLEURA = "There is no pleural effusion or pneumothorax."
NO_EFFUSION = "There is no pleural effusion."
NO_PNEUMOTHORAX = "There is no pneumothorax."
_HOW = {
    "heart": ("mild", "marked"),
    "consolidation": ("patchy", "dense"),
    "oedema": ("mild", "marked"),
    "effusion": ("small", "moderate", "large"),
    "pneumothorax": ("small", "large"),
}
_ZONED = ("consolidation", "nodule")
_ALSO_SHOWN = ("{It} is best seen.", "{It}, is noted.", "{It}.")
"""What is left of a sentence about a view or a measure."""


def rewritten(text: str) -> str:
    """The paragraph that says the same as a text of the rules."""
    known = _known()
    said = dict.fromkeys(known.get(_bare(sentence), sentence) for sentence in _sentences(text))
    if NORMAL_PLEURA in said or {NO_EFFUSION, NO_PNEUMOTHORAX} <= said.keys():
        said = dict.fromkeys([*(s for s in said if s not in {NO_EFFUSION, NO_PNEUMOTHORAX}), NORMAL_PLEURA])
    places = {sentence: place for place, sentence in enumerate(dict.fromkeys(_in_order()))}
    return " ".join(sorted(said, key=lambda sentence: places.get(sentence, len(places))))


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+(?=[A-Z0-9])", text)


def _bare(sentence: str) -> str:
    return sentence.rstrip(".").casefold()


def _in_order() -> Iterator[str]:
    """Every wording that a summary may have, in its order: what is there, or that nothing is."""
    for kind in TOLD:
        yield from (_told(finding) for finding in _all(kind))
        yield from {
            "heart": (NORMAL_HEART,),
            "oedema": (NORMAL_LUNGS,),
            "pneumothorax": (NORMAL_PLEURA, NO_EFFUSION, NO_PNEUMOTHORAX),
        }.get(kind, ())


def _told(finding: Finding) -> str:
    return TOLD[finding.kind].format(how=finding.how, side=finding.side, zone=finding.zone)


def _all(kind: str) -> Iterator[Finding]:
    """Each finding of a kind that a phantom can have."""
    sides = ("",) if kind in {"heart", "oedema"} else SIDES
    for side, zone, how in product(sides, ("upper", "lower") if kind in _ZONED else ("",), _HOW.get(kind, ("",))):
        yield Finding(kind, kind, how, side, zone)


@cache
def _known() -> dict[str, str]:
    """What every sentence about phantoms says, by its words without capitals and full stop."""
    denials = {"heart": NORMAL_HEART, "lungs": NORMAL_LUNGS, "pleura": NORMAL_PLEURA}
    known = {_bare(sentence): told for organ, told in denials.items() for sentence in ABSENT[organ]}
    known |= {_bare(sentence): NO_EFFUSION for sentence in ABSENT["pleura"] if "costophrenic" in sentence}
    known[_bare("No pneumothorax is seen.")] = NO_PNEUMOTHORAX
    for kind in TOLD:
        for finding in _all(kind):
            known |= dict.fromkeys(map(_bare, _wordings(finding)), _told(finding))
    granuloma = "a small calcified granuloma"
    return known | dict.fromkeys(map(_bare, _shown(granuloma)), f"There is {granuloma}.")


def _wordings(finding: Finding) -> Iterator[str]:
    words = {"how": finding.how, "side": finding.side, "zone": finding.zone}
    yield from (sentence.format(**words) for sentence in SENTENCES[finding.kind])
    for phrase in PHRASES[finding.kind]:
        yield from _shown(phrase.format(**words))


def _shown(phrase: str) -> Iterator[str]:
    return (shown.format(it=phrase, It=phrase) for shown in (*SHOWN, *_ALSO_SHOWN))
