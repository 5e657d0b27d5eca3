"""What kind of object a file holds, from its SOP class."""

from __future__ import annotations

from enum import Enum

from pydicom.uid import UID_dictionary

STORAGE = "1.2.840.10008.5.1.4.1.1."


class Kind(Enum):
    """What we do with an object of a SOP class."""

    RADIOGRAPH = "a radiograph, or what radiographs are commonly stored as"
    OTHER_RADIOGRAPH = "a radiograph of another body part"
    OTHER_IMAGE = "pictures, but no radiographs: read only with --force"
    UNKNOWN = "a manufacturer's own class, or one that is newer than this program"
    NO_IMAGE = "never a radiograph"
    DIRECTORY = "a list of files"


SECONDARY_CAPTURE = frozenset(STORAGE + end for end in ("7", "7.1", "7.2", "7.3", "7.4"))
FOR_PROCESSING = frozenset(STORAGE + end for end in ("1.1.1", "1.2.1", "1.3.1"))
RADIOGRAPHS = frozenset({STORAGE + "1", STORAGE + "1.1", STORAGE + "1.1.1", *SECONDARY_CAPTURE})
OTHER_RADIOGRAPHS = frozenset(STORAGE + end for end in ("1.2", "1.2.1", "1.3", "1.3.1"))
CHEST_MODALITIES = frozenset({"CR", "DX", "RG", "RF"})
"""What a chest radiograph may say that it was made with."""
DIRECTORY = "1.2.840.10008.1.3.10"

OTHER_IMAGES = frozenset(
    STORAGE + end
    for end in (
        "2", "2.1", "2.2",  # CT
        "3", "3.1", "5", "6", "6.1", "6.2", "20",  # ultrasound, nuclear medicine
        "4", "4.1", "4.3", "4.4",  # MR
        "12.1", "12.1.1", "12.2", "12.2.1", "12.3",  # angiography, fluoroscopy
        "13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5",  # X-ray 3D, tomosynthesis
        "77.1.1", "77.1.1.1", "77.1.2", "77.1.2.1", "77.1.3", "77.1.4", "77.1.4.1", "77.1.6",  # visible light
        "77.1.5.1", "77.1.5.2", "77.1.5.4", "77.1.5.5",  # ophthalmic
        "128", "128.1", "130",  # PET
        "481.1",  # RT image
    )
)  # fmt: skip


def kind_of(sop_class: str) -> Kind:
    """What an object of this class is to us."""
    if sop_class in RADIOGRAPHS:
        return Kind.RADIOGRAPH
    if sop_class in OTHER_RADIOGRAPHS:
        return Kind.OTHER_RADIOGRAPH
    if sop_class in OTHER_IMAGES:
        return Kind.OTHER_IMAGE
    if sop_class == DIRECTORY:
        return Kind.DIRECTORY
    return Kind.NO_IMAGE if sop_class in UID_dictionary else Kind.UNKNOWN


def class_name(sop_class: str) -> str:
    """The standard's name of a SOP class; a UID itself is never shown."""
    return UID_dictionary[sop_class][0] if sop_class in UID_dictionary else "a class that is not in the standard"
