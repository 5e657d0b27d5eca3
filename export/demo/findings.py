"""The truth of a demo case: which findings are drawn, on which side and how severe.

A case is sampled from one integer seed, so a seed range is a data set. Findings are drawn
independently; combinations in which one finding hides another are then dropped.
"Right" and "left" are the patient's; the patient's right lies on the left of a frontal film.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDES = ("right", "left")
ZONES = ("right upper", "right lower", "left upper", "left lower")
LABELS = (
    "cardiomegaly",
    "effusion right",
    "effusion left",
    "pneumothorax right",
    "pneumothorax left",
    "consolidation right upper",
    "consolidation right lower",
    "consolidation left upper",
    "consolidation left lower",
    "nodule right",
    "nodule left",
    "oedema",
    "device",
)
PLACED_LABELS = LABELS[1:11]
"""The labels that have a side, and so a place in the picture."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is drawn in one phantom. An empty string means that the finding is absent.

    `effusion` and `pneumothorax` hold the size (right, left), `consolidation` the density for each of
    `ZONES`, `nodule` the zone, upper or lower, for (right, left), and `device` the side of the box.
    """

    seed: int
    heart: str = ""
    effusion: tuple[str, str] = ("", "")
    pneumothorax: tuple[str, str] = ("", "")
    consolidation: tuple[str, str, str, str] = ("", "", "", "")
    nodule: tuple[str, str] = ("", "")
    oedema: str = ""
    device: str = ""

    @property
    def labels(self) -> frozenset[str]:
        """The labels, out of `LABELS`, that are present."""
        present = (self.heart, *self.effusion, *self.pneumothorax, *self.consolidation, *self.nodule)
        values = (*present, self.oedema, self.device)
        return frozenset(label for label, value in zip(LABELS, values, strict=True) if value)


def sample_case(seed: int) -> Case:
    """Draw the findings of one case; the same seed always gives the same case."""
    rng = np.random.default_rng((seed, 1))

    def draw(rate: float, *choices: str) -> str:
        choice = choices[int(rng.integers(len(choices)))]
        return choice if rng.random() < rate else ""

    def both(rate: float, *choices: str) -> tuple[str, str]:
        return draw(rate, *choices), draw(rate, *choices)

    heart = draw(0.12, "mild", "marked")
    effusion = both(0.12, "small", "moderate", "large")
    pneumothorax = both(0.105, "small", "large")
    consolidation = both(0.125, "patchy", "dense") + both(0.125, "patchy", "dense")
    nodule = both(0.125, "upper", "lower")
    oedema = draw(0.12, "mild", "marked")
    device = draw(0.115, "left", "left", "right")
    case = Case(seed, heart, effusion, pneumothorax, consolidation, nodule, oedema, device)
    return _without_hidden_findings(case)


def _without_hidden_findings(case: Case) -> Case:
    """Drop what another finding on the same side would cover, so that every label can be seen."""
    effusion, zones, nodule = list(case.effusion), list(case.consolidation), list(case.nodule)
    for side, collapsed in enumerate(case.pneumothorax):
        upper, lower = 2 * side, 2 * side + 1
        if collapsed:
            effusion[side] = zones[upper] = zones[lower] = nodule[side] = ""
        if effusion[side]:
            zones[lower] = ""
            if effusion[side] == "large":
                zones[upper] = ""
            nodule[side] = nodule[side] and "upper"
        if nodule[side] == "upper" and zones[upper]:
            nodule[side] = "" if zones[lower] or effusion[side] else "lower"
        elif nodule[side] == "lower" and zones[lower]:
            nodule[side] = "" if zones[upper] else "upper"
    return Case(
        case.seed,
        case.heart,
        (effusion[0], effusion[1]),
        case.pneumothorax,
        (zones[0], zones[1], zones[2], zones[3]),
        (nodule[0], nodule[1]),
        case.oedema,
        case.device,
    )


def mirrored(case: Case) -> Case:
    """The same case with right and left exchanged."""
    zones = case.consolidation
    return Case(
        case.seed,
        case.heart,
        case.effusion[::-1],
        case.pneumothorax[::-1],
        zones[2:] + zones[:2],
        case.nodule[::-1],
        case.oedema,
        {"": "", "left": "right", "right": "left"}[case.device],
    )
