"""Whom a file is about, as plain text: it can cross a pipe, and nothing in it is parsed again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from xraygpt_edge.records import ReadWarning

TextVR = Literal["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"]
"""The value representations of DICOM whose values are text."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One element of a DICOM file, decoded to Unicode."""

    keyword: str
    vr: TextVR
    """As the standard has it."""
    text: str = field(repr=False)
    """Several values are separated by backslashes, as in DICOM; empty where the element is."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Patient and study of one DICOM file, in the words of the file. Its `repr` shows none of them."""

    sha256: str
    """Of the very bytes that were parsed."""
    attributes: tuple[Attribute, ...] = field(repr=False)
    """Those of patient and study that the file has."""
    sop_class_uid: str = field(repr=False)
    sop_instance_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    warnings: tuple[ReadWarning, ...] = ()
    """What was repaired, left out, or kept although it breaks the standard."""

    @property
    def study_uid(self) -> str:
        """The study that the radiograph belongs to."""
        return self.text("StudyInstanceUID")

    def text(self, keyword: str) -> str:
        """An attribute's value without spaces around; empty where the file does not have it."""
        return next((each.text.strip() for each in self.attributes if each.keyword == keyword), "")
