"""Records and references into pairs of texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from xraygpt_edge.errors import UsageError
from xraygpt_edge.evaluate.keyed import Keyed
from xraygpt_edge.ledger import Answered, Records, Row, write_whole
from xraygpt_edge.records import EngineFacts, FinishReason, Trust
from xraygpt_edge.trust import Film, film_of

Protocol: TypeAlias = Literal["paper", "plain"]
REMOVED = ("<Img>", "Impression:", "\n", "#", "___")
"""What the published test loop takes out of an answer, and not out of the reference (XrayGPT @ d0baa6a)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One answer beside its reference."""

    path: str
    """The record's own, by which two sets of records are matched; it is never shown."""
    id: str
    study: str
    """Radiographs of one study are drawn together."""
    answer: str
    reference: str
    engine: EngineFacts
    film: Film
    finish_reason: FinishReason
    trust: Trust | None = None


@dataclass(frozen=True, slots=True)
class Pairs:
    """What can be evaluated of a folder of records."""

    pairs: tuple[Pair, ...]
    without_reference: int
    failed: int
    is_demo: bool
    """A demonstration model answered."""
    torn_bytes: int = 0
    """Of a last record that is not whole; it is left out."""

    def only(self, paths: set[str]) -> tuple[Pair, ...]:
        """Those with these paths, in the order of the paths."""
        return tuple(sorted((pair for pair in self.pairs if pair.path in paths), key=lambda pair: pair.path))


def read(folder: Path, references: Keyed, question: str | None = None) -> Pairs:
    """The last answer about each radiograph, beside its reference.

    Raises what `ledger.Records` raises, and UsageError where records answer several questions or none has a reference.
    """
    records = Records(folder)
    rows = _latest(records, question)
    answered = [row for row in rows if isinstance(row, Answered)]
    if len({row.question for row in answered}) > 1 and len({row.own_path for row in answered}) < len(answered):
        raise UsageError("E-EVA-003")
    pairs = tuple(pair for row in answered if (pair := _pair(row, references)) is not None)
    if not pairs:
        raise UsageError("E-EVA-002")
    is_demo = any(row.bundle.demo for row in answered)
    return Pairs(pairs, len(answered) - len(pairs), len(rows) - len(answered), is_demo, records.torn_bytes)


def _latest(records: Records, question: str | None) -> Sequence[Row]:
    """The last attempt of each radiograph and question."""
    latest: dict[tuple[str, str], Row] = {}
    for entry in records:
        if question is None or entry.row.question == question:
            latest[entry.row.own_path, entry.row.question] = entry.row
    return tuple(latest.values())


def _pair(row: Answered, references: Keyed) -> Pair | None:
    cells = references.about(row)
    if cells is None or not cells.get("text", "").strip():
        return None
    study = row.input.study or row.own_path
    return Pair(
        row.own_path,
        row.id,
        study,
        row.text,
        cells["text"],
        row.engine,
        film_of(row.input),
        row.finish_reason,
        row.trust,
    )


def cleaned(text: str, protocol: Protocol) -> str:
    """An answer as it is scored."""
    if protocol == "paper":
        for part in REMOVED:
            text = text.replace(part, "")
    return text


def write(target: Path, pairs: Sequence[Pair], protocol: Protocol) -> None:
    """Write both texts of each pair in the form that RadEval reads; raises OutputError.

    Scores that need torch and weights from a hub (CheXbert, RadGraph, GREEN and others) are computed from it elsewhere.
    """
    both = {
        "references": [pair.reference for pair in pairs],
        "hypotheses": [cleaned(pair.answer, protocol) for pair in pairs],
    }
    write_whole(target, json.dumps(both, indent=1).encode("ascii"))
