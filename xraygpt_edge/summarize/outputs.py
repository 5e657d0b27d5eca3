"""Views of the records: for training, for an evaluation, for a spreadsheet; nothing is computed again."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from xraygpt_edge.reports.job import output_file
from xraygpt_edge.reports.to_csv import BYTE_ORDER_MARK, inert
from xraygpt_edge.summarize import to_html
from xraygpt_edge.summarize.images import Images
from xraygpt_edge.summarize.records import LeftOut, Row, Summarized, rows

COLUMNS = (
    "id", "path", "study", "status", "reason", "text", "removed", "rewriting", "passed", "differences",
    "error_id", "message",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class View:
    """One file to write."""

    folder: Path
    """Of the records."""
    out: Path
    images: Images = field(default_factory=Images)


@dataclass(frozen=True, slots=True)
class Written:
    """What is in a file."""

    entries: int
    without_image: int = 0
    """Reports that are left out, since nobody says which radiographs are theirs."""


def write(name: str, view: View) -> Written:
    """Write one of `FORMATS`; raises OutputError, and what reading records raises."""
    with output_file(view.out) as stream:
        return FORMATS[name](view, stream)


def _filter_cap(view: View, stream: BinaryIO) -> Written:
    """The form that XrayGPT's training reads beside its folder of images."""
    entries = without = 0
    stream.write(b'{"annotations": [')
    for row in _summarized(view.folder):
        images = view.images.of(row)
        without += not images
        for image in images:
            entry = {"image_id": image.id, "caption": row.text}
            stream.write((",\n" if entries else "\n").encode() + json.dumps(entry).encode("ascii"))
            entries += 1
    stream.write(b"\n]}\n")
    return Written(entries, without)


def _references(view: View, stream: BinaryIO) -> Written:
    """What `evaluate` reads: by the path of a radiograph where a table names it, else by the study."""
    entries = 0
    for row in _summarized(view.folder):
        images = view.images.of(row)
        for key in [{"path": image.path or image.id} for image in images] or [{"id": row.study}]:
            stream.write(json.dumps({**key, "text": row.text}).encode("ascii") + b"\n")
            entries += 1
    return Written(entries)


def _csv(view: View, stream: BinaryIO) -> Written:
    entries = 0
    text = codecs.getwriter("utf-8")(stream)
    text.write(BYTE_ORDER_MARK)
    table = csv.DictWriter(text, COLUMNS, restval="", quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    table.writeheader()
    for row in rows(view.folder):
        table.writerow({name: inert(value) for name, value in _cells(row).items()})
        entries += 1
    return Written(entries)


def _cells(row: Row) -> dict[str, str]:
    head = {"id": row.id, "path": row.shown_path, "study": row.study}
    if isinstance(row, LeftOut):
        return {**head, "status": "left out", "reason": row.reason}
    if not isinstance(row, Summarized):
        return {**head, "status": "failed", "error_id": row.error_id, "message": row.message}
    cells = {**head, "status": "ok", "text": row.text, "removed": str(len(row.removed))}
    if row.rewriting is None:
        return cells
    changed = "; ".join(to_html.words_of(difference) for difference in row.rewriting.differences)
    passed = "yes" if row.rewriting.passed else "no"
    return {**cells, "rewriting": row.rewriting.text, "passed": passed, "differences": changed}


def _html(view: View, stream: BinaryIO) -> Written:
    return Written(to_html.write(rows(view.folder), stream))


def _summarized(folder: Path) -> Iterator[Summarized]:
    return (row for row in rows(folder) if isinstance(row, Summarized))


FORMATS: dict[str, Callable[[View, BinaryIO], Written]] = {
    "filter-cap": _filter_cap,
    "references": _references,
    "csv": _csv,
    "html": _html,
}
DEFAULT_NAMES = {
    "filter-cap": "filter_cap.json",
    "references": "references.jsonl",
    "csv": "summaries.csv",
    "html": "summaries.html",
}
"""Where each lands inside the folder of records."""
