"""The goals of `summarize`, on synthetic reports that no rule was written for: seeds of their own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from xraygpt_edge.findings import CHEXPERT
from xraygpt_edge.summarize.rules import Cleaned, clean
from xraygpt_edge.trust import claims

from .reports import TrueReport, sample_report

SEEDS = range(60_000_000, 60_005_000)
SHOWN = 5
"""Of each kind of fault."""
MARK = re.compile(r"__|XXX|\[\*\*")
VIEW = re.compile(
    r"\b(?:PA and lateral|views?|frontal|portable|projection|lateral view|supine|upright|decubitus|AP technique|"
    r"semi-erect)\b",
    re.IGNORECASE,
)
"""Words that only sentences about views have in the generator."""
GOALS = {
    "sections right": (0.995, "at least"),
    "filter right": (0.995, "at least"),
    "comparisons found": (0.97, "at least"),
    "other sentences lost as comparisons": (0.01, "at most"),
    "texts with a mark": (0.0, "at most"),
    "texts with a view": (0.0, "at most"),
    "sentences broken": (0.0, "at most"),
    "claims kept exactly": (0.995, "at least"),
}


@dataclass(slots=True)
class Score:
    """Hits among cases, and the first that are to be looked at."""

    hits: int = 0
    cases: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, *, hit: bool, example: str = "", shows: bool = False) -> None:
        """Count one case. shows: this is one to look at."""
        self.hits += hit
        self.cases += 1
        if shows and len(self.examples) < SHOWN:
            self.examples.append(example)

    @property
    def share(self) -> float:
        """Hits among cases."""
        return self.hits / self.cases if self.cases else 0.0


def evaluate(seeds: Iterable[int] = SEEDS) -> dict[str, Score]:
    """Clean every report and hold the result against the truth."""
    scores = {name: Score() for name in GOALS}
    for seed in seeds:
        true = sample_report(seed)
        _score(true, clean(true.text), scores)
    return scores


def missed(scores: dict[str, Score]) -> list[str]:
    """Names of the goals that are not reached."""
    return [
        name
        for name, (goal, way) in GOALS.items()
        if (scores[name].share < goal if way == "at least" else scores[name].share > goal)
    ]


def show(scores: dict[str, Score]) -> None:
    """Print the table, and what was wrong."""
    table = Table("", "measured", "cases", "wanted", title="summarize, by rules", title_justify="left")
    for name, (goal, way) in GOALS.items():
        score = scores[name]
        table.add_row(name, f"{score.share:.4f}", f"{score.cases:,}", f"{way} {goal}")
    Console().print(table)
    for name, score in scores.items():
        for example in score.examples[:SHOWN]:
            print(f"{name}: {example}")


def _score(true: TrueReport, found: Cleaned, scores: dict[str, Score]) -> None:
    wanted = [(s.kind, s.start, s.end) for s in true.sections if s.start < s.end]
    got = [(s.kind, s.start, s.end) for s in found.sections if s.start < s.end and s.kind != "unlabelled"]
    wanted = [s for s in wanted if s[0] != "unlabelled"]
    scores["sections right"].add(
        hit=wanted == got, example=f"{true.seed} {set(wanted) ^ set(got)}", shows=wanted != got
    )
    same = true.reason == found.reason
    example = f"{true.seed} {true.reason} {found.reason}"
    scores["filter right"].add(hit=same, example=example, shows=not same)
    if true.reason is None and found.reason is None and wanted == got:
        _score_text(true, found, scores)


def _score_text(true: TrueReport, found: Cleaned, scores: dict[str, Score]) -> None:
    lost = Counter(_flat(true.text[p.start : p.end]) for p in found.removed if p.rule == "comparison")
    for said in true.said:
        is_lost = any(said.text in _flat(text) for text in lost)
        name = "comparisons found" if said.kind == "comparison" else "other sentences lost as comparisons"
        scores[name].add(hit=is_lost, example=f"{true.seed} {said.text}", shows=is_lost != (said.kind == "comparison"))
    for name, pattern in (("texts with a mark", MARK), ("texts with a view", VIEW)):
        left = pattern.search(found.text)
        scores[name].add(hit=left is not None, example=f"{true.seed} {found.text}", shows=left is not None)
    allowed = {_bare(left) for said in true.said for left in (said.left if said.kind != "comparison" else (said.text,))}
    for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z0-9])", found.text):
        whole = _bare(sentence) in allowed
        scores["sentences broken"].add(hit=not whole, example=f"{true.seed} {sentence}", shows=not whole)
    _score_claims(true, found, scores["claims kept exactly"])


def _score_claims(true: TrueReport, found: Cleaned, score: Score) -> None:
    kept = " ".join(said.left[0] for said in true.said if said.left[0])
    wanted, got = _claims([kept]), _claims([found.text])
    score.add(hit=wanted == got, example=f"{true.seed} {sorted(map(str, wanted ^ got))}", shows=wanted != got)


def _claims(texts: Sequence[str]) -> set[tuple[str, tuple[str, ...], str]]:
    return {
        (claim.finding, claim.sides, claim.polarity)
        for text in texts
        for sentence in claims(text, CHEXPERT)
        for claim in sentence.claims
    }


def _flat(text: str) -> str:
    return " ".join(text.split())


def _bare(text: str) -> str:
    return _flat(text).rstrip(".").casefold()
