"""The results file as Markdown: nothing in a table is typed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.pairs import Row, summary

HEAD = ("| what | unit | side | median | ratio | lowest to highest | rounds |", "|---|---|---|---|---|---|---|")
LOUD_SHARE = 0.03
"""Of all cores, used by others during a side: more than this is said below the table."""


def markdown(result: dict[str, Any]) -> str:
    """Tables of one run, with the machine above and the notes below."""
    return "\n".join([*_heading(result), "", *HEAD, *_rows(result), "", *_notes(result)]) + "\n"


def number(value: float, unit: str) -> str:
    """Three digits; bytes as gigabytes or megabytes."""
    if unit == "bytes":
        return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _heading(result: dict[str, Any]) -> Iterator[str]:
    machine, bundle = result["machine"], result["bundle"]
    taken = bundle["taken"]
    yield f"{result['date'][:10]}, {machine['cpu']}, {result['threads']} of {machine['cores']} cores,"
    yield f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}; bundle `{bundle['id']}` ({bundle['kind']}),"
    yield f"encoder {taken['vision']}, language model {taken['language']}; commit `{result['commit']}`."
    names = ",".join(dict.fromkeys(measurement["name"].split(",")[0] for measurement in result["measurements"]))
    command = f"python -m benchmarks all --only {names} --bundle DIR --threads {result['threads']}"
    yield f"Repeat: `{command}`"
    if not result.get("quiet", True):
        yield ""
        yield "**The machine was not quiet: these figures say that the suite runs, and nothing about speed.**"


def _rows(result: dict[str, Any]) -> Iterator[str]:
    for measurement in result["measurements"]:
        for row in summary(measurement):
            yield _row(row)


def _row(row: Row) -> str:
    unit = "" if row.metric.unit == "bytes" else row.metric.unit
    ratio, spread = "", ""
    if row.ratio is not None and row.lowest is not None and row.highest is not None:
        ratio, spread = f"**{row.ratio:.2f}**", f"{row.lowest:.2f} to {row.highest:.2f}"
    cells = (row.metric.title, unit, row.side, number(row.value, row.metric.unit), ratio, spread, str(row.rounds))
    return f"| {' | '.join(cells)} |"


def _notes(result: dict[str, Any]) -> Iterator[str]:
    yield "A ratio is ours against that side: the median of the rounds' ratios; above 1, ours is better."
    yield ""
    for measurement in result["measurements"]:
        for note in (*measurement["notes"], *_warnings(measurement)):
            yield f"- {measurement['name']}: {note}"


def _warnings(measurement: dict[str, Any]) -> Iterator[str]:
    """What makes a figure worth less than it looks."""
    sides = [(name, raw) for turn in measurement["rounds"] for name, raw in turn.items()]
    loud = [raw["others_cpu_share"] for _, raw in sides if raw.get("others_cpu_share", 0) > LOUD_SHARE]
    if loud:
        yield f"other programs used up to {max(loud):.0%} of all cores in {len(loud)} of {len(sides)} measurements"
    for name in dict.fromkeys(name for name, raw in sides if raw.get("ended_early")):
        yield f"some answers of {name} ended before they had all tokens"
