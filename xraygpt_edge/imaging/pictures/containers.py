"""What JPEG, WebP and BMP files say of themselves, where their decoders pass over it or name it badly."""

from __future__ import annotations

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.pictures.refusals import damaged, unread

JPEG_KINDS = {0xC3: "lossless JPEG", 0xF7: "JPEG-LS"}
"""By the marker of their frame header."""
BMP_COMPRESSIONS = frozenset({0, 1, 2, 3})
"""None, run lengths of 8 and 4 bits, bit fields."""


def examine_jpeg(data: bytes) -> bytes:
    """The bytes; refuses, by name, what is not 8 bits a sample or was not made by JPEG's cosine transform."""
    from xraygpt_edge.imaging.dicom.codestream import jpeg_stream

    try:
        stream = jpeg_stream(data)
    except InputRefused:  # no frame header: the decoder has its own words for it
        return data
    if stream.marker in JPEG_KINDS or stream.precision != 8:
        raise unread(JPEG_KINDS.get(stream.marker, f"JPEG of {stream.precision} bits"))
    return data


def examine_webp(data: bytes) -> bytes:
    """The bytes; refuses a file that was cut."""
    if 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise damaged("the file is shorter than it says")
    return data


def examine_bmp(data: bytes) -> bytes:
    """The bytes; refuses, by name, compressions that hide another format, and black and white."""
    is_old = data[14:18] == b"\x0c\0\0\0"
    bits = int.from_bytes(data[24:26] if is_old else data[28:30], "little")
    compression = 0 if is_old else int.from_bytes(data[30:34], "little")
    if bits == 1:
        raise InputRefused("E-IMG-009")
    if compression not in BMP_COMPRESSIONS:
        raise unread(f"compression {compression} in BMP")
    return data
