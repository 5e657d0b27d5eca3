"""Patient and study of a DICOM file as Unicode, or the reason why they cannot be copied exactly."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import cast

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.values import convert_value

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.dicom.character_sets import CharacterSet, character_set
from xraygpt_edge.imaging.dicom.conformance import conforming
from xraygpt_edge.imaging.dicom.container import open_container
from xraygpt_edge.imaging.identity import Attribute, Identity, TextVR
from xraygpt_edge.records import ReadWarning

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
STUDY = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    "StudyDescription", "TimezoneOffsetFromUTC",
)  # fmt: skip
IMAGE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
COPIED = (*PATIENT, *STUDY, *IMAGE)
CHARACTER_SET = "SpecificCharacterSet"
MISSPELT = "W-REP-003"
NO_TEXT = frozenset({"SQ", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT", "OB", "OW", "OL", "OV", "OF", "OD"})


def read_identity(data: bytes) -> Identity:
    """Patient and study of a DICOM file, with the hash of the bytes that were parsed.

    Raises InputRefused: E-REP-012 no DICOM study, 013 text that cannot be decoded with certainty.
    """
    with _only_refusals():
        values = _Values()
        header = open_container(data, (CHARACTER_SET, *COPIED)).dataset
        raw = {keyword: _raw(header, keyword) for keyword in COPIED if keyword in header}
        found = character_set(_named(header), (element.value or b"" for element in raw.values()))
        if not found.as_stated:
            values.warn(MISSPELT, CHARACTER_SET)
        for keyword, element in raw.items():
            values.add(keyword, element, found)
    identity = Identity(
        sha256(data).hexdigest(),
        tuple(each for each in values.attributes if each.keyword not in IMAGE),
        sop_class_uid=values.text("SOPClassUID"),
        sop_instance_uid=values.text("SOPInstanceUID"),
        series_uid=values.text("SeriesInstanceUID"),
        warnings=values.warnings,
    )
    if not all(values.text(keyword) for keyword in ("StudyInstanceUID", *IMAGE)):
        raise InputRefused("E-REP-012")
    return identity


@contextmanager
def _only_refusals() -> Iterator[None]:
    """A text that does not fit its character set makes pydicom warn, and a warning is an error here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except (MemoryError, InputRefused):
        raise
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever its parser stumbles over, and may quote the patient
        raise InputRefused("E-REP-013", type(error).__name__) from None


@dataclass(slots=True)
class _Values:
    """What is copied, and what was done to it."""

    attributes: list[Attribute] = field(default_factory=list)
    warned: dict[str, list[str]] = field(default_factory=dict)
    """Id of a warning → keywords of the elements that it is about."""

    @property
    def warnings(self) -> tuple[ReadWarning, ...]:
        """One of each id, with the keywords; never a value."""
        return tuple(
            ReadWarning(warning_id, f"{CATALOGUE[warning_id].what} ({', '.join(keywords)})")
            for warning_id, keywords in sorted(self.warned.items())
        )

    def text(self, keyword: str) -> str:
        """A value that is kept; empty where there is none."""
        return next((each.text for each in self.attributes if each.keyword == keyword), "")

    def warn(self, warning_id: str, keyword: str) -> None:
        """Note what an element is warned of."""
        self.warned.setdefault(warning_id, []).append(keyword)

    def add(self, keyword: str, element: RawDataElement, found: CharacterSet) -> None:
        """Decode a value and keep it, if something is left of it."""
        vr = dictionary_VR(keyword)
        stated = _text(vr, element, found)
        text, outcome = conforming(keyword, vr, stated)
        if outcome is not None:
            self.warn(outcome.value, keyword)
        if text or not stated:
            self.attributes.append(Attribute(keyword, cast(TextVR, vr), text))


def _named(header: Dataset) -> list[str]:
    named = header.get(CHARACTER_SET) or ""
    return [str(name).strip("\0 ") for name in ([named] if isinstance(named, str) else named)]


def _raw(header: Dataset, keyword: str) -> RawDataElement:
    """An element as it stands in the file; raises ValueError for a number or a sequence in the place of text."""
    element = header.get_item(Tag(keyword), keep_deferred=True)  # an empty one counts as such
    if not isinstance(element, RawDataElement) or element.VR in NO_TEXT:
        raise ValueError(keyword)
    return element


def _text(vr: str, element: RawDataElement, found: CharacterSet) -> str:
    value = convert_value(vr, element, found.encodings)
    values = value if isinstance(value, MultiValue) else [value]
    text = "\\".join("" if value is None else str(value) for value in values).strip()
    text.encode("utf-8")  # raises where half a character would not get across the pipe
    if not found.as_stated and not text.isprintable():
        raise ValueError("another character set than the one that seemed to be meant")
    return text
