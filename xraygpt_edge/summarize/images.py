"""Which radiographs belong to which study: a CSV file, such as MIMIC-CXR's own table of studies."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xraygpt_edge.errors import UsageError
from xraygpt_edge.summarize.records import Summarized

STUDY, IMAGE = ("study", "study_id"), ("image_id", "dicom_id")
PATH = "path"


@dataclass(frozen=True, slots=True)
class Image:
    """One radiograph of a study."""

    id: str
    path: str = ""
    """As a batch's records have it, where the table says so."""


@dataclass(frozen=True, slots=True)
class Images:
    """Studies and their radiographs."""

    by_study: dict[str, list[Image]] = field(default_factory=dict)

    def of(self, row: Summarized) -> Sequence[Image]:
        """Those of a report; what its file says counts where the table says nothing."""
        return self.by_study.get(_bare(row.study)) or [Image(name) for name in row.images]


def read(path: Path) -> Images:
    """The table; raises UsageError with the number of the first line that cannot be used; nothing of it is repeated."""
    found = Images()
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream, strict=True)
            study, image = (_column(names, table.fieldnames or ()) for names in (STUDY, IMAGE))
            for cells in table:
                if None in cells or None in cells.values() or not cells[study] or not cells[image]:
                    raise UsageError("E-SUM-003", f"line {table.line_num}")
                found.by_study.setdefault(_bare(cells[study]), []).append(Image(cells[image], cells.get(PATH, "")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError("E-SUM-003", f"it cannot be read: {type(error).__name__}") from error
    return found


def _column(names: Sequence[str], header: Sequence[str]) -> str:
    found = next((name for name in names if name in header), None)
    if found is None:
        raise UsageError("E-SUM-003", f"line 1 has no column {' or '.join(names)}")
    return found


def _bare(study: str) -> str:
    """MIMIC-CXR's tables write 50414267 where its files are called s50414267."""
    study = study.strip()
    return study[1:] if study[:1] == "s" and study[1:].isdigit() else study
