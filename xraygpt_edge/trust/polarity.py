"""Whether a clause states a finding, denies it, or leaves it open."""

from __future__ import annotations

import re
from typing import Literal

from xraygpt_edge.trust.mentions import Mention

_NO = re.compile(
    r"\b(?:no|without|neither|nor|free of|clear of|negative for|absence of|absent|never|nothing|none|denies|excludes?|"
    r"rather than|"
    r"(?<!near )(?<!near complete )(?<!partial )resolution of|(?<!nearly )(?<!partially )(?<!almost )resolved|"
    r"(?<!if )not(?!\W+(?:\w+ly\W+)?(?:chang\w+|improv\w+|clear\w*|worse\w*|migrat\w+|the|only|different)))\b",
    re.IGNORECASE,
)
_ONLY_A_KIND = re.compile(
    r"\b(?:no|without|not|nor)\b(?:\W+(?:evidence|sign|signs|of|for|any|a|an|the|definite|or|radiographic))*\W+"
    r"(?:acute|new|other|large|larger|additional|further|significant|sizable|sizeable|gross|substantial|appreciable|"
    r"increasing|increased|enlarging|worsening|displaced|tension|frank|overt|recurrent|interval|superimposed|active)\b",
    re.IGNORECASE,
)
_MORE_ADJECTIVES = (
    r"small|tiny|mild|mildly|moderate|moderately|large|severe|minimal|trace|marked|stable|unchanged|persistent|residual|"
    r"increased|increasing|decreased|bibasilar|bilateral|left|right|patchy|low|there|the"
)
_NEXT_THING = re.compile(
    rf",\s*(?:and\s+)?(?=(?:a\s+|an\s+)?(?:{_MORE_ADJECTIVES})\b)|\band\s+(?=(?:a|an|there|the)\s)",
    re.IGNORECASE,
)
_EXCEPT = r"except(?: for)?|aside from|apart from|other than"
_GIVEN = re.compile(
    rf"\b(?:in the setting of|in addition to|(?<!likely )with (?:an )?associated|given the|{_EXCEPT})\b",
    re.IGNORECASE,
)
"""What stands behind is taken for granted, whatever is thought of what stands before."""
_NO_CHANGE = re.compile(
    r"\b(?:no|not|without)\s+(?:\w+\s+){0,3}(?:change|improvement|difference|increase|decrease|progression|worsening)\b",
    re.IGNORECASE,
)
"""Says nothing against what has not changed."""
_LIST_GOES_ON = re.compile(r"\b(?:or|nor)\b", re.IGNORECASE)
_NOT_BEHIND = re.compile(
    r"^\W*:\s*(?:none|no|nil|absent|negative|not|normal)\b"
    r"|^[^,]{0,60}?(?:(?<!\bif )\bnot\b(?!\W+(?:\w+ly\W+)?(?:excluded|ruled|only|clear(?:ly|ed)?|well|fully|chang\w+|"
    r"improv\w+|resolv\w+|progress\w+|worse\w*|migrat\w+|different|increased|decreased|large|substantial|necessarily|"
    r"appreciably|significantly|much))"
    r"|\bno longer\b|(?<!not )\b(?:has|have)\s+(?:now\s+|completely\s+|since\s+)?(?:resolved|cleared)\b"
    r"|\b(?:is|are)\s+(?:absent|excluded|normal)\b|(?<!not )(?<!be )\bruled out\b)",
    re.IGNORECASE,
)
_UNSURE_BEHIND = re.compile(
    r"^[^,]{0,60}?(?:\b(?:(?:cannot|can not|can't|could not|not|never|difficult to|hard to)\s+(?:be\s+)?(?:\w+\s+)?"
    r"(?:excluded?|ruled? out)|(?:is|are|be|was|were)\s+(?:also\s+|thought\s+)?(?:a\s+)?"
    r"(?:possible|possibility|suspected|questioned|probable|considered|consideration|presumed|"
    r"likely(?!\s+(?:unchanged|stable|similar|increas|decreas|improv|larger|smaller)))|"
    r"(?:may|might|could)\s+be\s+present|unlikely|suspected)\b|,?\s*if\s+(?:any|present)\b)"
    r"|^.{0,60}?,\s*if\s+(?:any|present)\b|^.{0,60}?\b(?:are|is) thought likely\b",
    re.IGNORECASE,
)
_NOT_JUDGED = re.compile(
    r"\b(?:sensitivity|evaluation|assessment|detection|evaluate|evaluating|detect|detecting|assess|assessing|"
    r"mistaken for|mimic\w*|simulat\w*)\b(?!\w)(?:\W+\w+){0,5}\W*$"
    r"|\b(?:clinical|history of|known history)\b\W*$",
    re.IGNORECASE,
)
_NOT_JUDGED_BEHIND = re.compile(
    r"^[^,]{0,40}?\b(?:cannot|can not|not|difficult to|hard to)\s+(?:be\s+)?(?:\w+\s+)?"
    r"(?:assess|evaluat|judge|visuali[sz]ed well)",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:may|might|could|possible|possibly|probable|suspected|suspicious|suspicion|concern\w*|question|questionable|"
    r"questioned|versus|vs|equivocal|potential\w*|worrisome|differential|perhaps|unlikely|if|whether|either|presumed|"
    r"(?:cannot|can not|can't|not|difficult to|hard to)\s+(?:\w+\s+)?(?:exclude|rule out|be excluded)|rule out)\b",
    re.IGNORECASE,
)
_LIKELY = re.compile(
    r"\b(?:likely|probably)\b(?!\W+(?:due|represent\w*|reflect\w*|secondary|related|from|a\s+combination|caused))",
    re.IGNORECASE,
)
"""As a doubt; "likely representing" is a reader's conclusion, as "consistent with" and "suggestive of" are."""
_INSIDE = re.compile(r"\b(?:not|no longer|normal|without|nor)\b", re.IGNORECASE)
_NOT_QUITE = re.compile(r"\b(?:not|otherwise|partially|less|rest|remainder|remaining|elsewhere|non)\b", re.IGNORECASE)
_BUT_FOR = re.compile(rf"\b(?:{_EXCEPT})\b", re.IGNORECASE)


def polarity_of(clause: str, mention: Mention) -> Literal["present", "absent", "unsure"] | None:
    """What a clause says about a finding that it names; None where it says nothing.

    "No acute", "no new" and "no large" deny only a kind of it, and so say nothing.
    """
    inside = clause[mention.start : mention.end]
    if mention.is_normal:
        return None if _NOT_QUITE.search(clause, 0, mention.end) or _BUT_FOR.search(clause) else "absent"
    before, behind = _before(clause, mention), clause[mention.end :]
    if _NOT_JUDGED.search(before) or _NOT_JUDGED_BEHIND.search(behind):
        return None
    if any(doubt.search(before) for doubt in (_HEDGE, _LIKELY)) or _UNSURE_BEHIND.search(behind):
        return "unsure"
    if _NO.search(before):
        return None if _ONLY_A_KIND.search(before) else "absent"
    if _INSIDE.search(inside) or _NOT_BEHIND.search(behind):
        return "absent"
    return "present"


def _before(clause: str, mention: Mention) -> str:
    """What stands before a mention and still speaks of it: "no effusion, small nodule" begins anew with the nodule."""
    before = _NO_CHANGE.sub("", _GIVEN.split(clause[: mention.start])[-1])
    if _LIST_GOES_ON.search(before) or _LIST_GOES_ON.search(clause, mention.end):
        return before
    starts = [found.end() for found in _NEXT_THING.finditer(before + clause[mention.start : mention.start + 1])]
    return before[starts[-1] :] if starts else before
