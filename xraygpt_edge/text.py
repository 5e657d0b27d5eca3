"""Text from outside: how it comes in, as clean UTF-8 or not at all, and how a person may see it."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
import unicodedata
from pathlib import PurePath

from xraygpt_edge.errors import UsageError

_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32-le",  # begins like that of UTF-16, so it comes first
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
WIDE_MARKS = tuple(_WIDE)
"""Byte-order marks of text whose lines end in the middle of a character."""
_MARK = "\ufeff"
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but tab and line ends, and half characters: what a wrong decoding leaves."""
_HIDDEN = {"Cc", "Cf", "Cn", "Co", "Zl", "Zp"}


def decoded(data: bytes, where: str) -> str:
    """Text of bytes: by their byte-order mark, which is taken off, or else UTF-8. Raises UsageError.

    where: for the error. Line ends become newlines; nothing else is changed.
    """
    return _clean(data, next((_WIDE[mark] for mark in WIDE_MARKS if data.startswith(mark)), "utf-8"), where)


def argument(words: str, where: str) -> str:
    """A word of the command line, read as UTF-8 whatever the locale made of its bytes. Raises UsageError.

    A shell drops zero bytes, so UTF-16 does not come through a command line whole.
    """
    try:
        data = os.fsencode(words)
    except UnicodeEncodeError:  # no bytes of a command line
        data = words.encode("utf-8", "surrogatepass")
    return _clean(data, "utf-8", where)


def require_clean(text: str, where: str) -> str:
    """The text itself. Raises UsageError for control characters but tab and line ends, and for half characters."""
    if found := unclean(text):
        raise UsageError("E-USE-009", f"{where}, {found}")
    return text


def unclean(text: str) -> str:
    """Place and number of the first control character but tab and line ends, or half character; empty without one."""
    found = _NO_TEXT.search(text)
    return f"character {found.start() + 1}: U+{ord(found[0]):04X}" if found else ""


def _clean(data: bytes, encoding: str, where: str) -> str:
    try:
        text = data.decode(encoding).lstrip(_MARK)
    except UnicodeDecodeError as error:
        raise UsageError("E-USE-009", f"{where}, byte {error.start + 1}: not {encoding[:6].upper()}") from None
    return require_clean(text.replace("\r\n", "\n").replace("\r", "\n"), where)


def visible(text: str) -> str:
    """Text without characters that a screen would obey or that nobody sees; line ends stay, half characters escaped."""
    return text if text.isprintable() else "".join(map(_visible, text))


def one_line(text: str) -> str:
    """Visible text with every run of white space as one space."""
    return visible(" ".join(text.split()))


def file_name(path: str | PurePath) -> str:
    """A name as a person may see it, the same under any locale: its bytes as UTF-8, what is none of it escaped."""
    return visible(re.sub(r"[\t-\r]", " ", os.fsencode(path).decode("utf-8", "backslashreplace")))


def escape_unencodable() -> None:
    """From now on standard output and error escape what their encoding lacks, where printing would fail.

    Escaped and not a question mark: of "≥ 3 cm" the reader of an old code page keeps the meaning.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _visible(character: str) -> str:
    if character == "\n":
        return character
    category = unicodedata.category(character)
    if category == "Cs":
        return _escaped(ord(character))
    return "" if category in _HIDDEN else character


def _escaped(half: int) -> str:
    """How a half character is shown; those for a byte that could not be decoded as that byte."""
    return f"\\x{half - 0xDC00:02x}" if 0xDC80 <= half <= 0xDCFF else f"\\u{half:04x}"
