"""In which character set the text of a file is written: as it says, as it clearly means, or nobody knows."""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.charset import convert_encodings, python_encoding

ASCII_ONLY = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
ESCAPE = b"\x1b"
REGISTERED = re.compile(r"(?:ISO)?[\W_]*(2022)?[\W_]*IR[\W_]*(\d+)", re.IGNORECASE)
"""An entry of the international register, however it is spelt: ISO IR 100, ISO_IR_100, iso2022ir87."""
ISO_8859 = re.compile(r"ISO[\W_]*8859[\W_]*(\d+)|LATIN[\W_]*(1)", re.IGNORECASE)
ISO_8859_PARTS = {1: 100, 2: 101, 3: 109, 4: 110, 5: 144, 6: 127, 7: 126, 8: 138, 9: 148, 11: 166}
"""Part of ISO 8859 → number in the register."""
OTHER_NAMES = re.compile(r"(CP|WINDOWS-?)125\d|KOI8[-_]?[RU]|BIG5|EUC[-_]\w\w|SHIFT[-_]?JIS|SJIS", re.IGNORECASE)
"""Not in the standard, but known to everyone."""


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """How to decode the text of one file."""

    encodings: list[str]
    """Names that Python and pydicom know; the second and later ones are reached by escape sequences."""
    as_stated: bool
    """The file names them as the standard does."""


def character_set(named: list[str], texts: Iterable[bytes]) -> CharacterSet:
    """Find the character set of these texts; raises ValueError where one would have to be guessed.

    named: the values of SpecificCharacterSet. ASCII is the same in all of them, so then it does not matter.
    """
    as_stated = all(name in python_encoding for name in named)
    plain = b"".join(texts)
    if plain.isascii() and ESCAPE not in plain:
        return CharacterSet(["ascii"], as_stated)
    meant = [name if name in python_encoding else _meant(name) for name in named]
    if set(meant) <= ASCII_ONLY:  # Latin, Cyrillic or Greek: nobody may guess
        raise ValueError("eight-bit text in a character set of seven")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return CharacterSet(convert_encodings(meant), as_stated)


def _meant(name: str) -> str:
    """The standard's name for what a misspelt one clearly means; raises ValueError."""
    compact = re.sub(r"[\W_]", "", name).upper()
    registered, part = REGISTERED.fullmatch(name), ISO_8859.fullmatch(name)
    if compact in ("UTF8", "UNICODE"):
        found = "ISO_IR 192"
    elif compact in ("GB18030", "GBK"):
        found = compact
    elif registered:
        found = f"{'ISO 2022 IR' if registered[1] else 'ISO_IR'} {int(registered[2])}"
    elif part:
        found = f"ISO_IR {ISO_8859_PARTS.get(int(part[1] or part[2]), 0)}"
    else:
        found = codecs.lookup(name).name if OTHER_NAMES.fullmatch(name) else ""
        if found:
            return found
    if found not in python_encoding:
        raise ValueError("a character set that nobody knows")
    return found
