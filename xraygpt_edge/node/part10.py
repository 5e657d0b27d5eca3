"""The head of a DICOM file, written by hand: the same for the same object, whatever version receives it from whom.

No version of this program, no title of a peer and no time are in it, so the hash of a film, and with it the UID of
each of its results, stays the same after an upgrade. The data set behind it is never parsed here.
"""

from __future__ import annotations

import struct

PREAMBLE = bytes(128) + b"DICM"
IMPLEMENTATION_CLASS_UID = "2.25.203715003805996641695765332389135385095"
"""Of this way of writing files; it never changes."""


def head(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Preamble and file meta information, explicit little endian as the standard has it."""
    elements = (
        _element(0x0001, b"OB", b"\0\1"),
        _element(0x0002, b"UI", _uid(sop_class)),
        _element(0x0003, b"UI", _uid(sop_instance)),
        _element(0x0010, b"UI", _uid(transfer_syntax)),
        _element(0x0012, b"UI", _uid(IMPLEMENTATION_CLASS_UID)),
    )
    meta = b"".join(elements)
    return PREAMBLE + _element(0x0000, b"UL", struct.pack("<L", len(meta))) + meta


def named_in(data: bytes) -> tuple[str, str]:
    """SOP Class and Instance UID in a head that was written here, for a film or a result; empty where it was not."""
    class_at = len(PREAMBLE) + 12 + 14
    instance_at = class_at + 8 + int.from_bytes(data[class_at + 6 : class_at + 8], "little")
    if data[class_at : class_at + 6] != b"\2\0\2\0UI" or data[instance_at : instance_at + 6] != b"\2\0\3\0UI":
        return "", ""
    length = int.from_bytes(data[instance_at + 6 : instance_at + 8], "little")
    uids = (data[class_at + 8 : instance_at], data[instance_at + 8 : instance_at + 8 + length])
    sop_class, instance = (uid.rstrip(b"\0").decode("ascii", "replace") for uid in uids)
    return sop_class, instance


def _uid(uid: str) -> bytes:
    data = uid.encode("ascii")
    return data + b"\0" * (len(data) % 2)


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    length = struct.pack("<HL", 0, len(value)) if vr == b"OB" else struct.pack("<H", len(value))
    return struct.pack("<HH", 0x0002, number) + vr + length + value
