"""Whether a sentence compares with another examination: a list of words, and what only looks like one of them."""

from __future__ import annotations

import re

_VERBS = (
    r"improved|worsened|increased|decreased|resolved|progressed|regressed|changed|cleared|enlarged|developed|"
    r"diminished|grown|deteriorated|advanced|migrated|moved|evolved|recurred|reappeared|reaccumulated|re-?expanded"
)
_MOVED = r"removed|placed|replaced|repositioned|withdrawn|retracted|exchanged|extubated|pulled back|pulled"
_FILM = r"(?:chest\s+)?(?:films?|stud(?:y|ies)|radiographs?|x-?rays?|exam(?:ination)?s?|images?|cts?)"
_COMES_AND_GOES = r"(?:effusion|opacit|edema|consolidation|pneumothora|atelectas|infiltrate|congestion)\w*"
"""What decreased; "decreased lung volumes" are those of one film."""
_COMPARISON = re.compile(
    r"\b(?:unchanged|unaltered|stable|stably|stability|"
    rf"(?:has|have|had)\s+(?:(?!been\b)\w+\s+){{0,3}}(?:{_VERBS}|become)|"
    rf"(?:has|have|had)\s+(?:\w+\s+){{0,3}}been\s+(?:\w+\s+)?(?:an?\s+)?(?:interval|{_MOVED}|improvement|increase|decrease|"
    r"change|progression)|"
    rf"(?:{_VERBS})\s+(?:since|from|compared)|(?<!an )improved|worsened|improvements?|improving|worsening|worse|"
    r"progression|progressed|progressive(?:ly)?|regression|evolving|evolution|"
    r"(?<!rib )intervals?|interim|since|again|re-?(?:demonstrat\w+|identified|visuali[sz]ed)|compar(?:e[ds]?|"
    r"isons?|able|ing)|"
    r"priors?|previous|previously|preceding|pre-?existing|former|formerly|baseline|"
    r"(?:little|no|not|without|minimal)\s+(?:\w+\s+)?change[sd]?|new|newly|persist\w*|remains?|remained|"
    r"continues?|continued|still|resolving|resolution|resolved|earlier|yesterday|increasing(?:ly)?|decreasing|"
    r"no longer|"
    r"(?:increase|decrease|reduction|change)\s+(?:in|of)(?!\s+(?:\w+\s+){0,3}markings\b)|(?:increase|decrease|change)\s+since|enlarging|"
    r"(?:larger|smaller|better|greater|lower|higher|more\s+\w+|less\s+\w+|worse)\s+than\s+(?:before|on|in|at|seen|it)|"
    r"(?<!have a )similar\s+(?:to|in|as|compared|appearance|findings|degree|extent)|similarly|as before|"
    r"(?:less|more)\s+\w+\s+(?:on\s+)?(?:today|(?:the|this)\s+(?:current|present))|(?:less|more)\s+(?:conspicuous|widened)|"
    rf"decreased\s+(?:\w+\s+){{0,3}}(?:{_COMES_AND_GOES})|"
    r"(?:appears?|is|are|was|were|looks?)\s+(?:\w+\s+){0,2}similar|"
    rf"(?:last|recent|old(?:er)?|outside)\s+{_FILM}|day(?:s)?\s+(?:before|earlier|ago)|(?:weeks?|months?|years?)\s+ago|"
    r"relative\s+to\s+(?:the\s+)?(?:___|radiograph|study|film|exam)|"
    r"(?:is|are)\s+now|now\s+(?:seen|shows?|has|have|ends?|terminates?|lies|projects?|is|are|more|less|in|at)|"
    r"unchanging|constant\s+(?:in|since)|not\s+significantly\s+(?:different|changed))\b",
    re.IGNORECASE,
)
_BODY = (
    r"degenerative|osseous|bony|chronic|post-?operative|post-?surgical|emphysematous|fibrotic|inflammatory|arthritic|cystic|"
    r"pleural|parenchymal|interstitial|pulmonary|skeletal|arthropathic|acute|destructive|lytic|senile|hypertrophic|cardiac|"
    r"granulomatous|scarring|spondylotic|radiation|bullous|atelectatic|focal|infiltrative|aggressive|suspicious|gross"
)
_NO_COMPARISON = re.compile(
    r"\b(?:(?:priors?|previous)\s+(?:\w+\s+){0,2}(?:surg\w+|granulomatous|sternotom\w+|cabg|fractures?|infection|resections?|"
    r"operations?|lobectom\w+|mastectom\w+|thoracotom\w+|pneumonectom\w+|interventions?|trauma|injur\w+|vertebroplast\w+|"
    r"kyphoplast\w+|tuberculosis|cholecystectom\w+|bypass|repair|replacement|radiation|radiotherapy|exposure|tb|"
    r"histoplasmosis|inflammation|disease|pleurodesis|placement)|"
    r"previously\s+(?:operated|irradiated|resected|fractured)|previous(?:ly)?\s+healed|"
    r"no\s+(?:\w+\s+){0,2}(?:priors?|previous|comparisons?|earlier)(?:\s+\w+)?(?:\s+(?:is|are|was|were))?(?:\s+available)?|"
    r"(?:rib|r-r|pr)\s+intervals?|interspace|still\s+image|stable\s+(?:chest|patient)|hemodynamically\s+stable|"
    rf"(?:little|no|not|without|minimal)\s+(?:{_BODY})(?:(?:,?\s+(?:or|and)\s+|\s+)(?:{_BODY}))?\s+changes?)\b",
    re.IGNORECASE,
)


def compares(sentence: str) -> bool:
    """Whether a sentence compares the film with an earlier one; "prior surgery" and "no prior film" do not."""
    return _COMPARISON.search(_NO_COMPARISON.sub(" ", sentence)) is not None
