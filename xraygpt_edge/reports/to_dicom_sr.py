"""DICOM Basic Text SR: one unverified, preliminary report a radiograph, for an archive.

Laid out after template TID 2000: root container, language, a device as the observer, then the
findings, inferred from the image that is also listed as evidence. Patient and study are those of
the source file; series, instance and device have UIDs of their own, which hold nothing about the
patient and are the same each time, so that an archive keeps one object however often it is sent.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timedelta, timezone
from io import BytesIO

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, generate_uid

from xraygpt_edge.errors import InputRefused, UsageError
from xraygpt_edge.imaging.identity import Attribute, Identity
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.ledger import Answered
from xraygpt_edge.reports.job import Job, LeftOut, Warned, Written, make_folder, output_file, unused_name
from xraygpt_edge.reports.rows import Radiograph
from xraygpt_edge.reports.source import read_identity
from xraygpt_edge.text import visible

PRODUCT = "xraygpt-edge"
SERIES_NUMBER = 9901
"""High, so that it stands behind the images' own series."""
REQUIRED_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Type 2 in the standard: there, and empty where the source does not have them."""


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
    _add_patient_and_study(document, identity)
    _add_series_and_equipment(document, radiograph)
    _add_times(document, answered_at)
    _add_state(document, identity)
    _add_content(document, radiograph, identity)
    document.SOPClassUID = BasicTextSRStorage
    document.SOPInstanceUID = _uid("instance", radiograph)
    return document


def encoded(document: Dataset) -> bytes:
    """The bytes of a DICOM file."""
    document.file_meta = FileMetaDataset()
    document.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    document.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dcmwrite(stream, document, enforce_file_format=True)
    return stream.getvalue()


def _uid(role: str, radiograph: Radiograph) -> str:
    """A UID of this role for these answers: hashed from what made them, so the same each time."""
    row = radiograph.first
    frame = [] if row.input.frame is None else [f"frame {row.input.frame}"]
    made_by = [row.input.sha256, *frame, row.bundle.manifest_sha256, row.engine.version]
    words = [word for answer in radiograph.answers for word in (answer.question, answer.text)]
    words += radiograph.software_checks
    # Earlier versions took questions with half characters, which cannot be hashed.
    whole = (word.encode("utf-8", "backslashreplace").decode() for word in words)
    return str(generate_uid(entropy_srcs=[PRODUCT, role, *made_by, *whole]))


def device_uid(row: Answered) -> str:
    """Another model or another version is another device."""
    entropy = [PRODUCT, "device", row.bundle.manifest_sha256, row.engine.version]
    return str(generate_uid(entropy_srcs=entropy))


def _add_patient_and_study(document: Dataset, identity: Identity) -> None:
    for keyword in REQUIRED_EMPTY:
        setattr(document, keyword, "")
    for attribute in identity.attributes:
        document.add(_copied(attribute))


def _copied(attribute: Attribute) -> DataElement:
    """The element as the archive has it, also where its value is an odd one."""
    try:
        return _exactly(attribute.keyword, attribute.vr, attribute.text)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputRefused("E-REP-013", type(error).__name__) from None


def _exactly(keyword: str, vr: str, text: str) -> DataElement:
    """An element whose value nobody judges: it was judged when it was read."""
    return DataElement(keyword, vr, text, validation_mode=config.IGNORE)


def _add_series_and_equipment(document: Dataset, radiograph: Radiograph) -> None:
    row = radiograph.first
    document.Modality = "SR"
    document.SeriesInstanceUID = _uid("series", radiograph)
    document.SeriesNumber = SERIES_NUMBER
    document.InstanceNumber = 1
    document.SeriesDescription = "AI text - not for diagnostic use"
    document.ReferencedPerformedProcedureStepSequence = Sequence()
    document.Manufacturer = PRODUCT
    document.ManufacturerModelName = row.bundle.id
    document.SoftwareVersions = row.engine.version
    document.DeviceSerialNumber = row.bundle.manifest_sha256
    contributor = Dataset()
    contributor.PurposeOfReferenceCodeSequence = Sequence([_code("109102", "DCM", "Processing Equipment")])
    contributor.Manufacturer = PRODUCT
    contributor.ManufacturerModelName = row.bundle.id
    contributor.SoftwareVersions = row.engine.version
    contributor.DeviceUID = device_uid(row)
    contributor.ContributionDescription = "Text written by a language model from the image; not reviewed."
    document.ContributingEquipmentSequence = Sequence([contributor])


def _add_times(document: Dataset, answered_at: datetime) -> None:
    """Content and instance times, in the time zone that the source states, else in this computer's."""
    moment = answered_at.astimezone(_zone(str(document.get("TimezoneOffsetFromUTC") or "")))
    document.ContentDate = document.InstanceCreationDate = document.SeriesDate = moment.strftime("%Y%m%d")
    document.ContentTime = document.InstanceCreationTime = document.SeriesTime = moment.strftime("%H%M%S")


def _zone(offset: str) -> timezone | None:
    try:
        return timezone(timedelta(hours=int(offset[:3]), minutes=int(offset[0] + offset[3:5])))
    except (ValueError, IndexError):
        return None


def _add_state(document: Dataset, identity: Identity) -> None:
    document.CompletionFlag = "COMPLETE"
    document.VerificationFlag = "UNVERIFIED"
    document.PreliminaryFlag = "PRELIMINARY"
    document.PerformedProcedureCodeSequence = Sequence()
    image = _reference(identity)
    series, study = Dataset(), Dataset()
    series.add(_exactly("SeriesInstanceUID", "UI", identity.series_uid))
    series.ReferencedSOPSequence = Sequence([image])
    study.add(_exactly("StudyInstanceUID", "UI", identity.study_uid))
    study.ReferencedSeriesSequence = Sequence([series])
    document.CurrentRequestedProcedureEvidenceSequence = Sequence([study])


def _add_content(document: Dataset, radiograph: Radiograph, identity: Identity) -> None:
    template = Dataset()
    template.MappingResource = "DCMR"
    template.TemplateIdentifier = "2000"
    document.ValueType = "CONTAINER"
    document.ConceptNameCodeSequence = Sequence([_code("18748-4", "LN", "Diagnostic Imaging Report")])
    document.ContinuityOfContent = "SEPARATE"
    document.ContentTemplateSequence = Sequence([template])
    document.ContentSequence = Sequence([*_context(radiograph.first), *_sections(radiograph, identity)])


def _context(row: Answered) -> list[Dataset]:
    """In which language, and that a device observed."""
    english, device = _code("en", "RFC5646", "English"), _code("121007", "DCM", "Device")
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
    item.ConceptNameCodeSequence = Sequence([_code(value, "DCM", meaning)])
    return item


def _reference(identity: Identity) -> Dataset:
    reference = Dataset()
    reference.add(_exactly("ReferencedSOPClassUID", "UI", identity.sop_class_uid))
    reference.add(_exactly("ReferencedSOPInstanceUID", "UI", identity.sop_instance_uid))
    return reference


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
