"""How far each precision may be from the original before a bundle is not written.

Measured first, then set with room for other CPUs: the figures are in docs/export.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from xraygpt_edge.proof.gates import EQUAL_IDS, Gates

VISION: dict[str, dict[str, float]] = {
    "fp32": {"max_abs_relative": 1e-4},
    "fp16": {"cosine_min": 0.9995},
    "int8": {"cosine_min": 0.995},
}
"""Largest difference divided by the largest value of a row or 1, and the smallest cosine of a row."""

LANGUAGE: dict[str, dict[str, float]] = {
    "F32": {"mean_kl": 0.001},
    "F16": {"mean_kl": 0.001},
    "Q8_0": {"mean_kl": 0.03},
    "Q6_K": {"mean_kl": 0.1},
    "Q5_K_M": {"mean_kl": 0.3},
    "Q5_K_S": {"mean_kl": 0.3},
    "Q4_K_M": {"mean_kl": 0.8},
    "Q4_K_S": {"mean_kl": 0.8},
    "Q4_0": {"mean_kl": 1.2},
    "Q3_K_M": {"mean_kl": 2.0},
    "Q2_K": {"mean_kl": 4.0},
}
"""Mean Kullback-Leibler divergence from the original's next-token distribution, in nats.

F16 proves the conversion, so its gate is narrow, and it is measured even where a bundle leaves it out.
The others allow what rounding does to a small model without redundancy: they catch damage, and how
good a precision is stands in the table.
"""


def chosen(vision: Iterable[str], language: Iterable[str]) -> Gates:
    """The gates of a bundle with these precisions."""
    return {
        "vision": {precision: VISION[precision] for precision in vision},
        "language": {precision: {**EQUAL_IDS, **LANGUAGE[precision]} for precision in language},
    }
