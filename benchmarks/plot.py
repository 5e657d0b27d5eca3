"""The ratios of a results file as one small SVG: a bar for each peer, on a scale where twice is as far as half."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Any

from benchmarks.pairs import Row, summary

WIDTH, LABELS, BARS, ROW, TOP, BOTTOM = 860, 400, 380, 24, 64, 40
"""Pixels: the drawing, its left column, the longest bar, a row, and what is above and below."""
LEFT_OUT = "prompt_"
"""Metrics of `many` that the drawing leaves to the table."""
OURS, EVEN, WORDS, GRID = "#2563a8", "#8a93a0", "#5b6470", "#b8bec7"
"""Colours that are readable on white and on black."""
NEARLY_EVEN = 0.03


def svg(result: dict[str, Any]) -> str:
    """The drawing; raises ValueError when the file has no ratio."""
    rows = list(_drawn(result))
    if not rows:
        raise ValueError("these results have no peers, so there is nothing to draw")
    ratios = [row.ratio or 1.0 for row in rows]
    low, high = math.floor(math.log2(min(*ratios, 0.9))), math.ceil(math.log2(max(*ratios, 1.9)))
    height = TOP + ROW * len(rows) + BOTTOM
    bars = [line for place, row in enumerate(rows) for line in _bar(place, row, low, high)]
    return "\n".join([*_frame(result, height), *_grid(low, high, height), *bars, "</svg>"]) + "\n"


def _drawn(result: dict[str, Any]) -> Iterator[Row]:
    for measurement in result["measurements"]:
        for row in summary(measurement):
            if row.ratio is not None and not row.metric.name.startswith(LEFT_OUT):
                yield row


def _frame(result: dict[str, Any], height: int) -> Iterator[str]:
    machine, taken = result["machine"], result["bundle"]["taken"]
    facts = f"{machine['cpu']}, threads: {result['threads']}, {taken['vision']} and {taken['language']}"
    title = "xraygpt-edge beside its peers: how many times as fast"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{WORDS}" role="img">'
    )
    yield f"<title>{escape(title)}</title>"
    yield f'<text x="12" y="22" font-size="16" font-weight="600">{escape(title)}</text>'
    yield f'<text x="12" y="42" font-size="12">{escape(facts)}; medians</text>'


def _grid(low: int, high: int, height: int) -> Iterator[str]:
    for power in range(low, high + 1):
        x, value = _x(2.0**power, low, high), 2.0**power
        stroke = WORDS if power == 0 else GRID
        yield f'<path d="M{x:.1f} {TOP - 8}V{height - BOTTOM + 4}" stroke="{stroke}" stroke-width="1"/>'
        yield f'<text x="{x:.1f}" y="{height - 18}" text-anchor="middle" font-size="11">{value:g}×</text>'


def _bar(place: int, row: Row, low: int, high: int) -> Iterator[str]:
    ratio, y = row.ratio or 1.0, TOP + ROW * place
    start, end = sorted((_x(1.0, low, high), _x(ratio, low, high)))
    label = escape(f"{row.metric.title} / {row.side}")
    colour = OURS if ratio > 1 - NEARLY_EVEN else EVEN
    yield f'<text x="{LABELS - 12}" y="{y + 15}" text-anchor="end">{label}</text>'
    yield f'<rect x="{start:.1f}" y="{y + 3}" width="{max(end - start, 2):.1f}" height="{ROW - 8}" fill="{colour}"/>'
    yield f'<text x="{end + 6:.1f}" y="{y + 15}" font-weight="600">{ratio:.2f}</text>'


def _x(ratio: float, low: int, high: int) -> float:
    """Where a ratio is, on a logarithmic scale."""
    return LABELS + BARS * (math.log2(ratio) - low) / (high - low)
