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
from xraygpt_edge.ledger import Answered
from xraygpt_edge.reports.dicom_object import (
    PRODUCT,
    SERIES_DESCRIPTION,
    add_equipment,
    add_patient_and_study,
    add_times,
    code,
    device_uid,
    encoded,
    exactly,
    object_uid,
)
from xraygpt_edge.reports.job import Job, LeftOut, Warned, Written, make_folder, output_file, unused_name
from xraygpt_edge.reports.rows import Radiograph
from xraygpt_edge.reports.source import read_identity
from xraygpt_edge.text import visible

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
    document = Dataset()
    document.SpecificCharacterSet = "ISO_IR 192"
    add_patient_and_study(document, identity)
    _add_series_and_equipment(document, radiograph)
    add_times(document, answered_at)
    _add_state(document, identity)
    _add_content(document, radiograph, identity)
    document.SOPClassUID = BasicTextSRStorage
    document.SOPInstanceUID = object_uid("instance", radiograph)
    return document


def _add_series_and_equipment(document: Dataset, radiograph: Radiograph) -> None:
    document.Modality = "SR"
    document.SeriesInstanceUID = object_uid("series", radiograph)
    document.SeriesNumber = SERIES_NUMBER
    document.InstanceNumber = 1
    document.SeriesDescription = SERIES_DESCRIPTION
    document.ReferencedPerformedProcedureStepSequence = Sequence()
    add_equipment(document, radiograph.first)


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


def _add_content(document: Dataset, radiograph: Radiograph, identity: Identity) -> None:
    template = Dataset()
    template.MappingResource = "DCMR"
    template.TemplateIdentifier = "2000"
    document.ValueType = "CONTAINER"
    document.ConceptNameCodeSequence = Sequence([code("18748-4", "LN", "Diagnostic Imaging Report")])
    document.ContinuityOfContent = "SEPARATE"
    document.ContentTemplateSequence = Sequence([template])
    document.ContentSequence = Sequence([*_context(radiograph.first), *_sections(radiograph, identity)])


def _context(row: Answered) -> list[Dataset]:
    """In which language, and that a device observed."""
    english, device = code("en", "RFC5646", "English"), code("121007", "DCM", "Device")
    language = _item("HAS CONCEPT MOD", "CODE", ("121049", "Language of Content Item and Descendants"))
    language.ConceptCodeSequence = Sequence([english])
    kind = _item("HAS OBS CONTEXT", "CODE", ("121005", "Observer Type"))
    kind.ConceptCodeSequence = Sequence([device])
    uid = _item("HAS OBS CONTEXT", "UIDREF", ("121012", "Device Observer UID"))
    uid.UID = device_uid(row)
    name = _text("HAS OBS CONTEXT", ("121013", "Device Observer Name"), PRODUCT)
    model = _text("HAS OBS CONTEXT", ("121015", "Device Observer Model Name"), row.bundle.id)
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
