"""Patient and study of a DICOM file as Unicode, or the reason why they cannot be copied exactly."""

from __future__ import annotations

import warnings
from hashlib import sha256
from io import BytesIO
from typing import Any, get_args

from pydicom import config, dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import UID

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.identity import Attribute, Identity, TextVR

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    "StudyDescription", "TimezoneOffsetFromUTC",
)  # fmt: skip
IMAGE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
COPIED = (*PATIENT, *STUDY)
_ALPHABET = "SpecificCharacterSet"
_ASCII_ONLY = {"", "ISO_IR 6", "ISO 2022 IR 6"}
_TEXT_VRS = frozenset(get_args(TextVR))


def read_identity(data: bytes) -> Identity:
    """Patient and study of a DICOM file, with the hash of the bytes that were parsed.

    Raises InputRefused: E-REP-012 no DICOM study, 013 text that cannot be decoded with certainty.
    """
    try:
        attributes, image = _decoded(data)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever its parser stumbles over, and may quote the patient
        raise InputRefused("E-REP-013", type(error).__name__) from None
    identity = Identity(sha256(data).hexdigest(), attributes, *image)
    if not (identity.study_uid and all(image)):
        raise InputRefused("E-REP-012")
    if not all(UID(uid, validation_mode=config.IGNORE).is_valid for uid in (identity.study_uid, *image)):
        raise InputRefused("E-REP-013", "a UID is not one")
    return identity


def _decoded(data: bytes) -> tuple[tuple[Attribute, ...], list[str]]:
    """What is copied, as Unicode, and the image's own UIDs.

    Odd dates or codes are copied as they stand, since the archive has them so; a text that does not
    fit its alphabet makes pydicom warn, and a warning is an error here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tags = [_ALPHABET, *COPIED, *IMAGE]
        header = dcmread(BytesIO(data), stop_before_pixels=True, force=True, specific_tags=tags)
        warnings.simplefilter("error")
        _require_known_alphabet(header)
        header.decode()
        attributes = tuple(_attribute(name, header[name]) for name in COPIED if name in header)
        return attributes, [str(header.get(name) or "").strip("\0 ") for name in IMAGE]


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


def _attribute(keyword: str, element: DataElement) -> Attribute:
    """Text alone: a number or a sequence where the standard has a name is nothing to copy."""
    if element.VR not in _TEXT_VRS:
        raise ValueError(keyword)
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    text = "\\".join("" if value is None else str(value) for value in values)
    text.encode("utf-8")  # raises where half a character would not get across the pipe
    return Attribute(keyword, element.VR, text)
