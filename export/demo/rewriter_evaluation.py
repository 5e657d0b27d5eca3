"""How well a bundle's rewriter does on synthetic reports that it never saw."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.loading import LoadOptions
from xraygpt_edge.summarize.model import opened
from xraygpt_edge.summarize.records import Summarized

from .train_rewriter import pairs

FIRST_SEED = 66_000_000
COUNT = 300
SAMPLING = Sampling(max_tokens=300)


@dataclass(slots=True)
class Found:
    """Counts of rewritings."""

    texts: int = 0
    passed: int = 0
    """The check found no claim added, lost or turned."""
    as_taught: int = 0
    """Word for word."""
    words_before: int = 0
    words_after: int = 0
    """Of those that passed."""
    changes: Counter[str] = field(default_factory=Counter)
    """What the check found in the others."""


def evaluate(bundle: Path, count: int = COUNT) -> Found:
    """Rewrite the texts of so many reports, and count."""
    known = dict(islice(pairs(FIRST_SEED), count))
    rows = [_row(number, text) for number, text in enumerate(known)]
    found = Found()
    with opened(str(bundle), None, None, SAMPLING, LoadOptions("cpu")) as (rewrite, _):
        for row in rewrite(rows):
            if isinstance(row, Summarized):
                _count(row, known[row.rules_text], found)
    return found


def _row(number: int, text: str) -> Summarized:
    name = str(number)
    return Summarized(id=name, path=name, text=text, rules_text=text, report=text, sections=(), removed=())


def _count(row: Summarized, taught: str, found: Found) -> None:
    rewriting = row.rewriting
    if rewriting is None:
        return
    found.texts += 1
    found.as_taught += rewriting.text == taught
    found.passed += rewriting.passed
    if rewriting.passed:
        found.words_before += len(row.rules_text.split())
        found.words_after += len(rewriting.text.split())
    found.changes.update({change.change for change in rewriting.differences})


def show(found: Found) -> None:
    """Print the table."""
    table = Table("", "measured", title=f"{found.texts} texts of reports never seen", title_justify="left")
    table.add_row("pass the check", f"{found.passed} ({found.passed / found.texts:.1%})")
    table.add_row("word for word as taught", f"{found.as_taught} ({found.as_taught / found.texts:.1%})")
    table.add_row("words, where it passed", f"{found.words_before} become {found.words_after}")
    for change, count in found.changes.most_common():
        table.add_row(f"refused, a claim {change}", str(count))
    Console().print(table)
