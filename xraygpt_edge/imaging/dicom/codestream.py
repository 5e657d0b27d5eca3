"""What a compressed frame says about itself. Read before its decoder runs.

A decoder believes the stream, pydicom believes the header; where the two differ the picture is
not what the file describes, or memory is asked for that nobody expects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import InputRefused

SOF_MARKERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xF7})
"""Baseline, extended, progressive, lossless, and JPEG-LS."""
STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
SCAN_MARKER = 0xDA
END_MARKER = b"\xff\xd9"
TILE_MARKER = b"\xff\x90\x00\x0a"
"""Start of a tile-part (SOT), with the length of its segment."""
J2K_START = b"\xff\x4f\xff\x51"
JP2_START = b"\x00\x00\x00\x0cjP  "
JP2_MAX_BOXES = 100


@dataclass(frozen=True, slots=True)
class Stream:
    """Size and depth of a compressed frame."""

    rows: int
    columns: int
    components: int
    precision: int
    """Bits of a sample."""
    marker: int = 0
    """Which kind of JPEG; 0 for JPEG 2000."""
    signed: bool | None = None
    """What JPEG 2000 says; the other streams have no word for it."""


def as_words(buffer: Any, stream: Stream) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A decoder's output: one or two bytes a sample, by its depth."""
    if stream.precision <= 8:
        return np.frombuffer(buffer, np.uint8)
    return np.frombuffer(buffer, np.uint16)


def jpeg_stream(frame: bytes) -> Stream:
    """Read the frame header of a JPEG or JPEG-LS stream; raises InputRefused."""
    if frame[:2] != b"\xff\xd8":
        raise InputRefused("E-DCM-008", "no start of a JPEG stream")
    at = 2
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in STANDALONE_MARKERS:
            at += 2
        elif marker in SOF_MARKERS and at + 10 <= len(frame):
            return _frame_header(frame, at)
        elif marker == SCAN_MARKER:
            break
        else:
            at += 2 + max(2, int.from_bytes(frame[at + 2 : at + 4], "big"))
    raise InputRefused("E-DCM-008", "the JPEG stream has no readable frame header")


def _frame_header(frame: bytes, at: int) -> Stream:
    rows = int.from_bytes(frame[at + 5 : at + 7], "big")
    columns = int.from_bytes(frame[at + 7 : at + 9], "big")
    return Stream(rows, columns, frame[at + 9], frame[at + 4], frame[at + 1])


def require_end(frame: bytes) -> None:
    """Refuse a stream without its end marker: CharLS may search for minutes in one that was cut."""
    if not frame.rstrip(b"\0").endswith(END_MARKER):
        raise InputRefused("E-DCM-008", "the stream does not reach its end")


def bare_j2k(frame: bytes) -> bytes:
    """The code stream itself, without the JP2 file around it that some writers add."""
    if frame[:4] == J2K_START:
        return frame
    if frame[:8] != JP2_START:
        raise InputRefused("E-DCM-008", "no start of a JPEG 2000 stream")
    at = 0
    for _ in range(JP2_MAX_BOXES):
        length, kind = int.from_bytes(frame[at : at + 4], "big"), frame[at + 4 : at + 8]
        if kind == b"jp2c":
            start = at + (16 if length == 1 else 8)
            return bare_j2k_start(frame[start:])
        if length < 8:  # 0 means "to the end", which only the last box may say
            break
        at += length
    raise InputRefused("E-DCM-008", "the boxes around the JPEG 2000 stream lead nowhere")


def bare_j2k_start(stream: bytes) -> bytes:
    """The stream, if it begins as one must."""
    if stream[:4] != J2K_START:
        raise InputRefused("E-DCM-008", "no start of a JPEG 2000 stream")
    return stream


def j2k_stream(codestream: bytes) -> Stream:
    """Read the SIZ segment, which always comes first."""
    if len(codestream) < 45:
        raise InputRefused("E-DCM-008", "the JPEG 2000 stream ends in its first segment")
    field = [int.from_bytes(codestream[at : at + 4], "big") for at in range(8, 40, 4)]
    right, bottom, left, top = field[:4]
    components = int.from_bytes(codestream[40:42], "big")
    precision = (codestream[42] & 0x7F) + 1
    return Stream(bottom - top, right - left, components, precision, signed=bool(codestream[42] & 0x80))


def ended_j2k(codestream: bytes) -> bytes:
    """The stream with its end marker: added where only that is missing, else the stream itself.

    Its decoder refuses a stream without one, and would take half a tile for a whole one if it were simply added.
    """
    if codestream.rstrip(b"\0").endswith(END_MARKER):
        return codestream
    end = _end_of_tiles(codestream)
    rest = codestream[end:].rstrip(b"\0") if end else codestream
    return codestream[:end] + END_MARKER if rest in (b"", END_MARKER[:1]) else codestream


def _end_of_tiles(codestream: bytes) -> int:
    """Where the last part of the last tile ends; 0 where one is missing or does not say how long it is."""
    at = codestream.find(TILE_MARKER)
    parts: dict[int, int] = {}  # tile → parts that are still to come
    while at > 0 and codestream[at : at + 4] == TILE_MARKER and at + 12 <= len(codestream):
        tile, length = (int.from_bytes(codestream[at + start : at + end], "big") for start, end in ((4, 6), (6, 10)))
        part, announced = codestream[at + 10], codestream[at + 11]
        parts[tile] = announced - part - 1 if announced else parts.get(tile, 0)
        at += length or len(codestream)
    whole = len(parts) == _n_tiles(codestream) and not any(parts.values()) and at <= len(codestream)
    return at if whole else 0


def _n_tiles(codestream: bytes) -> int:
    """From the SIZ segment: the grid's right, bottom, then tiles' width, height, left, top."""
    field = [int.from_bytes(codestream[at : at + 4], "big") for at in range(8, 40, 4)]
    right, bottom, _, _, width, height, left, top = field
    return -((left - right) // max(1, width)) * -((top - bottom) // max(1, height))
