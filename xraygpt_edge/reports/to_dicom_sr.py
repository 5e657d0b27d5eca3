"""DICOM Basic Text SR: one unverified, preliminary report a radiograph, for an archive.

Laid out after template TID 2000: root container, language, a device as the observer, then the
findings, inferred from the image that is also listed as evidence. `dicom_object` has patient and study.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage

from xraygpt_edge.errors import InputRefused, UsageError
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.ledger import Answered, Failed
from xraygpt_edge.records import NOTICE, PRODUCT
from xraygpt_edge.reports.dicom_object import (
    SERIES_DESCRIPTION,
    Device,
    add_equipment,
    add_patient_and_study,
    add_times,
    code,
    encoded,
    exactly,
    hashed_uid,
    object_uid,
)
from xraygpt_edge.reports.job import Job, LeftOut, Warned, Written, make_folder, output_file, unused_name
from xraygpt_edge.reports.rows import Radiograph
from xraygpt_edge.reports.source import read_identity
from xraygpt_edge.text import visible
from xraygpt_edge.version import __version__

GATE = "input gate"
"""Model of the device that refuses a picture: no model has seen it."""
SERIES_NUMBER = 9901
"""High, so that it stands behind the images' own series."""


def write(job: Job) -> Written:
    """One file a radiograph, named after the record's id. Raises UsageError without the radiographs."""
    if job.images is None:
        raise UsageError("E-REP-004")
    make_folder(job.out)
    left_out: list[LeftOut] = []
    warned: list[Warned] = []
    written: set[str] = set()
    with closing(Reader()) as reader:
        for radiograph in job.batch.instances:
            row = radiograph.first
            try:
                identity = read_identity(reader, job.images, row)
                document = report(radiograph, identity, job.batch.answered_at)
            except InputRefused as error:
                left_out.append(LeftOut.because(row, error))
                continue
            with output_file(job.out / f"{unused_name(row, written)}.dcm") as stream:
                stream.write(encoded(document))
            warned += Warned.of(row, identity)
    return Written(len(written), tuple(left_out), tuple(warned))


def report(radiograph: Radiograph, identity: Identity, answered_at: datetime) -> Dataset:
    """The whole document; raises InputRefused where a value cannot be copied."""
    document = _document(identity, Device.of(radiograph.first), _sections(radiograph, identity), answered_at)
    document.SeriesInstanceUID = object_uid("series", radiograph)
    document.SOPInstanceUID = object_uid("instance", radiograph)
    return document


def refusal(failed: Failed, identity: Identity, refused_at: datetime) -> Dataset:
    """A document that says only that there is no answer, and why; raises InputRefused as `report` does."""
    device = Device(GATE, __version__, __version__, "Refused the image before any model saw it.")
    why = f"No answer was given. {failed.error_id}: {failed.message}"
    words = [_text("CONTAINS", ("121106", "Comment"), each) for each in (why, NOTICE)]
    document = _document(identity, device, [_section(("121070", "Findings"), words)], refused_at)
    made_of = (identity.sha256, failed.error_id, __version__)
    document.SeriesInstanceUID = hashed_uid("refusal series", *made_of)
    document.SOPInstanceUID = hashed_uid("refusal", *made_of)
    return document


def _document(identity: Identity, device: Device, sections: list[Dataset], made_at: datetime) -> Dataset:
    """Everything but the UIDs of series and instance."""
    document = Dataset()
    document.SpecificCharacterSet = "ISO_IR 192"
    add_patient_and_study(document, identity)
    _add_series_and_equipment(document, device)
    add_times(document, made_at)
    _add_state(document, identity)
    _add_content(document, [*_context(device), *sections])
    document.SOPClassUID = BasicTextSRStorage
    return document


def _add_series_and_equipment(document: Dataset, device: Device) -> None:
    document.Modality = "SR"
    document.SeriesNumber = SERIES_NUMBER
    document.InstanceNumber = 1
    document.SeriesDescription = SERIES_DESCRIPTION
    document.ReferencedPerformedProcedureStepSequence = Sequence()
    add_equipment(document, device)


def _add_state(document: Dataset, identity: Identity) -> None:
    document.CompletionFlag = "COMPLETE"
    document.VerificationFlag = "UNVERIFIED"
    document.PreliminaryFlag = "PRELIMINARY"
    document.PerformedProcedureCodeSequence = Sequence()
    image = _reference(identity)
    series, study = Dataset(), Dataset()
    series.add(exactly("SeriesInstanceUID", "UI", identity.series_uid))
    series.ReferencedSOPSequence = Sequence([image])
    study.add(exactly("StudyInstanceUID", "UI", identity.study_uid))
    study.ReferencedSeriesSequence = Sequence([series])
    document.CurrentRequestedProcedureEvidenceSequence = Sequence([study])


def _add_content(document: Dataset, items: list[Dataset]) -> None:
    template = Dataset()
    template.MappingResource = "DCMR"
    template.TemplateIdentifier = "2000"
    document.ValueType = "CONTAINER"
    document.ConceptNameCodeSequence = Sequence([code("18748-4", "LN", "Diagnostic Imaging Report")])
    document.ContinuityOfContent = "SEPARATE"
    document.ContentTemplateSequence = Sequence([template])
    document.ContentSequence = Sequence(items)


def _context(device: Device) -> list[Dataset]:
    """In which language, and that a device observed."""
    english, observer = code("en", "RFC5646", "English"), code("121007", "DCM", "Device")
    language = _item("HAS CONCEPT MOD", "CODE", ("121049", "Language of Content Item and Descendants"))
    language.ConceptCodeSequence = Sequence([english])
    kind = _item("HAS OBS CONTEXT", "CODE", ("121005", "Observer Type"))
    kind.ConceptCodeSequence = Sequence([observer])
    uid = _item("HAS OBS CONTEXT", "UIDREF", ("121012", "Device Observer UID"))
    uid.UID = device.uid
    name = _text("HAS OBS CONTEXT", ("121013", "Device Observer Name"), PRODUCT)
    model = _text("HAS OBS CONTEXT", ("121015", "Device Observer Model Name"), device.model)
    return [language, kind, uid, name, model]


def _sections(radiograph: Radiograph, identity: Identity) -> list[Dataset]:
    """Findings first; then what was asked, and what a reader must know."""
    findings = [_finding(answer, identity) for answer in radiograph.answers]
    asked = [_text("CONTAINS", ("121062", "Request"), answer.question) for answer in radiograph.answers]
    remarks = [_text("CONTAINS", ("121106", "Comment"), words) for words in radiograph.remarks(*identity.warnings)]
    return [
        _section(("121070", "Findings"), [*findings, *remarks]),
        _section(("121062", "Request"), asked),
    ]


def _finding(answer: Answered, identity: Identity) -> Dataset:
    image = Dataset()
    image.RelationshipType = "INFERRED FROM"
    image.ValueType = "IMAGE"
    reference = _reference(identity)
    if answer.input.frame is not None:
        reference.ReferencedFrameNumber = answer.input.frame
    image.ReferencedSOPSequence = Sequence([reference])
    finding = _text("CONTAINS", ("121071", "Finding"), answer.text)
    finding.ContentSequence = Sequence([image])
    return finding


def _section(concept: tuple[str, str], items: list[Dataset]) -> Dataset:
    section = _item("CONTAINS", "CONTAINER", concept)
    section.ContinuityOfContent = "SEPARATE"
    section.ContentSequence = Sequence(items)
    return section


def _text(relationship: str, concept: tuple[str, str], words: str) -> Dataset:
    item = _item(relationship, "TEXT", concept)
    item.TextValue = visible(words).replace("\n", "\r\n")
    return item


def _item(relationship: str, value_type: str, concept: tuple[str, str]) -> Dataset:
    value, meaning = concept
    item = Dataset()
    item.RelationshipType = relationship
    item.ValueType = value_type
    item.ConceptNameCodeSequence = Sequence([code(value, "DCM", meaning)])
    return item


def _reference(identity: Identity) -> Dataset:
    reference = Dataset()
    reference.add(exactly("ReferencedSOPClassUID", "UI", identity.sop_class_uid))
    reference.add(exactly("ReferencedSOPInstanceUID", "UI", identity.sop_instance_uid))
    return reference
