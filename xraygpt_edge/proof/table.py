"""Parity figures as rows of text, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from xraygpt_edge.proof.gates import EQUAL_IDS, SMALLEST_WINS, Gates
from xraygpt_edge.proof.parity import Parity

TITLES = {
    "vision": "Image rows against the original in torch, float32",
    "language": "Answers along the original's own, with the original's image embeddings",
    "rewriter": "Rewritings along the original's own",
    "together": "The same, with the exported encoder's image embeddings",
}
WORDS = {
    "max_abs": "largest diff.",
    "max_abs_relative": "relative",
    "cosine_min": "cosine",
    "equal_ids": "ids",
    "first_token_agreement": "first",
    "top1_agreement": "top-1",
    "mean_kl": "mean KL",
    "max_kl": "max KL",
    "first_logits_max_abs": "logits diff.",
}
LEGEND = """\
largest diff.: of any number in a row; relative: to the largest number (or 1); cosine: of the row that turned furthest;
ids: share of prompts with the original's token ids; first, top-1: share of first tokens, of all tokens, on which both
agree; KL: divergence of the next-token distribution in nats; logits diff.: largest difference of the first logits.
"""


def tables(figures: Parity, gates: Gates) -> Iterator[tuple[str, list[list[str]]]]:
    """For each part its title and its rows, the first of which names the columns."""
    for part, precisions in figures.items():
        names = list(next(iter(precisions.values()), {}))
        rows = [["", *(WORDS[name] for name in names), *(["gate"] if part in gates else [])]]
        for precision, found in precisions.items():
            limits = [_limit(part, precision, gates)] if part in gates else []
            rows.append([precision, *(_number(found[name], name) for name in names), *limits])
        yield TITLES[part], rows


def markdown(bundle_id: str, figures: Parity, gates: Gates) -> str:
    """The text of PARITY.md."""
    lines = [f"# {bundle_id}: how far each precision is from the original", "", LEGEND]
    for title, rows in tables(figures, gates):
        lines += [f"## {title}", "", *_markdown_rows(rows), ""]
    return "\n".join(lines)


def _limit(part: str, precision: str, gates: Gates) -> str:
    """The gate that varies; equal token ids are asked of all."""
    limits = gates[part].get(precision, {})
    signs = {name: "≥" if name in SMALLEST_WINS else "≤" for name in limits}
    return ", ".join(f"{signs[name]} {value:g}" for name, value in limits.items() if name not in EQUAL_IDS)


def _number(value: float, name: str) -> str:
    return f"{value:.6g}" if name == "cosine_min" else f"{value:.2g}"


def _markdown_rows(rows: list[list[str]]) -> list[str]:
    head, *body = (f"| {' | '.join(cells)} |" for cells in rows)
    return [head, "|" + "---|" * len(rows[0]), *body]
