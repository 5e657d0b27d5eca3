"""The gate from pictures to shipped files, measured with one source after another left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.gate import evaluation
from export.gate.evaluation import Seen, Table
from export.gate.pictures import Original, collected, drawn
from export.gate.training import described, fit, make_copies
from export.gate.weights import save
from xraygpt_edge.imaging.gate.classifier import Classifier

DRAWN = {"drawn", "phantom"}
"""Sources that are not left out: what is drawn is always there."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Everything that training may use."""

    originals: Sequence[Original]
    inputs: NDArray[np.float32]
    """(n, n_features) of the copies."""
    classes: NDArray[np.int64]
    """(n,) index into the gate's classes."""
    sources: NDArray[np.str_]
    """(n,) where each copy's original is from."""
    seed: int

    def without(self, source: str) -> Classifier:
        """Trained on all other sources; on all of them when there is no such source."""
        rows = self.sources != source
        return fit(self.inputs[rows], self.classes[rows], self.sources[rows], self.seed)


def lesson(pictures: Path, seed: int) -> Lesson:
    """Copies of the collected and of the drawn pictures."""
    originals = [*collected(pictures), *drawn(seed)]
    copies = make_copies(originals, seed)
    sources = np.array([original.source for original in originals])[copies.originals]
    return Lesson(originals, described(copies.grids), copies.classes, sources, seed)


def measured(taught: Lesson, gate: Classifier, photos: Path | None) -> list[Table]:
    """Each source as models see it that were trained without it; photos, which none was trained with."""
    as_they_are: list[Seen] = []
    spoilt: list[Seen] = []
    for source in sorted({original.source for original in taught.originals} - DRAWN):
        without, unseen = taught.without(source), [o for o in taught.originals if o.source == source]
        as_they_are += evaluation.as_they_are(without, unseen)
        spoilt += evaluation.spoilt(without, [o for o in unseen if o.kind == "frontal"], taught.seed)
    if photos:
        as_they_are += evaluation.as_they_are(gate, evaluation.photographs(photos))
    return evaluation.tables(as_they_are, spoilt)


def make(pictures: Path, out: Path, seed: int, photos: Path | None, *, measure: bool) -> list[Table]:
    """Train on every source, measure if that is wanted, and write the files of the gate into out."""
    taught = lesson(pictures, seed)
    gate = taught.without("")
    tables = measured(taught, gate, photos) if measure else []
    sources = Counter(f"{original.source}: {original.kind}" for original in taught.originals)
    save(gate, out, {"seed": seed, "sources": dict(sources), "figures": dict(tables)})
    return tables
