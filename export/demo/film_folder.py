"""Phantoms as a folder of DICOM files, with what is true of each: for whatever takes a folder of films."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.errors import ExportRefused

from .dicom_files import PACKINGS, write_phantom
from .findings import LABELS, sample_case
from .texts import answer

FIRST_SEED = 70_000_000
"""Seeds from here on are nobody else's: see `reference_films`."""
REFERENCES, LABELLED = "references.csv", "labels.csv"


def write(folder: Path, count: int, first_seed: int = FIRST_SEED) -> None:
    """Write films in all packings by turns, a reference report for each, and labels; raises ExportRefused.

    The two tables are as `evaluate` and `calibrate` take them.
    """
    if folder.exists():
        raise ExportRefused("No films were drawn.", [f"{folder} exists already"])
    folder.mkdir(parents=True)
    random, references, labels = np.random.default_rng(1), [("path", "text")], [("id", "finding", "label")]
    for number in range(count):
        case, name = sample_case(first_seed + number), f"{number:04d}.dcm"
        write_phantom(folder / name, case, PACKINGS[number % len(PACKINGS)])
        references.append((name, answer(case, "description", random)))
        labels += [(name, label, str(int(label in case.labels))) for label in LABELS]
    _save(folder / REFERENCES, references)
    _save(folder / LABELLED, labels)


def _save(target: Path, rows: Sequence[tuple[str, ...]]) -> None:
    with target.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
