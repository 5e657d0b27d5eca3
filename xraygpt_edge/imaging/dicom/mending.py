"""Slips of writers over which pydicom loses its way, put right in the bytes before it sees them.

An element whose VR nobody knows has four bytes of length (PS3.5 7.1.2), or two from older writers, or is none but
implicit VR; pydicom takes one of them for all, and what follows is lost. A VR that it knows is put in its place, so no
length changes. Compressed pixels whose end was not written get it, if every fragment is whole.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from pydicom.datadict import dictionary_VR

LONG_VRS = frozenset({b"OB", b"OW", b"UN", b"SQ", b"UT", b"OD", b"OF", b"OL", b"OV", b"UC", b"UR", b"SV", b"UV"})
SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
     b"ST", b"TM", b"UI", b"UL", b"US"}
)  # fmt: skip
VRS = LONG_VRS | SHORT_VRS
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
SEQUENCE_END_BYTES = b"\xfe\xff\xdd\xe0\0\0\0\0"
PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF
DEPTH_MAX = 16
ELEMENTS_MAX = 100_000
"""A radiograph has a few hundred."""


@dataclass(frozen=True, slots=True)
class Mended:
    """The bytes of a file, as pydicom can follow them."""

    data: bytes
    unended: bool = False
    """The compressed pixels had no end."""


def mended(data: bytes, start: int, *, big_endian: bool) -> Mended:
    """Mend a data set that begins at an offset; the same bytes where nothing is wrong, or where all is."""
    if data[start + 4 : start + 6] not in VRS:  # implicit VR: nothing of this can be wrong
        return Mended(data)
    walk = _Walk(data, "big" if big_endian else "little")
    with suppress(_Lost):  # pydicom says what is wrong
        walk.elements(start, len(data), 0)
    if not walk.vrs and not walk.ending:
        return Mended(data)
    copy = bytearray(data)
    for at, vr in walk.vrs.items():
        copy[at : at + 2] = vr
    return Mended(bytes(copy + walk.ending), unended=bool(walk.ending))


class _Lost(Exception):
    """The elements do not follow each other."""


@dataclass(slots=True)
class _Walk:
    """From element to element, down to the pixels."""

    data: bytes
    order: Literal["little", "big"]
    vrs: dict[int, bytes] = field(default_factory=dict)
    """Offset → the VR to be written there."""
    ending: bytes = b""
    """To be added at the end."""
    seen: int = 0

    def elements(self, at: int, stop: int, depth: int) -> int:
        """Walk a data set up to its end; gives the offset behind it."""
        while at + 8 <= stop:
            tag = self._tag(at)
            if tag == ITEM_END:
                return at + 8
            self._count(depth)
            at = self._element(tag, at, stop, depth)
            if tag == PIXEL_DATA and depth == 0:  # behind the pixels there is nothing that anybody reads
                return at
        return at

    def _element(self, tag: int, at: int, stop: int, depth: int) -> int:
        vr = self.data[at + 4 : at + 6]
        if vr in SHORT_VRS:
            return at + 8 + self._number(at + 6, 2)
        if vr not in LONG_VRS:
            return self._unknown(tag, at, stop, depth)
        if vr == b"UN" and tag == PIXEL_DATA:  # else its fragments are taken for a sequence
            self.vrs[at + 4] = b"OB" if self._number(at + 8, 4) == UNDEFINED else b"OW"
        return self._value(tag, at + 12, at + 8, depth, is_sequence=vr == b"SQ")

    def _value(self, tag: int, at: int, length_at: int, depth: int, *, is_sequence: bool = False) -> int:
        """Behind a value that begins here; sequences are walked through."""
        length = self._number(length_at, 4)
        if length == UNDEFINED:
            return self._fragments(at) if tag == PIXEL_DATA else self._items(at, len(self.data), depth)
        if is_sequence:
            with suppress(_Lost):  # how long it is, is known all the same
                self._items(at, at + length, depth)
        return at + length

    def _items(self, at: int, stop: int, depth: int) -> int:
        while at + 8 <= stop:
            self._count(depth)
            tag, length, at = self._tag(at), self._number(at + 4, 4), at + 8
            if tag == SEQUENCE_END:
                return at
            if tag != ITEM:
                raise _Lost
            if length == UNDEFINED:
                at = self.elements(at, stop, depth + 1)
            else:
                self.elements(at, min(at + length, stop), depth + 1)
                at += length
        return at

    def _unknown(self, tag: int, at: int, stop: int, depth: int) -> int:
        """Behind an element of an unknown VR: of the possible lengths the one that leads to a sensible element."""
        vr = self.data[at + 4 : at + 6]
        if self.data[at + 6 : at + 8] == b"\0\0" and at + 12 <= stop:
            if self._number(at + 8, 4) == UNDEFINED and self._tag(at + 12) in (ITEM, SEQUENCE_END):
                self.vrs[at + 4] = b"OB" if tag == PIXEL_DATA else b"UN"
                return self._value(tag, at + 12, at + 8, depth)
            end = at + 12 + self._number(at + 8, 4)
            if self._follows(end, tag, vr, stop):
                self.vrs[at + 4] = b"OW" if tag == PIXEL_DATA else b"UN"
                return end
        end = at + 8 + self._number(at + 6, 2)
        if self._follows(end, tag, vr, stop):
            self.vrs[at + 4] = _short_vr(tag)
            return end
        if vr.isalpha() and vr.isupper():  # no length that begins like this is one
            raise _Lost
        return self._value(tag, at + 8, at + 4, depth)  # implicit VR, as all is within UN: pydicom sees it, too

    def _follows(self, at: int, tag: int, vr: bytes, stop: int) -> bool:
        if at == stop:
            return True
        if at + 8 > stop:
            return False
        following = self._tag(at)
        return following in (ITEM_END, SEQUENCE_END) or (
            following > tag and (self.data[at + 4 : at + 6] in VRS or self.data[at + 4 : at + 6] == vr)
        )

    def _fragments(self, at: int) -> int:
        while at + 8 <= len(self.data) and self._is_item(at):
            at += 8 + self._number(at + 4, 4)
        rest = self.data[at : at + 8]
        if at <= len(self.data) and len(rest) < 8 and SEQUENCE_END_BYTES.startswith(rest):
            self.ending = SEQUENCE_END_BYTES[len(rest) :]
        return at + 8

    def _count(self, depth: int) -> None:
        self.seen += 1
        if self.seen > ELEMENTS_MAX or depth > DEPTH_MAX:
            raise _Lost

    def _is_item(self, at: int) -> bool:
        return self._tag(at) == ITEM

    def _tag(self, at: int) -> int:
        return self._number(at, 2) << 16 | self._number(at + 2, 2)

    def _number(self, at: int, n_bytes: int) -> int:
        return int.from_bytes(self.data[at : at + n_bytes], self.order)


def _short_vr(tag: int) -> bytes:
    """The standard's VR of an element with two bytes of length; text where it has none such."""
    try:
        vr = dictionary_VR(tag)[:2].encode("ascii")
    except KeyError:
        return b"LO"
    return vr if vr in SHORT_VRS else b"LO"
