"""Objects about an answered film, one for each kind that a destination wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.ledger import Answered
from xraygpt_edge.node.settings import Kind
from xraygpt_edge.reports.rows import Radiograph

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
SENT_CLASSES = (BASIC_TEXT_SR,)
SENT_SYNTAX = "1.2.840.10008.1.2.1"


@dataclass(frozen=True, slots=True)
class Made:
    """One object, ready to be sent."""

    data: bytes
    sop_instance_uid: str


def make(kind: Kind, answers: Sequence[Answered], identity: Identity, answered_at: datetime) -> Made:
    """The object of a kind about one film; raises InputRefused where patient or study cannot be copied."""
    return MAKERS[kind](Radiograph(tuple(answers)), identity, answered_at)


def _structured_report(radiograph: Radiograph, identity: Identity, answered_at: datetime) -> Made:
    from xraygpt_edge.reports import to_dicom_sr

    document = to_dicom_sr.report(radiograph, identity, answered_at)
    return Made(to_dicom_sr.encoded(document), str(document.SOPInstanceUID))


MAKERS: dict[Kind, Callable[[Radiograph, Identity, datetime], Made]] = {"dicom-sr": _structured_report}
