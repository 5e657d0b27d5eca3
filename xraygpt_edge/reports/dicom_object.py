"""What every DICOM object of ours has in common: patient, study, equipment, UIDs and times.

Patient and study are those of the source file; series, instance and device have UIDs of their own, which hold
nothing about the patient and are the same each time, so that an archive keeps one object however often it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from xraygpt_edge.records import PRODUCT
from xraygpt_edge.reports.rows import Radiograph

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
    return hashed_uid(role, *made_by, *whole)


@dataclass(frozen=True, slots=True)
class Device:
    """What wrote an object: another model or another version is another device."""

    model: str
    serial: str
    """Of a model: the hash of its bundle's manifest."""
    version: str
    contribution: str
    """What it did, as a sentence."""

    @classmethod
    def of(cls, row: Answered) -> Device:
        """The model that answered."""
        words = "Text written by a language model from the image; not reviewed."
        return cls(row.bundle.id, row.bundle.manifest_sha256, row.engine.version, words)

    @property
    def uid(self) -> str:
        """The same each time."""
        return hashed_uid("device", self.serial, self.version)


def hashed_uid(*words: str) -> str:
    """A UID that is the same for the same words."""
    return str(generate_uid(entropy_srcs=[PRODUCT, *words]))


def encoded(document: Dataset) -> bytes:
    """The bytes of a DICOM file."""
    document.file_meta = FileMetaDataset()
    document.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    document.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dcmwrite(stream, document, enforce_file_format=True)
    return stream.getvalue()


def add_equipment(document: Dataset, device: Device) -> None:
    """Which program and model made it."""
    document.Manufacturer = PRODUCT
    document.ManufacturerModelName = device.model
    document.SoftwareVersions = device.version
    document.DeviceSerialNumber = device.serial
    contributor = Dataset()
    contributor.PurposeOfReferenceCodeSequence = Sequence([code("109102", "DCM", "Processing Equipment")])
    contributor.Manufacturer = PRODUCT
    contributor.ManufacturerModelName = device.model
    contributor.SoftwareVersions = device.version
    contributor.DeviceUID = device.uid
    contributor.ContributionDescription = device.contribution
    document.ContributingEquipmentSequence = Sequence([contributor])


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded concept."""
    concept = Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = value, scheme, meaning
    return concept
