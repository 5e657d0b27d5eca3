"""How far to trust an answer, for the page: in the same words as on a terminal and in reports."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from xraygpt_edge.records import Answer, Trust
from xraygpt_edge.reports import trusted
from xraygpt_edge.reports.outlines import outlines
from xraygpt_edge.trust import words


def marked(answer: Answer) -> dict[str, Any] | None:
    """An answer's words with what is known of each sentence; None where nobody asked for it."""
    trust = answer.trust
    if trust is None:
        return None
    return {
        "parts": [{"text": part.text, "mark": _mark(part.mark)} for part in trusted.parts(answer)],
        "legend": [_mark(mark) for mark in words.MARKS],
        "checks": list(words.checks(trust)),
        "film": words.film(trust) if trust.film and trust.film.like else "",
        "source": words.source(trust),
        "panel": _panel(trust),
        "maps": [asdict(outline) for outline in outlines(trust.maps)],
        "can_be_mapped": _can_be_mapped(trust),
        "maps_said": " ".join(words.maps(trust)),
    }


def _can_be_mapped(trust: Trust) -> bool:
    """Whether maps could be drawn of it that are not there."""
    is_unlike = trust.film is not None and not trust.film.like
    return trust.maps is None and trust.profile is not None and trust.failed is None and not is_unlike


def _mark(mark: words.Mark | None) -> dict[str, str] | None:
    return {"name": mark.name, "sign": mark.sign, "meaning": mark.meaning} if mark else None


def _panel(trust: Trust) -> list[dict[str, Any]]:
    """Nothing for a film that is unlike the reference films: the figures do not hold."""
    if trust.film is not None and not trust.film.like:
        return []
    return [
        {"name": each.name, "verdict": each.verdict, "p": each.p, "band": trusted.band(each), "said": each.said}
        for each in trusted.panel(trust)
    ]
