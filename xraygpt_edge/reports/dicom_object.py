"""What every DICOM object of ours has in common: patient, study, equipment, UIDs and times.

Patient and study are those of the source file; series, instance and device have UIDs of their own, which hold
nothing about the patient and are the same each time, so that an archive keeps one object however often it is sent.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from io import BytesIO

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.identity import Attribute, Identity
from xraygpt_edge.ledger import Answered
from xraygpt_edge.reports.rows import Radiograph

PRODUCT = "xraygpt-edge"
SERIES_DESCRIPTION = "AI text - not for diagnostic use"
REQUIRED_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
"""Type 2 in the standard: there, and empty where the source does not have them."""


def add_patient_and_study(document: Dataset, identity: Identity) -> None:
    """Whom it is about, in the words of the source; raises InputRefused where a value cannot be copied."""
    for keyword in REQUIRED_EMPTY:
        setattr(document, keyword, "")
    for attribute in identity.attributes:
        document.add(_copied(attribute))


def _copied(attribute: Attribute) -> DataElement:
    """The element as the archive has it, also where its value is an odd one."""
    try:
        return exactly(attribute.keyword, attribute.vr, attribute.text)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputRefused("E-REP-013", type(error).__name__) from None


def exactly(keyword: str, vr: str, text: str) -> DataElement:
    """An element whose value nobody judges: it was judged when it was read."""
    return DataElement(keyword, vr, text, validation_mode=config.IGNORE)


def add_times(document: Dataset, answered_at: datetime) -> None:
    """Content and instance times, in the time zone that the source states, else in this computer's."""
    moment = answered_at.astimezone(_zone(str(document.get("TimezoneOffsetFromUTC") or "")))
    document.ContentDate = document.InstanceCreationDate = document.SeriesDate = moment.strftime("%Y%m%d")
    document.ContentTime = document.InstanceCreationTime = document.SeriesTime = moment.strftime("%H%M%S")


def _zone(offset: str) -> timezone | None:
    try:
        return timezone(timedelta(hours=int(offset[:3]), minutes=int(offset[0] + offset[3:5])))
    except (ValueError, IndexError):
        return None


def object_uid(role: str, radiograph: Radiograph) -> str:
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


def encoded(document: Dataset) -> bytes:
    """The bytes of a DICOM file."""
    document.file_meta = FileMetaDataset()
    document.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    document.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dcmwrite(stream, document, enforce_file_format=True)
    return stream.getvalue()


def add_equipment(document: Dataset, row: Answered) -> None:
    """Which program and model made it."""
    document.Manufacturer = PRODUCT
    document.ManufacturerModelName = row.bundle.id
    document.SoftwareVersions = row.engine.version
    document.DeviceSerialNumber = row.bundle.manifest_sha256
    contributor = Dataset()
    contributor.PurposeOfReferenceCodeSequence = Sequence([code("109102", "DCM", "Processing Equipment")])
    contributor.Manufacturer = PRODUCT
    contributor.ManufacturerModelName = row.bundle.id
    contributor.SoftwareVersions = row.engine.version
    contributor.DeviceUID = device_uid(row)
    contributor.ContributionDescription = "Text written by a language model from the image; not reviewed."
    document.ContributingEquipmentSequence = Sequence([contributor])


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded concept."""
    concept = Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = value, scheme, meaning
    return concept
