"""Which fragments of the compressed pixel data make a frame.

Offset tables are often wrong: an entry for each fragment, zeros, odd numbers. None is needed, since every compressed
frame says itself where it begins.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.codestream import J2K_START, JP2_START
from xraygpt_edge.imaging.dicom.syntaxes import Codec

ITEM = b"\xfe\xff\x00\xe0"
JPEG_START = b"\xff\xd8\xff"
RLE_SEGMENTS_MAX = 15
RLE_HEADER_BYTES = 64


def frame_bytes(data: bytes, codec: Codec, frames: int, index: int, notes: Notes) -> bytes:
    """The compressed bytes of one frame, counted from 0; raises InputRefused where its fragments cannot be told.

    data: the value of PixelData, from its first item on.
    """
    fragments = _fragments(data, STARTS[codec])
    starts = [at for at, fragment in enumerate(fragments) if STARTS[codec](fragment)]
    found = f"the header says {frames} frame{'s' * (frames > 1)}, the file holds {len(starts)}"
    if not fragments:
        raise InputRefused("E-DCM-005", found)
    if not starts:
        raise InputRefused("E-DCM-008", "no start of a compressed picture")
    if len(starts) < frames:
        raise InputRefused("E-DCM-012", found)
    if len(starts) > frames:
        notes.refuse("E-DCM-010", found)
    first, behind = list(pairwise([*starts, len(fragments)]))[index]
    return b"".join(fragments[first:behind])


def _fragments(data: bytes, is_start: Callable[[bytes], bool]) -> list[bytes]:
    """The items, without the offset table, which is the first one (some writers leave it out)."""
    found: list[bytes] = []
    at = 0
    while data[at : at + 4] == ITEM:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    if at > len(data):
        raise InputRefused("E-DCM-008", "the last fragment ends early")
    return found if found and is_start(found[0]) else found[1:]


def _jpeg_starts(fragment: bytes) -> bool:
    return fragment.startswith(JPEG_START)


def _j2k_starts(fragment: bytes) -> bool:
    return fragment.startswith((J2K_START, JP2_START))


def _rle_starts(fragment: bytes) -> bool:
    """Number of segments, then where the first one begins: behind the header."""
    segments, first = (int.from_bytes(fragment[at : at + 4], "little") for at in (0, 4))
    return 1 <= segments <= RLE_SEGMENTS_MAX and first == RLE_HEADER_BYTES


STARTS: dict[Codec, Callable[[bytes], bool]] = {
    Codec.RLE: _rle_starts,
    Codec.JPEG: _jpeg_starts,
    Codec.GDCM: _jpeg_starts,
    Codec.JPEG_LS: _jpeg_starts,
    Codec.JPEG_2000: _j2k_starts,
}
"""Whether a fragment begins a frame."""
