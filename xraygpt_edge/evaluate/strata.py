"""Whether some groups of radiographs are answered worse than the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import UsageError
from xraygpt_edge.evaluate.draws import Draws, Figure, holm
from xraygpt_edge.evaluate.findings import Agreement
from xraygpt_edge.evaluate.keyed import KEYS, Cells

LEAST_N, LEAST_EVENTS = 30, 10
MOST_GROUPS = 50
"""A column with more is no way to divide radiographs: ages instead of age groups, or names."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """One group, held against all others that have a value of the same kind."""

    name: str
    """sex, age group, view, device, site: a column of the file."""
    value: str
    n: int
    events: int
    """Findings that are present in its references."""
    f1: Figure | None
    """Of all statements together, uncertain ones as present; None where it is too small to say."""
    gap: Figure | None
    """How much higher it is than in the others, in the same draws."""
    p: float | None
    """Corrected by Holm's method for the number of groups that were compared."""


def strata(cells: Sequence[Cells | None], agreement: Agreement, draws: Draws) -> tuple[Stratum, ...]:
    """Every group of the file's columns; raises UsageError for a column of too many.

    cells: what the file says about each pair; None where it says nothing.
    """
    names = list(dict.fromkeys(name for one in cells if one for name in one if name not in KEYS))
    for name in names:
        if len({one.get(name) for one in cells if one}) > MOST_GROUPS:
            raise UsageError("E-EVA-004", f"a column has more than {MOST_GROUPS} groups")
    found = [stratum for name in names for stratum in _groups(name, cells, agreement, draws)]
    ps = iter(holm([stratum.p for stratum in found if stratum.p is not None]))
    return tuple(stratum if stratum.p is None else replace(stratum, p=next(ps)) for stratum in found)


def _groups(name: str, cells: Sequence[Cells | None], agreement: Agreement, draws: Draws) -> list[Stratum]:
    values = np.array([(one or {}).get(name, "").strip() for one in cells], dtype=object)
    known = values != ""
    return [
        _group(name, value, values == value, known & (values != value), agreement, draws)
        for value in sorted(set(values[known]))
    ]


def _group(
    name: str,
    value: str,
    inside: NDArray[np.bool_],
    others: NDArray[np.bool_],
    agreement: Agreement,
    draws: Draws,
) -> Stratum:
    own, rest = agreement.of(inside), agreement.of(others)
    n, events = int(inside.sum()), _events(own)
    if n < LEAST_N or events < LEAST_EVENTS:
        return Stratum(name, value, n, events, None, None, None)
    figure = draws.figure(own.micro)
    if int(others.sum()) < LEAST_N or _events(rest) < LEAST_EVENTS:
        return Stratum(name, value, n, events, figure, None, None)
    (difference,) = draws.differences(own.micro, rest.micro)
    return Stratum(name, value, n, events, figure, difference.figure, difference.p)


def _events(agreement: Agreement) -> int:
    return int((agreement.hits + agreement.misses).sum())
