"""Values that break their value representation (PS3.5 6.2): repaired where only one thing can be meant, else left out.

Archives and their validators refuse an object with such values. By UIDs and the patient's number an archive finds
what belongs together, byte for byte, so these stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from enum import Enum

from pydicom import config
from pydicom.uid import UID

UID_MAX_CHARACTERS = 64
DIGITS = re.compile(r"[0-9]+(\.[0-9]+)*")
DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
DATE_IN_PARTS = re.compile(r"([0-9]{4})[.\-/ ]([0-9]{1,2})[.\-/ ]([0-9]{1,2})")
"""As ACR-NEMA had it, and ISO 8601."""
TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?")
TIME_IN_PARTS = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]+)?)?")
TIME_TOO_FINE = re.compile(r"([0-9]{6}\.[0-9]{6})[0-9]+")
TIMEZONE = re.compile(r"-(0[0-9]|1[0-2])[0-5][0-9]|\+(0[0-9]|1[0-4])[0-5][0-9]")
SEXES = {"M": "M", "F": "F", "O": "O", "MALE": "M", "FEMALE": "F", "OTHER": "O"}
MAX_CHARACTERS = {"SH": 16, "LO": 64}
NAME_GROUPS_MAX, NAME_PARTS_MAX, NAME_MAX_CHARACTERS = 3, 5, 64
KEPT = frozenset({"PatientID", "IssuerOfPatientID"})


class Outcome(Enum):
    """What became of a value; by the id of its warning."""

    REPAIRED = "W-REP-001"
    LEFT_OUT = "W-REP-002"
    KEPT = "W-REP-004"


def conforming(keyword: str, vr: str, text: str) -> tuple[str, Outcome | None]:
    """A value that keeps to its VR, and what was done for that; None where nothing was.

    text: without spaces around. Raises ValueError for a UID that no archive can hold.
    """
    if not text:
        return text, None
    if vr == "UI":
        return text, _uid(text)
    wanted = RULES.get(keyword) or RULES.get(vr)
    found = wanted(text) if wanted else _text(vr, text)
    if found == text:
        return text, None
    if keyword in KEPT:
        return text, Outcome.KEPT
    return found, Outcome.REPAIRED if found else Outcome.LEFT_OUT


def _uid(text: str) -> Outcome | None:
    if UID(text, validation_mode=config.IGNORE).is_valid:
        return None
    if not DIGITS.fullmatch(text) or len(text) > UID_MAX_CHARACTERS:
        raise ValueError("a UID is not one")
    return Outcome.KEPT


def _date(text: str) -> str:
    parts = DATE.fullmatch(text) or DATE_IN_PARTS.fullmatch(text)
    if parts:
        with suppress(ValueError):
            return date(*(int(part) for part in parts.groups())).isoformat().replace("-", "")
    return ""


def _time(text: str) -> str:
    if parts := TIME_IN_PARTS.fullmatch(text):
        hours, minutes, seconds, fraction = (part or "" for part in parts.groups())
        text = f"{hours:0>2}{minutes}{seconds}{fraction[:7]}"
    elif fine := TIME_TOO_FINE.fullmatch(text):
        text = fine[1]
    return text if TIME.fullmatch(text) else ""


def _sex(text: str) -> str:
    return SEXES.get(text.upper(), "")


def _timezone(text: str) -> str:
    return text if TIMEZONE.fullmatch(text) else ""


def _name(text: str) -> str:
    groups = text.split("=")
    sound = len(groups) <= NAME_GROUPS_MAX and all(
        len(group) <= NAME_MAX_CHARACTERS and group.count("^") < NAME_PARTS_MAX for group in groups
    )
    return text if sound and _is_one_line(text) else ""


def _text(vr: str, text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS.get(vr, len(text)) and _is_one_line(text) else ""


def _is_one_line(text: str) -> bool:
    """One value, without control characters."""
    return "\\" not in text and all(character >= " " and character != "\x7f" for character in text)


RULES: dict[str, Callable[[str], str]] = {
    "DA": _date,
    "TM": _time,
    "PN": _name,
    "PatientSex": _sex,
    "TimezoneOffsetFromUTC": _timezone,
}
"""By keyword or VR: the value as it should be, empty where that cannot be known."""
