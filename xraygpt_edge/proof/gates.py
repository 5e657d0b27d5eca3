"""How far figures may be from what the original computed, and from what the exporter measured."""

from __future__ import annotations

from dataclasses import dataclass

EQUAL_IDS = {"equal_ids": 1.0}
"""Of every language file: its tokenizer must give the original's token ids."""

SMALLEST_WINS = frozenset({"cosine_min", "equal_ids"})
"""Figures that must not fall below their gate; all others must not rise above it."""

Gates = dict[str, dict[str, dict[str, float]]]
"""part → precision → figure → limit."""


def misses(parity: Gates, gates: Gates) -> list[str]:
    """Every gate that a measurement misses, or that has no measurement; one line each."""
    problems = []
    for part, precisions in gates.items():
        for precision, limits in precisions.items():
            for figure, limit in limits.items():
                found = parity.get(part, {}).get(precision, {}).get(figure)
                if found is None or not _holds(figure, found, limit):
                    problems.append(f"{part} {precision}: {figure} is {found}, the gate is {limit}")
    return problems


def _holds(figure: str, found: float, limit: float) -> bool:
    return found >= limit if figure in SMALLEST_WINS else found <= limit  # a NaN holds neither


@dataclass(frozen=True, slots=True)
class Room:
    """How far a figure may be from the one that the exporter measured: CPUs add up in different orders."""

    share: float
    """Of the exporter's figure."""
    least: float

    def holds(self, found: float, recorded: float) -> bool:
        """Whether a figure is near enough, on either side: a better one comes from another file. A NaN is not."""
        return abs(found - recorded) <= max(self.share * abs(recorded), self.least)


def strays(parity: Gates, recorded: Gates) -> list[str]:
    """Every figure that is not what the exporter measured with the same files; one line each."""
    return [
        f"{part} {precision}: {figure} is {found}, the exporter measured {there[figure]}"
        for part, precisions in parity.items()
        for precision, figures in precisions.items()
        if (there := recorded.get(part, {}).get(precision))
        for figure, found in figures.items()
        if figure in ROOM and figure in there and not ROOM[figure].holds(found, there[figure])
    ]


ROOM = {
    "max_abs_relative": Room(0.05, 1e-5),
    "cosine_min": Room(0.0, 2e-5),
    "mean_kl": Room(0.35, 5e-7),
    "first_logits_max_abs": Room(0.25, 0.002),
}
"""Measured with SSE 4.2, AVX, AVX2 and AVX-512: decision 0001. Agreement of tokens is not here: near ties turn."""
