"""A comparison as a table for a person, and as JSON for a program."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

from export.compare import Comparison, Row
from export.compare.changes import Change
from export.compare.figures import TIE, Figures
from export.compare.gate import LEAST_FILMS, UPPER, VALUE, WORDS
from xraygpt_edge.evaluate.draws import Figure
from xraygpt_edge.files import replacing
from xraygpt_edge.version import __version__

SCHEMA = 1
PAGE, FIGURES = "QUANTIZATION.md", "parity.json"
SHARES = ("same_text", "any_flip", "finding_flips", "side_flips", "negation_flips", "verdict_flips", "top_1")
LEGEND = f"""\
Each file is held against the unrounded ones (encoder fp32, language model F16) on the same films; the other half of the
model stays unrounded. In brackets: 95 % of 2,000 draws of whole films with a fixed seed; for shares of none or all,
Clopper and Pearson's interval.

- finding flips: films of which one answer states a finding, at a place, that the other does not
- side flips: both state it, on other sides
- negation flips: one states what the other denies
- Δz: difference of the log-odds of the model's own yes and no to each finding
- yes/no flips: share of those answers that turn, their log-odds moved by more than {TIE:g}; less is a tie
- KL, top-1: of the next token, along the unrounded files' own answers
- first row: the unrounded files once more, several films at the same time, so that only sums in another order differ

**It tells whether rounding changes what the model says, never whether that is right.**
"""

FLIPPED = """\
Films whose answer states something else, counted by path among those that could be read. The number behind each is the
most by which the unrounded files would rather have had another word, anywhere along that answer, in log-odds: near 0
they could as well have said all of it, and another CPU may decide the other way.
"""


def summary(comparison: Comparison) -> list[list[str]]:
    """What the gate looks at, a row for each file; the first names the columns."""
    gated = (*UPPER, *VALUE)
    rows = [[row.name, *(_value(row.figures, name) for name in gated), _verdict(row)] for row in comparison.rows]
    return [["", *(WORDS[name] for name in gated), "the same"], *rows]


def table(comparison: Comparison) -> list[list[str]]:
    """Every figure with its interval, a row for each file; the first names the columns."""
    head = ["", "size", *(WORDS[field.name] for field in fields(Figures)), "clinically the same"]
    return [head, *map(_cells, comparison.rows)]


def markdown(comparison: Comparison) -> str:
    """The text of QUANTIZATION.md."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in table(comparison))
    missed = [f"- **{row.name}**: {'; '.join(row.misses)}" for row in comparison.rows if row.misses]
    parts = [
        f"# {comparison.bundle_id}: what rounding changes in its answers",
        _account(comparison),
        LEGEND,
        "\n".join([head, "|" + "---|" * (head.count("|") - 1), *body]),
        f"**The gate:** {_gate()}. Same text and top-1 are printed and not gated: wordings tie.",
        "\n".join(["Not clinically the same:", "", *missed]) if missed else "Every file passes.",
        "\n".join([FLIPPED, *_flipped(comparison)]),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def write(comparison: Comparison, folder: Path) -> None:
    """Write QUANTIZATION.md and parity.json, each whole or not at all."""
    for name, text in ((PAGE, markdown(comparison).encode()), (FIGURES, encoded(comparison))):
        with replacing(folder / name) as stream:
            stream.write(text)


def encoded(comparison: Comparison) -> bytes:
    """The text of parity.json."""
    head = {"schema": SCHEMA, "program": __version__, "gate": {"upper_95": UPPER, "value": VALUE}}
    return json.dumps(head | asdict(comparison), indent=1).encode() + b"\n"


def _account(comparison: Comparison) -> str:
    few = f" (fewer than {LEAST_FILMS}: shares of zero tell little)" if comparison.films < LEAST_FILMS else ""
    refused = f", {comparison.refused} left out that could not be read" if comparison.refused else ""
    stated = f"{comparison.statements_per_film:.2f} findings stated a film, panel of {comparison.form}s"
    made = f"xraygpt-edge {__version__}, manifest `{comparison.manifest_sha256}`"
    return f"{comparison.films} films{few}{refused}; {stated}; {made}."


def _gate() -> str:
    upper = [f"{WORDS[name]} up to {limit:.0%}" for name, limit in UPPER.items()]
    value = [f"{WORDS[name]} at most {limit:g}" for name, limit in VALUE.items()]
    return f"upper end of the interval of {' and of '.join(upper)}; {', '.join(value)}"


def _cells(row: Row) -> list[str]:
    size = "" if row.size_bytes is None else f"{row.size_bytes / 1e6:,.1f} MB"
    return [row.name, size, *(_with_interval(row.figures, field.name) for field in fields(Figures)), _verdict(row)]


def _flipped(comparison: Comparison) -> list[str]:
    listed = [(row.name, "; ".join(map(_change, row.changes))) for row in comparison.rows if row.changes]
    return [f"- **{name}**: {films}" for name, films in listed] or ["None."]


def _change(change: Change) -> str:
    kinds = [kind for kind, flipped in asdict(change.flips).items() if flipped]
    return f"film {change.film} ({', '.join(kinds)}) {change.lead:.3f}"


def _verdict(row: Row) -> str:
    if row.figures is None:
        return "not measured"
    return "" if row.size_bytes is None else "no" if row.misses else "yes"


def _value(found: Figures | None, name: str) -> str:
    figure = getattr(found, name, None)
    value = figure.value if isinstance(figure, Figure) else figure
    return "" if value is None else f"{value:{_form(name)}}"


def _with_interval(found: Figures | None, name: str) -> str:
    figure = getattr(found, name, None)
    if not isinstance(figure, Figure) or figure.low is None:
        return _value(found, name)
    return f"{_value(found, name)} ({figure.low:{_form(name)}} to {figure.high:{_form(name)}})"


def _form(name: str) -> str:
    return ".3f" if name in SHARES else ".2g"
