"""Who was told about a report, who signed it, and what a later note corrects: nothing of it was seen in the film."""

from __future__ import annotations

import re

_SOMEBODY = (
    r"drs?\b\.?|doctors?|physicians?|nurses?|team|residents?|providers?|clinicians?|attending|surgeon|pa-c|"
    r"house\s*(?:staff|officer)|intern|fellow|referr(?:ing|er)|caregivers?|practitioner|(?:tele)?phone|pager|page|e-?mail|"
    r"dashboard|m\.?d\b\.?|r\.?n\b\.?|n\.?p\b\.?|___|x{4,}|covering|ordering|icu|ed\b|ward|office|patient'?s"
)
_TELLING = (
    r"discussed|communicated|reported|relayed|conveyed|telephoned|phoned|paged|notified|informed|e-?mailed|called|"
    r"made\s+aware|was\s+told|were\s+told|alerted|faxed|texted|entered|posted|contacted|acknowledged|read\s+back"
)
_TOLD = re.compile(
    rf"\b(?:(?:which|who|that|this|these|and)\s+(?:was|were|has\s+been|have\s+been)\s+)?(?:as\s+)?(?:{_TELLING})\b"
    rf"(?=[^.;]{{0,80}}?\b(?:{_SOMEBODY})|\s+(?:by|to|with|at|on|via|over|in\s+person)\b)(?!\s+(?:in|for)\s+(?:the\s+)?literature)"
    r"|\btelephone\s+(?:notification|call|conversation|report)|\bverbal(?:ly)?\s+(?:report|communicat|confirm)\w*"
    r"|\b(?:a|an|the)\s+(?:page|e-?mail|message|call|wet\s+read)\s+(?:was|has\s+been)\s+(?:sent|made|placed|left|provided|given)\b"
    r"|\b(?:electronically|digitally)\s+(?:signed|approved|verified)|\bi,?\s+(?:the\s+(?:attending|teaching)|have\s+(?:personally\s+)?reviewed)"
    rf"|\b(?:dr|drs|doctor|nurse)\b\.?\s+\S+(?:\s+\S+)?\s+(?:was|were|has\s+been|is)\s+(?:{_TELLING}|aware|paged)"
    r"|\bread\s+back\b|\bcritical\s+(?:result|value|finding)s?\s+(?:was|were|call|notif|communicat)\w*"
    r"|\b(?:minutes|min)\s+after\s+(?:the\s+)?(?:discovery|observation|findings?|review)",
    re.IGNORECASE,
)
CORRECTS = re.compile(
    r"\b(?:should\s+(?:have\s+)?(?:read|say|said|be(?:en)?\s+(?:right|left|read))|(?:is|was|were)\s+(?:incorrect\w*|wrong\w*|"
    r"erroneous\w*|in\s+error|misstated|mislabell?ed|a\s+typo\w*|mis-?dictated)|in\s+error|incorrectly|erroneous(?:ly)?|correction|"
    r"corrected|typographical|dictation\s+error|mis-?(?:stated|dictat\w+|transcri\w+|labell?ed)|rather\s+than|instead\s+of|"
    r"(?:is|was)\s+in\s+fact|actually|retract\w*|rescind\w*|disregard|supersed\w*|revis(?:ed|ion)|discrepan\w*|"
    r"(?:was|were)\s+(?:not|missed|overlooked|omitted)|not\s+(?:mentioned|described|reported)|differ\w*\s+from)\b",
    re.IGNORECASE,
)
"""What an addendum says when the report above it is not right."""


def told(text: str) -> tuple[int, int] | None:
    """The words of a sentence that say who was told; None where none do."""
    found = _TOLD.search(text)
    return found.span() if found else None
