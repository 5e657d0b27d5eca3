"""What became of the reports: counts by reason, beside those that were published; `summary.json`."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xraygpt_edge.ledger import write_whole
from xraygpt_edge.summarize.records import Failed, LeftOut, Row, Summarized
from xraygpt_edge.version import __version__

SUMMARY = "summary.json"
SCHEMA = 1
PUBLISHED = {"MIMIC-CXR": (227_827, 114_690), "OpenI": (3_955, 3_403)}
"""Reports found and kept, as the paper on XrayGPT gives them."""
_MIMIC = re.compile(r"(?:^|/)p1\d/p1\d{7}/s5\d{7}\.txt$")


@dataclass(slots=True)
class Totals:
    """Counts of reports: found = kept + left out + failed."""

    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason → reports."""
    failed: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Error id → reports."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason → files that are no reports."""
    removed: Counter[str] = field(default_factory=Counter)
    """Rule → pieces that were taken out of reports that were kept."""
    rewritten: int = 0
    passed: int = 0
    """Rewritings that say what they were given."""
    corpus: str = ""
    """Name of the published collection that this one looks like."""

    def add(self, row: Row) -> None:
        """Count one record."""
        match row:
            case Summarized():
                self.kept += 1
                self.removed.update(piece.rule for piece in row.removed)
                self.rewritten += row.rewriting is not None
                self.passed += bool(row.rewriting and row.rewriting.passed)
            case LeftOut():
                self.left_out[row.reason] += 1
            case Failed():
                self.failed += 1
                self.errors[row.error_id] += 1
        if not self.corpus:
            self.corpus = "MIMIC-CXR" if _MIMIC.search(row.path) else "OpenI" if row.path.endswith(".xml") else ""

    @property
    def found(self) -> int:
        """Reports, whatever became of them."""
        return self.kept + self.left_out.total() + self.failed

    @property
    def share_passed(self) -> float | None:
        """Of the rewritings; None where there was none."""
        return self.passed / self.rewritten if self.rewritten else None

    def to_dict(self) -> dict[str, Any]:
        """The object that `summary.json` holds and `--json` prints."""
        published = {name: {"found": found, "kept": kept} for name, (found, kept) in PUBLISHED.items()}
        return {
            "schema": SCHEMA,
            "status": "finished",
            "found": self.found,
            "kept": self.kept,
            "left_out": dict(self.left_out.most_common()),
            "failed": self.failed,
            "errors": dict(self.errors.most_common()),
            "skipped": dict(self.skipped.most_common()),
            "removed": dict(self.removed.most_common()),
            "rewritten": self.rewritten,
            "passed": self.passed,
            "share_passed": self.share_passed,
            "published": published,
            "looks_like": self.corpus,
            "version": __version__,
        }

    def write(self, folder: Path) -> None:
        """Write `summary.json`; raises OutputError."""
        write_whole(folder / SUMMARY, json.dumps(self.to_dict(), indent=1).encode("ascii"))
