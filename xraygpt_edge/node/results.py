"""Objects about an answered film, one for each kind that a destination wants: what `report` makes, for one film."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from pydicom.dataset import Dataset

from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.ledger import Answered, Failed
from xraygpt_edge.node.settings import Kind
from xraygpt_edge.records import NOTICE, SCHEMA
from xraygpt_edge.reports import secondary_capture, to_dicom_sr, to_fhir, to_html
from xraygpt_edge.reports.dicom_object import encoded
from xraygpt_edge.reports.rows import Batch, Radiograph

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SENT_CLASSES = (BASIC_TEXT_SR, SECONDARY_CAPTURE)
SENT_SYNTAX = "1.2.840.10008.1.2.1"


@dataclass(frozen=True, slots=True)
class Made:
    """One object, ready to be sent."""

    data: bytes
    suffix: str
    """Of its file's name."""
    sop_instance_uid: str = ""
    """Of a DICOM object; empty for a file."""


Make = Callable[[Radiograph, Identity, datetime], Made]


def make(kind: Kind, answers: Sequence[Answered], identity: Identity, answered_at: datetime) -> Made:
    """The object of a kind about one film; raises InputRefused where patient or study cannot be copied."""
    return MAKERS[kind](Radiograph(tuple(answers)), identity, answered_at)


def refusal(failed: Failed, identity: Identity, refused_at: datetime) -> Made:
    """A report that says only that there is no answer, and why; raises InputRefused as `make` does."""
    document = to_dicom_sr.refusal(failed, identity, refused_at)
    return Made(encoded(document), ".dcm", str(document.SOPInstanceUID))


def _dicom(write: Callable[[Radiograph, Identity, datetime], Dataset]) -> Make:
    def made(radiograph: Radiograph, identity: Identity, answered_at: datetime) -> Made:
        document = write(radiograph, identity, answered_at)
        return Made(encoded(document), ".dcm", str(document.SOPInstanceUID))

    return made


def _fhir(radiograph: Radiograph, identity: Identity, answered_at: datetime) -> Made:
    resource = to_fhir.report(radiograph, identity, answered_at)
    return Made(json.dumps(resource, indent=1, ensure_ascii=False).encode("utf-8") + b"\n", ".fhir.json")


def _json(radiograph: Radiograph, _identity: Identity, _answered_at: datetime) -> Made:
    records = [msgspec.to_builtins(row) for row in radiograph.answers]
    return Made(json.dumps({"schema": SCHEMA, "notice": NOTICE, "records": records}).encode("ascii"), ".json")


def _html(radiograph: Radiograph, _identity: Identity, answered_at: datetime) -> Made:
    """The page of `report`, made in memory; nothing of a patient is in it."""
    asked = tuple(row.question for row in radiograph.answers)
    pieces = to_html.page(Batch(Path(), radiograph.answers, (), None, asked, answered_at))
    return Made("".join(pieces).encode("utf-8"), ".html")


MAKERS: dict[Kind, Make] = {
    "dicom-sr": _dicom(to_dicom_sr.report),
    "secondary-capture": _dicom(secondary_capture.capture),
    "fhir": _fhir,
    "json": _json,
    "html": _html,
}
