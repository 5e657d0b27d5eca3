"""An answer as a file: what `report` writes for a batch of this one radiograph and question, made in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.ledger import Answered
from xraygpt_edge.ledger.rows import record_of
from xraygpt_edge.records import NOTICE, SCHEMA, Answer
from xraygpt_edge.reports import to_fhir, to_html
from xraygpt_edge.reports.rows import Batch, Radiograph
from xraygpt_edge.text import visible

ID_DIGITS, NAME_DIGITS = 16, 8


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer, and when it was given."""

    answer: Answer
    answered_at: datetime
    conversation: str
    forgotten: int
    """Turns of the conversation that the context had no room for."""

    @property
    def digits(self) -> str:
        """What names the file: of its hash, never its own name, which nobody here knows."""
        return self.answer.input.sha256[:NAME_DIGITS]

    @property
    def record(self) -> dict[str, object]:
        """The line that a batch would keep."""
        digest = self.answer.input.sha256
        return record_of(self.answer, digest[:ID_DIGITS], self.digits, self.answer.question, 1)

    @property
    def radiograph(self) -> Radiograph:
        """As reports read it."""
        row: Answered = msgspec.json.decode(json.dumps(self.record), type=Answered)
        return Radiograph((row,))


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file."""

    ending: str
    media_type: str
    write: Callable[[Kept, Identity | None], bytes]
    wants_identity: bool = False
    """Patient and study are copied into it, where the radiograph is DICOM."""


def _text(kept: Kept, identity: Identity | None) -> bytes:
    made = f"Bundle {kept.answer.bundle.id}, {kept.answered_at.isoformat(timespec='seconds')}"
    return f"{to_fhir.full_text(kept.radiograph, identity)}\n\n{visible(made)}\n".encode()


def _json(kept: Kept, _identity: Identity | None) -> bytes:
    whole = {"schema": SCHEMA, "notice": NOTICE, "summary": None, "records": [kept.record]}
    return json.dumps(whole, indent=1).encode() + b"\n"


def _html(kept: Kept, _identity: Identity | None) -> bytes:
    rows = kept.radiograph.answers
    batch = Batch(Path(), rows, (), None, (kept.answer.question,), kept.answered_at)
    return "".join(to_html.page(batch)).encode()


def _fhir(kept: Kept, identity: Identity | None) -> bytes:
    resource = to_fhir.report(kept.radiograph, identity, kept.answered_at)
    return json.dumps(resource, indent=1, ensure_ascii=False).encode() + b"\n"


def _dicom_sr(kept: Kept, identity: Identity | None) -> bytes:
    from xraygpt_edge.errors import InputRefused
    from xraygpt_edge.reports import dicom_object, to_dicom_sr  # with pydicom, which writes here and parses nothing

    if identity is None:
        raise InputRefused("E-REP-012")
    return dicom_object.encoded(to_dicom_sr.report(kept.radiograph, identity, kept.answered_at))


FORMATS = {
    "text": Format("txt", "text/plain; charset=utf-8", _text),
    "html": Format("html", "text/html; charset=utf-8", _html),
    "json": Format("json", "application/json", _json),
    "fhir": Format("json", "application/fhir+json", _fhir, wants_identity=True),
    "dicom-sr": Format("dcm", "application/dicom", _dicom_sr, wants_identity=True),
}
