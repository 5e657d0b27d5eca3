"""What a JPEG 2000 file says of its pixels, checked before it is decoded: size, depth, and that no tile is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.pictures.refusals import damaged, unread

CODESTREAM_START, CODESTREAM_BOX = b"\xff\x4f\xff\x51", b"jp2c"
SIZ_BYTES = 42
"""From the start of a code stream to the table of its components."""
START_OF_TILE_PART, END_OF_CODESTREAM = b"\xff\x90", b"\xff\xd9"
COMPONENTS_MAX = 4
BITS_MAX = 16


def examine(data: bytes) -> bytes:
    """The bytes to decode, with an end marker; raises InputRefused for a file that was cut or would be misread."""
    boxes = [] if data.startswith(CODESTREAM_START) else list(_boxes(data))
    stream = _stream(boxes) if boxes else data
    if not stream.startswith(CODESTREAM_START) or len(stream) < SIZ_BYTES + 3 * _number(stream, 40, 2):
        raise damaged("no JPEG 2000 code stream")
    _require_kind(stream)
    if _ends(stream):
        return data
    whole = stream + END_OF_CODESTREAM
    return b"".join(_packed(box, whole) for box in boxes) if boxes else whole


def _number(data: bytes, at: int, n_bytes: int = 4) -> int:
    return int.from_bytes(data[at : at + n_bytes], "big")


@dataclass(frozen=True, slots=True)
class _Box:
    """One box of a JP2 file."""

    kind: bytes
    content: bytes


def _boxes(data: bytes) -> Iterator[_Box]:
    at = 0
    while at < len(data):
        length, header = _number(data, at), 8
        if length == 1:
            length, header = _number(data, at + 8, 8), 16
        elif length == 0:  # to the end
            length = len(data) - at
        if length < header or at + length > len(data):
            raise damaged("a box lies behind the end of the file")
        yield _Box(data[at + 4 : at + 8], data[at + header : at + length])
        at += length


def _packed(box: _Box, stream: bytes) -> bytes:
    """A box again, that of the code stream with this one."""
    content = stream if box.kind == CODESTREAM_BOX else box.content
    return (8 + len(content)).to_bytes(4, "big") + box.kind + content


def _stream(boxes: list[_Box]) -> bytes:
    """The one code stream, which the header describes."""
    streams = [box.content for box in boxes if box.kind == CODESTREAM_BOX]
    if len(streams) > 1:
        raise InputRefused("E-IMG-008", f"{len(streams)} pictures")
    described = {inner.kind: inner.content for box in boxes if box.kind == b"jp2h" for inner in _boxes(box.content)}
    if not streams or b"ihdr" not in described:
        raise damaged("no code stream, or no header")
    if b"pclr" in described:
        raise unread("a palette in JPEG 2000")
    stream, header = streams[0], described[b"ihdr"]
    if (_number(header, 0), _number(header, 4), _number(header, 8, 2)) != (*_size(stream), _number(stream, 40, 2)):
        raise damaged("header and code stream describe different pictures")
    return stream


def _size(stream: bytes) -> tuple[int, int]:
    """Rows and columns."""
    return _number(stream, 12) - _number(stream, 20), _number(stream, 8) - _number(stream, 16)


def _require_kind(stream: bytes) -> None:
    components = _number(stream, 40, 2)
    depths = {stream[SIZ_BYTES + 3 * n] for n in range(components)}
    bits = max((depth & 0x7F) + 1 for depth in depths) if depths else 0
    if not 1 <= components <= COMPONENTS_MAX or len(depths) > 1 or bits > BITS_MAX or (components > 1 and bits > 8):
        raise unread(f"{components} components of up to {bits} bits in JPEG 2000")
    if bits == 1:
        raise InputRefused("E-IMG-009")


def _ends(stream: bytes) -> bool:
    """Whether the end marker is there; raises InputRefused when a tile is not."""
    at, tiles = 2, set()
    while at < len(stream) and stream[at : at + 2] != END_OF_CODESTREAM:
        if stream[at : at + 2] == START_OF_TILE_PART:
            tiles.add(_number(stream, at + 4, 2))
            at += _tile_part_bytes(stream, at)
        elif tiles or stream[at] != 0xFF:
            raise damaged("the tile parts do not follow each other")
        else:
            at += 2 + max(2, _number(stream, at + 2, 2))
    if at > len(stream) or tiles != set(range(_n_tiles(stream))):
        raise damaged("not all tiles are there")
    return at < len(stream)


def _tile_part_bytes(stream: bytes, at: int) -> int:
    """Length of the tile part; 0 stands for "up to the end marker", which must be there then."""
    if length := _number(stream, at + 6):
        return max(length, 2)
    if not stream.endswith(END_OF_CODESTREAM):
        raise damaged("the last tile part does not end")
    return len(stream) - 2 - at


def _n_tiles(stream: bytes) -> int:
    right, bottom = _number(stream, 8), _number(stream, 12)
    width, height, left, top = (_number(stream, at) for at in (24, 28, 32, 36))
    if not width or not height:
        raise damaged("tiles without a size")
    count = -(-(right - left) // width) * -(-(bottom - top) // height)
    if count > 0xFFFF:
        raise damaged("more tiles than there can be")
    return count
