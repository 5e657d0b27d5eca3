"""An evaluation as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xraygpt_edge.cli import console
from xraygpt_edge.evaluate import Evaluation
from xraygpt_edge.evaluate.draws import Figure
from xraygpt_edge.evaluate.findings import FindingTable
from xraygpt_edge.evaluate.trusted import TrustFigures
from xraygpt_edge.text import visible

Row = Mapping[str, str]


def show(found: Evaluation) -> None:
    """Print every table, what made the figures, and the notice."""
    _line(
        f"{found.n} answers about {found.n_studies} studies, each beside its reference; intervals: 95 % of 2,000 draws."
    )
    if found.without_reference or found.failed:
        _line(f"Left out: {found.without_reference} answers without a reference, {found.failed} failures.")
    if found.torn_bytes:
        _line("Left out: a last record that is not whole. A batch is writing it, or a crash has cut it off.")
    _table("Shared words, beside texts that do not come from the film", _scores(found))
    for table in found.findings:
        _table(f"Findings, uncertain statements as {table.uncertain}", _findings(table))
    _table("Sides, of findings that answer and reference both place", _sides(found))
    _table("Texts with a sentence that a rule marks", _marks(found))
    if found.trust:
        _table("What the records say about trust", _trust(found.trust))
    if found.strata:
        _table("Groups: F1 of all statements, p corrected for the number of groups (Holm)", _strata(found))
    if found.compared:
        _table(f"These records minus the others, on {found.n_compared} radiographs", _compared(found))
    _line("")
    _line(f"Always normal: {found.normal_report}")
    _line(found.signature)
    _line("")
    _line(found.notice)


def _scores(found: Evaluation) -> Iterator[Row]:
    for score in found.scores:
        exchanged = figure(score.exchanged) if score.exchanged else "only one study"
        yield {
            "measure": score.name,
            "answers": figure(score.answers),
            "answers exchanged": exchanged,
            "always normal": figure(score.normal),
        }


def _findings(table: FindingTable) -> Iterator[Row]:
    for row in table.rows:
        measured = {"precision": figure(row.precision), "recall": figure(row.recall), "F1": figure(row.f1)}
        yield {"finding": row.name, "n": str(row.n), **measured}
    means = {
        "macro": table.macro,
        "micro": table.micro,
        "macro of five": table.macro_five,
        "micro of five": table.micro_five,
    }
    for name, mean in means.items():
        if mean:
            yield {"finding": name, "n": "", "precision": "", "recall": "", "F1": figure(mean)}


def _sides(found: Evaluation) -> Iterator[Row]:
    yield {"n": str(found.sides.n), "same": figure(found.sides.same), "opposite": figure(found.sides.opposite)}


def _marks(found: Evaluation) -> Iterator[Row]:
    for mark in found.marks:
        yield {
            "mark": mark.id,
            "answers": figure(mark.answers),
            "references": figure(mark.references),
            "what": mark.what,
        }


def _trust(trust: TrustFigures) -> Iterator[Row]:
    yield {"measure": "answers with trust; films unlike the reference films", "value": f"{trust.n}; {trust.unlike}"}
    yield {"measure": "panel, AUC", "value": figure(trust.auc)}
    yield {"measure": "panel, calibration error", "value": figure(trust.calibration_error)}
    for risk in trust.risk_coverage:
        yield {"measure": f"panel, error when {risk.coverage:.0%} are answered", "value": figure(risk.error)}
    for marked in trust.sentences:
        yield {"measure": f"sentences {marked.support}", "value": f"{marked.n}, of which wrong {marked.wrong}"}


def _strata(found: Evaluation) -> Iterator[Row]:
    for one in found.strata:
        size = {"group": f"{one.name}: {one.value}", "n": str(one.n), "present": str(one.events)}
        if one.f1 is None:
            yield {**size, "F1": "too few", "gap": "", "p": ""}
        else:
            yield {**size, "F1": figure(one.f1), "gap": figure(one.gap), "p": p_value(one.p)}


def _compared(found: Evaluation) -> Iterator[Row]:
    for one in found.compared:
        yield {"measure": one.name, "difference": figure(one.difference.figure), "p": p_value(one.difference.p)}


def figure(found: Figure | None) -> str:
    """A value with its interval; a dash where it is not defined."""
    if found is None or found.value is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def p_value(p: float | None) -> str:
    """As tables print it."""
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _table(title: str, rows: Iterator[Row]) -> None:
    _line("")
    _line(title)
    console.table(list(rows), as_json=False)


def _line(words: str) -> None:
    console.DATA.print(visible(words))
