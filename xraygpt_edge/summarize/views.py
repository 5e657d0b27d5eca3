"""What a report says of the views that were taken, and the parts of a sentence that go with it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xraygpt_edge.summarize.clauses import Part, smallest

_WORD = (
    r"frontal|lateral|pa|ap|p\.a\.|a\.p\.|postero-?\s?anterior|antero-?\s?posterior|oblique|lordotic|decubitus|bedside|"
    r"portable|mobile|upright|erect|supine|prone|semi-?\s?(?:erect|upright|supine|recumbent)|recumbent|sitting|standing|"
    r"cross-?table|inspiratory|expiratory|swimmer'?s|apical lordotic|orthogonal"
)
_COUNT = (
    r"single|one|two|three|four|both|1|2|3|4|multiple|dual|additional|repeat|second|first|all|these|this|several|serial"
)
_IMAGE = (
    r"(?:views?|projections?|radiographs?|radiograms?|films?|images?|x-?\s?rays?|radiography|exposures?|images|cxrs?)"
)
_LINK = r"(?:\s*[,/&+-]\s*|\s+and\s+|\s+or\s+|\s+|\s*,\s*and\s+)"
_BODY = r"(?:(?:chest|thorax|thoracic|plain|digital|standard|cardiac|limited|study|examination)\s+)*"
_OF = r"(?:\s+(?:of|through|to)\s+(?:the\s+)?(?:chest|thorax|lungs?|patient)(?:\s+and\s+(?:upper\s+)?abdomen)?)?"
_FILMS = (
    rf"(?:(?:the|a|an|these|this|those|our)\s+)?(?:(?:{_COUNT})(?:\s+of)?{_LINK})*(?:(?:{_WORD}){_LINK})+{_BODY}"
    rf"(?:(?:{_WORD}){_LINK})*{_IMAGE}{_OF}"
    rf"|(?:(?:the|these|both)\s+)?(?:{_COUNT})\s+{_BODY}(?:views?|projections?|exposures?|images|films|radiographs){_OF}"
    rf"|(?:(?:the|a|an|this)\s+)?(?:(?:{_COUNT})\s+)?(?:(?:{_WORD}){_LINK})+(?:chest|thorax)(?:\s+(?:exam(?:ination)?|study))?(?!\s+(?:wall|tube|radiograph|x|film|pain))"
    rf"|(?:chest|thorax)\s*,?\s+(?:{_COUNT}|{_WORD})(?:{_LINK}(?:{_COUNT}|{_WORD}))*(?:\s+{_IMAGE})?(?=\s*[.;:]|\s*$)"
    r"|(?:pa|ap|frontal)\s*(?:and|&|/|\+)\s*(?:lat|lateral)\b(?!\s+(?:ribs?|chest\s+wall|aspects?))"
    rf"|(?:the\s+)?(?:{_WORD})\s+(?:technique|projection|positioning|position|exam(?:ination)?|study|imaging|filming|acquisition|nature)"
    rf"(?:\s+of\s+the\s+(?:exam(?:ination)?|study|film|radiograph|image))?"
    r"|(?:the\s+)?(?:lateral|frontal|decubitus)(?=\s+(?:shows?|demonstrates?|reveals?|is\s+limited|only|alone)\b)"
    r"|(?:the\s+)?(?:lateral|frontal|decubitus)(?=\s*(?:[.,;)]|$))"
    r"|views?\s+of\s+the\s+(?:chest|thorax)|(?:other|second|additional|this|these|either|each|single|only)\s+(?:view|projection)s?"
    r"|\bdecubitus\b"
)
VIEW = re.compile(rf"(?<![\w-])(?:{_FILMS})\b", re.IGNORECASE)
"""Words that name a view: "PA and lateral views of the chest", "the portable film". "Lateral rib" and "AP "
"window" do not."""
_NO_VIEW = re.compile(
    r"\b(?:ap|aortopulmonary)\s+window|\b(?:main|left|right|enlarged)\s+pa\b|\b(?:ap|transverse|pa)\s+diameter|"
    r"\b(?:inferior|anterior|posterior|supero|infero|mid|far|more)-?\s?lateral\b|\blaterally\b|\blateral\s+(?:aspect|ribs?|border|wall|"
    r"margin|costophrenic|chest\s+wall|segment|portion|left|right|to|clavicle|pleura\w*|base|sulc\w+)",
    re.IGNORECASE,
)
_TAKEN = re.compile(
    r"(?:\s+(?:___|radiographs?|at\s+\S+|on\s+\S+|dated\s+\S+))*\s*(?:,\s*)?(?:(?:was|were|is|are|has\s+been|have\s+been)\s+)?"
    r"(?:obtained|provided|submitted|acquired|performed|presented|available|reviewed|taken|received|made|done|evaluated|"
    r"compared|interpreted|included|examined|limited)\b",
    re.IGNORECASE,
)
_SHOWS = re.compile(
    r"(?:\s+(?:was|were)\s+(?:obtained|provided|reviewed|performed)\s+(?:and|which))?\s+(?:again\s+|also\s+|only\s+)?"
    r"(?:demonstrat(?:es?|ing|ed)|show(?:s|ing|ed)?|reveal(?:s|ing|ed)?|confirms?|depicts?|exhibits?|displays?)\s+(?:that\s+)?"
    r"(?!the\s+[\w\s]{2,40}\bto\s+be\b)",
    re.IGNORECASE,
)
_SEEN = re.compile(
    r"(?P<comma>\s*,)?\s*(?P<seen>\b(?:as\s+)?(?P<how>(?:best|better|only|well|also|more\s+clearly|clearly|again|particularly)\s+)?"
    r"(?:seen|visuali[sz]ed|visible|appreciated|demonstrated|noted|identified|evident|shown|apparent|depicted|imaged|present)\s+(?:only\s+)?)?"
    r"\b(?:on|in|from|by|with|to)\s+(?:the\s+|this\s+|a\s+|an\s+|both\s+|these\s+)?$",
    re.IGNORECASE,
)
_NOT = re.compile(r"\bnot\s+(?:\w+\s+)?$", re.IGNORECASE)
"""Not seen there: without the place, it would not be there at all."""
_BLAMED = re.compile(
    r",?\s*\b(?:(?:which|this|that|and|but|although|though)\s+)*(?:is|are|may\s+be|might\s+be|could\s+be|likely|probably|in\s+part|"
    r"partly|at\s+least\s+partly|somewhat|possibly|\s)*\s*\b(?:accentuated|exaggerated|magnified|limited|related|due|"
    r"secondary|attributable)\s*$",
    re.IGNORECASE,
)
_BE = re.compile(r"\b(?:is|are|was|were|be|been|not)\s*$", re.IGNORECASE)


def next_view(text: str, start: int = 0) -> tuple[int, int] | None:
    """The first words at or behind a place that name a view; None where there are none."""
    other = [m.span() for m in _NO_VIEW.finditer(text)]
    for m in VIEW.finditer(text, start):
        if not any((first <= m.start() and m.end() <= last) or m.start() <= first < m.end() for first, last in other):
            return m.span()
    return None


def view_removed(text: str, first: int, last: int) -> Part:
    """What to take out of a sentence because of the view that text[first:last] names."""
    return smallest(text, first, last, _phrases(text, first, last))


def _phrases(text: str, first: int, last: int) -> Iterator[Part]:
    if not text[:first].strip():
        shows = _SHOWS.match(text, last)
        if shows:
            yield ((0, shows.end()),)
        taken = _TAKEN.match(text, last)
        if taken:
            yield from _behind_taken(text, taken.end())
    seen = _SEEN.search(text, 0, first)
    if seen:
        yield from _without_place(text, seen, last)
        if not text[: seen.start()].strip():
            comma = re.compile(r"\s*,\s*").match(text, last)
            yield ((0, comma.end() if comma else last),)


def _behind_taken(text: str, at: int) -> Iterator[Part]:
    """What is said behind it may stand alone: "Two views were obtained and the lungs are clear"."""
    joint = re.compile(
        r"\s*(?:;|,?\s+and\b|\.|,?\s+(?:which|demonstrating|showing|revealing)\b(?:\s+(?:shows?|demonstrates?|reveals?))?)\s*"
    ).match(text, at)
    if joint and text[joint.end() :].strip(" ."):
        yield ((0, joint.end()),)


def _without_place(text: str, seen: re.Match[str], last: int) -> Iterator[Part]:
    """The place goes, and what was only said of it: "..., best seen on the lateral view"."""
    place = seen.end("seen") if seen["seen"] else seen.start()
    before = text[: seen.start("seen")] if seen["seen"] else text[: seen.start()]
    if _NOT.search(before):
        return
    if blamed := _BLAMED.search(before):
        yield ((blamed.start(), last),)
    elif not seen["seen"]:
        yield ((place, last),)
    elif _BE.search(before):
        yield (seen.span("how"), (place, last)) if seen["how"] else ((place, last),)
    else:
        comma = re.compile(r"\s*,").match(text, last) if seen["comma"] else None
        yield ((seen.start(), comma.end() if comma else last),)
        yield ((place, last),)
