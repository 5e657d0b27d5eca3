"""FHIR R4: one preliminary DiagnosticReport a radiograph, for a clinic's information system.

Each answer is a contained Observation whose device is the contained Device: in R4 only people and
organisations can perform a DiagnosticReport, and no person did. Patient and study are named only
when the radiographs are at hand, by identifier and never by name.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.ledger import Answered
from xraygpt_edge.records import FindingTrust, Trust
from xraygpt_edge.reports.job import Job, LeftOut, Warned, Written, make_folder, output_file, unused_name
from xraygpt_edge.reports.rows import Radiograph
from xraygpt_edge.reports.source import read_identity
from xraygpt_edge.text import visible
from xraygpt_edge.trust import words

LOINC = "http://loinc.org"
PART_OF_REPORT_SYSTEM = "http://terminology.hl7.org/CodeSystem/v2-0074"
PRESENCE = {
    "present": ("LA9633-4", "Present"),
    "absent": ("LA9634-2", "Absent"),
    "unsure": ("LA11884-6", "Indeterminate"),
}
"""Verdicts as answers of LOINC; what was not answered, or does not depend on the image, is no observation."""
Json = dict[str, Any]


def write(job: Job) -> Written:
    """One file a radiograph, named after the record's id."""
    make_folder(job.out)
    left_out: list[LeftOut] = []
    warned: list[Warned] = []
    written: set[str] = set()
    with closing(Reader()) as reader:
        for radiograph in job.batch.instances:
            row = radiograph.first
            try:
                identity = _identity(reader, job, row)
            except InputRefused as error:
                left_out.append(LeftOut.because(row, error))
                continue
            resource = report(radiograph, identity, job.batch.answered_at)
            with output_file(job.out / f"{unused_name(row, written)}.json") as stream:
                stream.write(json.dumps(resource, indent=1, ensure_ascii=False).encode("utf-8") + b"\n")
            warned += Warned.of(row, identity) if identity else []
    return Written(len(written), tuple(left_out), tuple(warned))


def _identity(reader: Reader, job: Job, row: Answered) -> Identity | None:
    """Patient and study, where the radiographs are named and the file is DICOM."""
    if job.images is None or row.input.format != "dicom":
        return None
    return read_identity(reader, job.images, row)


def report(radiograph: Radiograph, identity: Identity | None, answered_at: datetime) -> Json:
    """The whole resource."""
    row = radiograph.first
    text = full_text(radiograph, identity)
    found = [*(_observation(a, n) for n, a in enumerate(radiograph.answers, 1)), *_verdicts(radiograph)]
    return {
        "resourceType": "DiagnosticReport",
        "text": {"status": "generated", "div": _div(text)},
        "contained": [_device(row), *found],
        "status": "preliminary",
        "category": [{"coding": [{"system": PART_OF_REPORT_SYSTEM, "code": "RAD", "display": "Radiology"}]}],
        "code": _concept("18748-4", "Diagnostic imaging study"),
        **(_about(identity) if identity else {}),
        "issued": answered_at.isoformat(timespec="seconds"),
        "result": [{"reference": f"#{observation['id']}"} for observation in found],
        "conclusion": visible("\n\n".join(answer.text for answer in radiograph.answers)),
        "presentedForm": [
            {
                "contentType": "text/plain; charset=utf-8",
                "language": "en",
                "data": base64.b64encode(text.encode("utf-8")).decode("ascii"),
                "title": "AI text - not for diagnostic use",
            }
        ],
    }


def full_text(radiograph: Radiograph, identity: Identity | None) -> str:
    """What a person reads: question and answer, what limits them, and the notice."""
    answers = [f"{answer.question}\n{answer.text}" for answer in radiograph.answers]
    return visible("\n\n".join([*answers, *radiograph.remarks(*(identity.warnings if identity else ()))]))


def _div(text: str) -> str:
    paragraphs = "".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n"))
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{paragraphs}</div>'


def _concept(code: str, display: str) -> Json:
    return {"coding": [{"system": LOINC, "code": code, "display": display}]}


def _about(identity: Identity) -> Json:
    """The patient by the archive's number, and the study by its UID."""
    study = {"system": "urn:dicom:uid", "value": f"urn:oid:{identity.study_uid}"}
    about: Json = {"imagingStudy": [{"type": "ImagingStudy", "identifier": study}]}
    number = identity.text("PatientID")
    if number:
        issuer = identity.text("IssuerOfPatientID")
        identifier = {"value": number, **({"assigner": {"display": issuer}} if issuer else {})}
        about["subject"] = {"type": "Patient", "identifier": identifier}
    return about


def _device(row: Answered) -> Json:
    return {
        "resourceType": "Device",
        "id": "device",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:sha256:{row.bundle.manifest_sha256}"}],
        "status": "active",
        "manufacturer": "xraygpt-edge",
        "deviceName": [{"name": row.bundle.id, "type": "model-name"}],
        "version": [{"value": row.engine.version}],
        "note": [{"text": row.notice}],
    }


def _observation(answer: Answered, number: int) -> Json:
    return {
        "resourceType": "Observation",
        "id": f"finding-{number}",
        "status": "preliminary",
        "code": _concept("18782-3", "Radiology Study observation (narrative)"),
        "valueString": visible(answer.text),
        "device": {"reference": "#device"},
        "note": [{"text": note} for note in _notes(answer)],
    }


def _verdicts(radiograph: Radiograph) -> Iterator[Json]:
    """The model's own yes and no about each finding; a probability only where the clinic has labelled films itself."""
    for number, answer in enumerate(radiograph.answers, 1):
        trust = answer.trust
        for place, finding in enumerate(trust.findings if trust else (), 1):
            if trust and finding.verdict in PRESENCE:
                yield {
                    "resourceType": "Observation",
                    "id": f"finding-{number}-{place}",
                    "status": "preliminary",
                    "code": {"text": visible(finding.name)},
                    "valueCodeableConcept": _concept(*PRESENCE[finding.verdict]),
                    "method": {"text": _method(trust)},
                    "device": {"reference": "#device"},
                    **_component(finding, trust),
                }


def _method(trust: Trust) -> str:
    own = (
        "The model's own answer to a yes/no question; it shows whether the model agrees with itself, not what is there."
    )
    return visible(f"{own} {words.source(trust)} Profile SHA-256 {trust.profile}.")


def _component(finding: FindingTrust, trust: Trust) -> Json:
    if finding.p is None or trust.reference is None or not (trust.reference.of_site and trust.reference.labelled):
        return {}
    value = {"value": round(finding.p, 4), "system": "http://unitsofmeasure.org", "code": "1"}
    return {"component": [{"code": {"text": "probability"}, "valueQuantity": value}]}


def _notes(answer: Answered) -> list[str]:
    """What was asked, and of which frame: R4 has no element for a frame."""
    frame = answer.input.frame
    asked = f"Asked: {visible(answer.question)}"
    return [asked] if frame is None else [asked, f"About frame {frame} of the file."]
