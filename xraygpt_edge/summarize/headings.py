"""Where the headings of a report are, and what each means; "FINDINGS:" in its real variety."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "findings",
    "impression",
    "findings and impression",
    "addendum",
    "wet read",
    "notification",
    "recommendation",
    "history",
    "comparison",
    "technique",
    "examination",
    "signature",
    "title",
    "other",
    "unlabelled",
    "banner",
]
Decided: TypeAlias = Literal["heading", "title of the examination", "no heading", "place before the impression"]

NAMES: tuple[tuple[Kind, str], ...] = (
    (
        "findings and impression",
        (
            r"(?:findings?|observations?)\s*(?:and|&|/|,|-|\+|or)\s*(?:impressions?|conclusions?)|"
            r"(?:impressions?|conclusions?)\s*(?:and|&|/|,|-|\+)\s*findings?"
        ),
    ),
    (
        "findings",
        (
            r"(?:(?:additional|other|radiographic|radiological|imaging|chest|pertinent|incidental|new|positive|significant|"
            r"x-?ray|cxr|relevant)\s+)*(?:findings?|observations?)|results?|report|description|body of report"
        ),
    ),
    (
        "impression",
        (
            r"(?:(?:final|overall|preliminary|general|diagnostic|radiologic(?:al)?)\s+)*(?:impressions?|conclusions?)|opinion|"
            r"summary|interpretation|assessment|imp|radiologic(?:al)?\s+diagnos[ie]s|concl"
        ),
    ),
    ("addendum", r"addend(?:um|a)(?:\s*(?:#|no\.?)?\s*\d+)?(?:\s+begins?)?|late\s+addendum|amend(?:ment|ed report)"),
    (
        "wet read",
        (
            r"wet\s+read(?:ing)?(?:\s+version(?:\s*#?\s*\d+)?)?|prelim(?:inary)?\s+(?:read(?:ing)?|report|interpretation)|"
            r"initial\s+read"
        ),
    ),
    (
        "notification",
        (
            r"notifications?|(?:critical\s+)?communications?|critical\s+(?:results?|findings?|values?)(?:\s+communication)?|"
            r"communicated|discussed\s+with"
        ),
    ),
    ("recommendation", r"recommendations?(?:\(s\))?|advice|follow[- ]?up|suggestions?|plan"),
    (
        "history",
        (
            r"(?:(?:clinical|patient|medical|past|relevant|brief|surgical|present|pertinent)\s+)*"
            r"(?:indications?|histor(?:y|ies)|information|data|details|concerns?|notes?|context|question|presentation|statement)"
            r"|(?:clinical\s+)?diagnos[ie]s|hx|ind|reason(?:\s+for)?(?:\s+(?:the|this))?\s*(?:exam(?:ination)?|study|test|visit|"
            r"referral|request|order)?|signs\s+and\s+symptoms|symptoms|complaints?|request|patient|age|sex|dob|"
            r"date of birth"
        ),
    ),
    (
        "comparison",
        (
            r"comparisons?(?:\s+(?:study|studies|exams?|examinations?|films?|radiographs?))?|compared?\s+(?:to|with)|"
            r"reference\s+exam(?:ination)?|priors?|previous\s+(?:study|studies|exams?|examinations?)|comp"
        ),
    ),
    (
        "technique",
        (
            r"techniques?|protocol|views?|projections?|number of views|exposures?|contrast|dose|limitations?|quality|"
            r"image quality|radiation(?:\s+dose)?"
        ),
    ),
    (
        "examination",
        (
            r"exam(?:ination)?s?(?:\s+type)?|stud(?:y|ies)|procedures?|type\s+of\s+exam(?:ination)?|modality|"
            r"(?:exam(?:ination)?\s+|study\s+)?date(?:\s+of\s+(?:exam(?:ination)?|service|study))?|accession(?:\s+(?:number|no))?|"
            r"service(?:\s+date)?|department|location|order(?:ing)?(?:\s+\w+)?|mrn|name"
        ),
    ),
    (
        "signature",
        (
            r"(?:electronically\s+)?(?:signed|dictated|transcribed|approved|verified|authenticated|interpreted|read|reviewed)"
            r"(?:\s+(?:by|on|and))*|attending(?:\s+radiologist)?|resident|radiologist|physician|provider|contact(?:\s+name)?|"
            r"reported\s+by|cc"
        ),
    ),
)
_KIND_OF = tuple((kind, re.compile(rf"(?:{names})", re.IGNORECASE)) for kind, names in NAMES)
_ANY_NAME = "|".join(f"(?:{names})" for _, names in NAMES)
_DECORATION = r"[*#=_~<>|\[\]\-\u2013\u2014\u2022]"
_STAMP = (
    r"(?:[ \t]*(?:\([^)\n]{0,40}\)|_{2,}|#\d+|\d{1,2}[:/.\-]\d{1,2}(?:[/.\-]\d{2,4}|:\d\d)?|[ap]\.?m\.?|by\b|dr\.?|"
    r"on\b|at\b))"
)
"""What may stand between a name and its colon: when, and by whom."""
_LINE = re.compile(r"[^\n]+")
_SPACE = re.compile(r"[ \t]*")
_COLON = re.compile(":")
LONGEST_HEADING = 300
"""Characters, white space before it included."""
MOST_COLONS = 200
"""Of a line, that may end a heading: a whole report may be one line."""
_BANNER = re.compile(
    rf"[ \t]*(?:{_DECORATION}{{2,}}[ \t]*)?(?:final|radiology|diagnostic|preliminary|amended|corrected|imaging)"
    rf"(?:[ \t]+(?:radiology|imaging))?[ \t]+reports?[ \t:]*{_DECORATION}*[ \t]*"
    r"|[ \t]*[_=*\-\u2013\u2014]{10,}[ \t]*"
    rf"|[ \t]*{_DECORATION}*[ \t]*end\s+of\s+(?:addendum|impression|findings|report|"
    rf"wet\s+read)[ \t.]*{_DECORATION}*[ \t]*",
    re.IGNORECASE,
)
"""A line that ends whatever section stands above it, and is none itself."""
_LINE_START = re.compile(
    rf"[ \t]*(?:{_DECORATION}+[ \t]*)?(?P<name>{_ANY_NAME})(?P<stamp>{_STAMP}*)"
    rf"(?:[ \t]*{_DECORATION}*[ \t]*(?P<colon>:)(?!\d)"
    r"[ \t]*(?:\*{2,3})?"
    rf"|(?P<alone>[ \t]*{_DECORATION}*[ \t]*\Z)"
    r"|(?P<dash>[ \t]*[.\u2013\u2014=>\-]+[ \t]+(?=\S))"
    r"|(?P<bare>[ \t]+(?=[A-Z0-9\d][a-z.)])))",
    re.IGNORECASE,
)
_WHEN_READ = re.compile(r"(?:[ \t]*_{2,})*[ \t]*\d{1,2}:\d\d(?:[ \t]*[ap]\.?m\.?)?[ \t]*\Z", re.IGNORECASE)
"""When and by whom a preliminary reading was made, in the line of its heading."""
_BEFORE_COLON = re.compile(rf"(?<![\w'\-/])(?P<name>{_ANY_NAME}){_STAMP}*[ \t]*\Z", re.IGNORECASE)
_AFTER_A_SENTENCE = re.compile(r"(?:[.!?:;)\]]|_{2,})[\"']?[ \t]+\Z|[ \t]{2,}\Z|\t\Z|\|[ \t]*\Z")
_FILM = re.compile(
    r"\b(?:chest(?! (?:wall|tube))|thorax|radiographs?|radiograms?|views?|films?|x-?rays?|cxr|portable)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    r"\b(?:is|are|was|were|has|have|shows?|demonstrates?|reveals?|submitted|obtained|discussed|following|compar\w*)\b|\.\s",
    re.IGNORECASE,
)
_PARTS = re.compile(
    r"(?:(?:right|left|visualized|visualised|upper|lower|the)\s+)*(?:lungs?|heart|cardiac|pleura\w*|mediastin\w*|"
    r"cardiomediastin\w*|hil[aumr]\w*|bones?|osseous|bony|soft\s+tissues?|chest\s+wall|abdomen|aorta|trachea|airways?|"
    r"diaphragms?|hemidiaphragms?|lines?|tubes?|devices?|catheters?|hardware|supports?|ribs?|spine|vascul\w*|pulmonary|"
    r"parenchyma|thorax|costophrenic|other|miscellaneous|skeleton|skeletal|musculoskeletal|lines?\s*/\s*tubes?|medical)"
    r"[\w \t,/&()\-]{0,40}",
    re.IGNORECASE,
)
"""What a line inside the findings may begin with before a colon, and is no heading."""
_EVERYDAY = re.compile(
    r"(?:results?|report|description|opinion|summary|interpretation|assessment|imp|concl|plan|age|sex|name|reason|request|"
    r"patient|question|notes?|data|details|concerns?|context|presentation|statement|views?|exposures?|contrast|dose|quality|"
    r"limitations?|priors?|service|location|department|physician|provider|resident|cc|read|reviewed|signed|comp|ind|hx|"
    r"follow[- ]?up|advice|suggestions?|complaints?|symptoms|compared?\s+(?:to|with)|discussed\s+with|"
    r"communicated|contact|"
    r"order\w*|procedures?|stud(?:y|ies)|new findings?|other findings?|information|protocol|projections?|diagnos[ie]s)",
    re.IGNORECASE,
)
"""Everyday words: headings in capitals, or with a colon at the beginning of a line."""


@dataclass(frozen=True, slots=True)
class Heading:
    """One heading; places are characters of the report."""

    kind: Kind
    start: int
    end: int
    """Behind its colon, and the white space there."""
    decided: Decided = "heading"

    def is_banner_of_words(self, text: str) -> bool:
        """It is a line such as FINAL REPORT, and no drawn one."""
        return self.kind == "banner" and any(map(str.isalpha, text[self.start : self.end]))


def headings(text: str) -> list[Heading]:
    """Every heading and every banner, from left to right."""
    return [heading for line in _LINE.finditer(text) for heading in _in_line(text, line.start(), line[0])]


def _in_line(text: str, at: int, line: str) -> Iterator[Heading]:
    begin = line if len(line) <= LONGEST_HEADING else f"{line[:LONGEST_HEADING]} ..."
    if _BANNER.fullmatch(begin):
        yield Heading("banner", at, at + len(line))
        return
    end = 0
    first = _at_start(text, at, begin)
    if first:
        yield first
        end = first.end - at
    for colon in islice((m.start() for m in _COLON.finditer(line, end)), MOST_COLONS):
        found = _before_colon(at, line, end, colon)
        if found:
            yield found
            end = found.end - at


def _at_start(text: str, at: int, line: str) -> Heading | None:
    m = _LINE_START.match(line)
    if m is None:
        return None
    name, kind = m["name"], _kind(m["name"])
    is_everyday = _EVERYDAY.fullmatch(name) is not None
    if m["bare"] is not None:
        is_one = name.isupper() and kind in ("findings", "impression", "findings and impression") and not is_everyday
    elif m["dash"] is not None:
        is_one = name.isupper() and not is_everyday
    elif m["alone"] is not None:
        is_one = _stands_alone(text, at, name, is_everyday=is_everyday)
    else:
        is_one = name.isupper() or (name[0].isupper() and not is_everyday) or _begins_anew(text, at)
    stamp = _WHEN_READ.match(line, m.end()) if kind in ("wet read", "addendum") else None
    begin = len(line) - len(line.lstrip())
    return Heading(kind, at + begin, at + (stamp.end() if stamp else m.end())) if is_one else None


def _stands_alone(text: str, at: int, name: str, *, is_everyday: bool) -> bool:
    """A heading without a colon, in a line of its own: in capitals, or behind an empty line."""
    if name.isupper():
        return not is_everyday or len(name) >= 4
    before = text[:at].rstrip(" \t")
    return not is_everyday and name[0].isupper() and (not before or before.endswith("\n\n"))


def _begins_anew(text: str, at: int) -> bool:
    """Nothing before it goes on."""
    before = text[max(0, at - 200) : at].rstrip(" \t")
    return not before.rstrip() or before.endswith("\n\n") or before.rstrip()[-1] in ".!?:;_"


def _before_colon(at: int, line: str, begin: int, colon: int) -> Heading | None:
    if line[colon + 1 : colon + 2].isdigit():
        return None
    end = next(_SPACE.finditer(line, colon + 1)).end()
    m = _BEFORE_COLON.search(line, max(begin, colon - 60), colon)
    while m:  # "the chest FINDINGS:" names two, of which the shorter one may be meant
        found = _in_mid_line(at, line, m, end) if line[begin : m.start()].strip() else None
        if found:
            return found
        m = _BEFORE_COLON.search(line, m.start() + 1, colon)
    return _title(at, line[:colon], end) if begin == 0 and 3 <= colon <= 90 else None


def _in_mid_line(at: int, line: str, m: re.Match[str], end: int) -> Heading | None:
    name = m["name"]
    is_everyday = _EVERYDAY.fullmatch(name) is not None
    follows = _AFTER_A_SENTENCE.search(line, 0, m.start()) is not None
    is_one = (follows or not is_everyday) if name.isupper() else (name[0].isupper() and follows and not is_everyday)
    return Heading(_kind(name), at + m.start("name"), at + end) if is_one else None


def _title(at: int, line: str, end: int) -> Heading | None:
    """A heading that names the examination ("PORTABLE AP CHEST RADIOGRAPH:"), or an unknown one in capitals."""
    name = line.strip(" \t*#-")
    is_film = _FILM.search(name) is not None
    if is_film and not re.search(r"\bcompar", name, re.IGNORECASE):
        short = name[:1].isupper() and len(name) < 60 and not _SENTENCE.search(name)
        is_one = name.isupper() or short
        return Heading("title", at, at + end, "title of the examination") if is_one else None
    is_unknown = name.isupper() and len(name) > 2 and name[0].isalpha() and "_" not in name
    return Heading("other", at, at + end) if is_unknown and not _PARTS.fullmatch(name) else None


def _kind(name: str) -> Kind:
    return next((kind for kind, pattern in _KIND_OF if pattern.fullmatch(name.strip())), "other")
