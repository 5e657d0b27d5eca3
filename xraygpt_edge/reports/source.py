"""Patient and study of a radiograph, copied from its DICOM file: only from the very bytes that were answered."""

from __future__ import annotations

import os
import stat
import warnings
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import config, dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.ledger import Answered

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    "StudyDescription", "TimezoneOffsetFromUTC",
)  # fmt: skip
IMAGE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
COPIED = (*PATIENT, *STUDY)
_ALPHABET = "SpecificCharacterSet"
_ASCII_ONLY = {"", "ISO_IR 6", "ISO 2022 IR 6"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom an answer is about, in the words of the file, decoded to Unicode."""

    attributes: Dataset
    """Those of COPIED that the file has."""
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str

    @property
    def study_uid(self) -> str:
        """The study that the radiograph belongs to."""
        return str(self.attributes.StudyInstanceUID)


def read_origin(images: Path, row: Answered) -> Origin:
    """Read patient and study of a row's file.

    Raises InputRefused: E-REP-010 no such file, 011 not the bytes that were answered, 012 no DICOM
    study, 013 text that cannot be decoded with certainty.
    """
    data = answered_bytes(images, row)
    if row.input.format != "dicom":
        raise InputRefused("E-REP-012")
    try:
        attributes, image = _decoded(data)
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever its parser stumbles over, and may quote the patient
        raise InputRefused("E-REP-013", type(error).__name__) from None
    if not (attributes.get("StudyInstanceUID") and all(image.values())):
        raise InputRefused("E-REP-012")
    if not all(
        UID(uid, validation_mode=config.IGNORE).is_valid for uid in (attributes.StudyInstanceUID, *image.values())
    ):
        raise InputRefused("E-REP-013", "a UID is not one")
    return Origin(attributes, image["SOPClassUID"], image["SOPInstanceUID"], image["SeriesInstanceUID"])


def answered_bytes(images: Path, row: Answered) -> bytes:
    """The row's file, if it is below the folder and still what was answered; raises InputRefused."""
    relative = row.file
    if relative.is_absolute() or ".." in relative.parts:
        raise InputRefused("E-REP-010", "its path leads out of the folder")
    try:
        handle = os.open(images / relative, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as stream:
            data = stream.read() if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except (OSError, ValueError) as error:
        raise InputRefused("E-REP-010", getattr(error, "strerror", None) or type(error).__name__) from None
    if sha256(data).hexdigest() != row.input.sha256:
        raise InputRefused("E-REP-011")
    return data


def _decoded(data: bytes) -> tuple[Dataset, dict[str, str]]:
    """What is copied, as Unicode, and the image's own UIDs.

    Odd dates or codes are copied as they stand, since the archive has them so; a text that does not
    fit its alphabet makes pydicom warn, and a warning is an error here.
    """
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = dcmread(
                BytesIO(data), stop_before_pixels=True, force=True, specific_tags=[_ALPHABET, *COPIED, *IMAGE]
            )
            warnings.simplefilter("error")
            _require_known_alphabet(header)
            header.decode()
            return _copied(header), {name: str(header.get(name) or "").strip("\0 ") for name in IMAGE}
    finally:
        config.settings.reading_validation_mode = before


def _require_known_alphabet(header: Dataset) -> None:
    """Eight-bit text with no alphabet named could be Latin, Cyrillic or Greek: nobody may guess."""
    named = header.get(_ALPHABET) or ""
    names = [named] if isinstance(named, str) else list(named)
    if len(names) > 1 or str(names[0] if names else "").strip() not in _ASCII_ONLY:
        return
    for name in COPIED:
        raw: Any = header.get_item(Tag(name)) if name in header else None
        data = raw.value if raw is not None else None
        if isinstance(data, bytes) and not data.isascii():
            raise ValueError(name)


def _copied(header: Dataset) -> Dataset:
    attributes = Dataset()
    for name in COPIED:
        if name in header:
            element = header[name]
            value = str(element.value) if element.VR == "PN" and element.VM == 1 else element.value
            attributes.add(DataElement(element.tag, element.VR, value, validation_mode=config.IGNORE))
    return attributes
