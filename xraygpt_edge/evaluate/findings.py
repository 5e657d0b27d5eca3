"""What answers and references state, as tables, and how well they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.evaluate.draws import Array, Draws, Figure, Statistic
from xraygpt_edge.findings import Finding, Place, places
from xraygpt_edge.trust import Sentence, places_said

FIVE = ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural effusion")
"""Of the CheXpert competition."""
NO_FINDING = "no finding"
PRESENT, ABSENT, UNSURE, UNKNOWN = 1, 0, -1, -2

Table: TypeAlias = NDArray[np.int8]
"""(n, n_places) of PRESENT, ABSENT (denied, or not mentioned), UNSURE, or UNKNOWN, which is not counted."""
Uncertain: TypeAlias = Literal["absent", "present"]


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding of the table."""

    name: str
    n: int
    """In how many references it is present."""
    precision: Figure
    recall: Figure
    f1: Figure


@dataclass(frozen=True, slots=True)
class FindingTable:
    """How well answers state what references state."""

    uncertain: Uncertain
    """What an uncertain statement is taken for, in answers and references."""
    rows: tuple[FindingRow, ...]
    macro: Figure
    """Mean F1 of the findings that are in a reference or an answer."""
    micro: Figure
    macro_five: Figure | None
    """Of the five of the CheXpert competition; None where the table of findings has other names."""
    micro_five: Figure | None


def stated(reports: Sequence[Sequence[Sentence]], table: Sequence[Finding]) -> Table:
    """What each report states."""
    names = [place.name for place in places(table)]
    found = np.full((len(reports), len(names)), ABSENT, np.int8)
    for number, sentences in enumerate(reports):
        present, unsure = (places_said(sentences, table, polarity) for polarity in ("present", "unsure"))
        found[number] = [PRESENT if name in present else UNSURE if name in unsure else ABSENT for name in names]
    return _with_no_finding(found, table)


def labelled(labels: Sequence[Mapping[str, int]], table: Sequence[Finding]) -> Table:
    """What labels say about each radiograph; a finding without a label is not counted."""
    names = [place.name for place in places(table)]
    rows = [[one.get(name, UNKNOWN) for name in names] for one in labels]
    return np.array(rows, np.int8).reshape(len(labels), len(names))


def _with_no_finding(found: Table, table: Sequence[Finding]) -> Table:
    """CheXpert's "no finding": nothing else is present or uncertain, devices left out."""
    devices = {finding.name for finding in table if finding.is_device}
    columns = places(table)
    others = [n for n, place in enumerate(columns) if place.finding != NO_FINDING and place.finding not in devices]
    for number, place in enumerate(columns):
        if place.finding == NO_FINDING:
            found[:, number] = (found[:, others] == ABSENT).all(1)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Hits and misses of every answer and finding."""

    hits: Array
    """(n, n_places)"""
    false_alarms: Array
    misses: Array

    @classmethod
    def between(cls, said: Table, truth: Table, uncertain: Uncertain) -> Agreement:
        """Of what is said with what is true."""
        positive = (PRESENT, UNSURE) if uncertain == "present" else (PRESENT,)
        known, says, is_so = truth != UNKNOWN, np.isin(said, positive), np.isin(truth, positive)
        parts = (known & says & is_so, known & says & ~is_so, known & ~says & is_so)
        return cls(*(part.astype(np.float64) for part in parts))

    def only(self, columns: Sequence[int]) -> Agreement:
        """Some findings of it."""
        return Agreement(self.hits[:, columns], self.false_alarms[:, columns], self.misses[:, columns])

    def of(self, rows: NDArray[np.bool_]) -> Agreement:
        """Some answers of it; the others count for nothing."""
        keep = rows[:, None]
        return Agreement(self.hits * keep, self.false_alarms * keep, self.misses * keep)

    @property
    def precision(self) -> Statistic:
        """Of each finding."""
        return lambda w: _ratio(w @ self.hits, w @ (self.hits + self.false_alarms))

    @property
    def recall(self) -> Statistic:
        """Of each finding."""
        return lambda w: _ratio(w @ self.hits, w @ (self.hits + self.misses))

    @property
    def f1(self) -> Statistic:
        """Of each finding."""
        return lambda w: _ratio(2 * (w @ self.hits), w @ (2 * self.hits + self.false_alarms + self.misses))

    @property
    def macro(self) -> Statistic:
        """Mean F1 of the findings that are anywhere in all answers and references; 0 in a draw that has none of one."""
        somewhere = (self.hits + self.false_alarms + self.misses).any(0)
        if not somewhere.any():
            return lambda w: np.full(len(w), np.nan)
        return lambda w: np.asarray(np.nan_to_num(self.f1(w))[:, somewhere].mean(1))

    @property
    def micro(self) -> Statistic:
        """F1 of all statements together."""
        hits, wrong = self.hits.sum(1), (self.false_alarms + self.misses).sum(1)
        return lambda w: _ratio(2 * (w @ hits), w @ (2 * hits + wrong))


def finding_table(
    said: Table, truth: Table, columns: Sequence[Place], draws: Draws, uncertain: Uncertain
) -> FindingTable:
    """Precision, recall and F1 of each finding, with intervals."""
    agreement = Agreement.between(said, truth, uncertain)
    measured = [draws.figures(statistic) for statistic in (agreement.precision, agreement.recall, agreement.f1)]
    present = (agreement.hits + agreement.misses).sum(0).astype(int)
    rows = tuple(
        FindingRow(place.name, int(n), *figures) for place, n, *figures in zip(columns, present, *measured, strict=True)
    )
    names = [place.name for place in columns]
    five = agreement.only([names.index(name) for name in FIVE]) if set(FIVE) <= set(names) else None
    return FindingTable(
        uncertain,
        rows,
        draws.figure(agreement.macro),
        draws.figure(agreement.micro),
        draws.figure(five.macro) if five else None,
        draws.figure(five.micro) if five else None,
    )


def _ratio(part: Array, whole: Array) -> Array:
    found: Array = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
    return found
