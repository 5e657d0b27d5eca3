"""What a rounded file may change before it is not clinically the same as the unrounded one."""

from __future__ import annotations

from collections.abc import Iterator

from export.compare.figures import Figures

LEAST_FILMS = 300
"""With fewer, shares of zero have upper bounds that tell nothing: 100 films without a flip allow 3.6 %."""
UPPER = {"finding_flips": 0.05, "side_flips": 0.02}
"""Most that the upper end of the 95 % interval may be."""
VALUE = {"negation_flips": 0.0, "mean_dz": 0.1, "max_dz": 1.0, "verdict_flips": 0.002}
"""Most that the figure itself may be. Same text and top-1 are no measure: wordings tie."""


def misses(found: Figures, statements: int) -> tuple[str, ...]:
    """Every limit that is not kept, in words; empty where the file passes. A figure that is no number keeps none.

    statements: findings that the unrounded files state about all films.
    """
    silent = () if statements else ("the unrounded files state no finding, so none could flip",)
    return (*silent, *_upper(found), *_values(found))


def _upper(found: Figures) -> Iterator[str]:
    for name, limit in UPPER.items():
        high = getattr(found, name).high
        if high is None or not high <= limit:
            yield f"{words(name)}: up to {high:.1%} of films, the gate is {limit:.0%}"


def _values(found: Figures) -> Iterator[str]:
    for name, limit in VALUE.items():
        figure = getattr(found, name)
        value = figure if isinstance(figure, float) else figure.value
        if value is None or not value <= limit:
            yield f"{words(name)}: {value:.3g}, the gate is {limit:g}"


WORDS = {
    "same_text": "same text",
    "any_flip": "any flip",
    "finding_flips": "finding flips",
    "side_flips": "side flips",
    "negation_flips": "negation flips",
    "mean_dz": "mean abs Δz",
    "max_dz": "largest abs Δz",
    "verdict_flips": "yes/no flips",
    "mean_kl": "mean KL",
    "high_kl": "KL, 99 %",
    "top_1": "top-1",
}


def words(name: str) -> str:
    """A figure's name for a person."""
    return WORDS[name]
