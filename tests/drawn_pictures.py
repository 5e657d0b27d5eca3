"""Picture files written byte by byte: what libraries do not write, and no library's idea of what is right."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

SHORT, LONG = 3, 4
LONG_TAGS = {254, 256, 257, 273, 278, 279, 322, 323, 324, 325}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column and steps of the passes of an interlaced PNG."""


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """What Pillow writes."""
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16(samples: np.ndarray, *, interlaced: bool = False, key: tuple[int, ...] = (), extra: bytes = b"") -> bytes:
    """PNG of 16 bits from (rows, columns, channels); the rows take turns with all five filters. key: transparent."""
    rows, columns, channels = samples.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", columns, rows, 16, colour_type, 0, 0, interlaced)
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7] if interlaced else [samples]
    body = b"".join(_filtered(part) for part in passes if part.size)
    transparent = png_chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) if key else b""
    data = png_chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + transparent + data + png_chunk(b"IEND", b"")


def _filtered(samples: np.ndarray) -> bytes:
    raw = samples.astype(">u2").reshape(len(samples), -1).view(np.uint8).astype(int)
    width = 2 * samples.shape[-1]
    above = np.vstack([np.zeros_like(raw[:1]), raw[:-1]])
    left, corner = (np.hstack([np.zeros((len(raw), width), int), part[:, :-width]]) for part in (raw, above))
    guess = left + above - corner
    errors = [abs(guess - part) for part in (left, above, corner)]
    paeth = np.where(
        (errors[0] <= errors[1]) & (errors[0] <= errors[2]), left, np.where(errors[1] <= errors[2], above, corner)
    )
    predictions = (0 * raw, left, above, (left + above) // 2, paeth)
    return b"".join(
        bytes([number % 5]) + ((raw[number] - predictions[number % 5][number]) % 256).astype(np.uint8).tobytes()
        for number in range(len(raw))
    )


def tiff(
    tags: dict[int, tuple[int, ...]],
    segments: list[bytes],
    *more_pages: dict[int, tuple[int, ...]],
    order: str = "<",
    big: bool = False,
) -> bytes:
    """TIFF or BigTIFF whose first page has these tags and these strips, or tiles where the tags speak of tiles."""
    word, count, word_bytes = ("Q", "Q", 8) if big else ("I", "H", 4)
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42))
    out += struct.pack(f"{order}HH", 8, 0) if big else b""
    link_at = len(out)
    out += bytes(word_bytes)
    offsets = np.cumsum([len(out), *map(len, segments)])[:-1].tolist()
    out += b"".join(segments)
    places = (324, 325) if 322 in tags else (273, 279)
    first = {places[0]: tuple(offsets), places[1]: tuple(map(len, segments)), **tags}
    for page in (first, *more_pages):
        entries = b""
        for tag, numbers in sorted(page.items()):
            letter, kind = ("I", LONG) if tag in LONG_TAGS else ("H", SHORT)
            value = struct.pack(f"{order}{len(numbers)}{letter}", *numbers).ljust(word_bytes, b"\0")
            if len(value) > word_bytes:
                value, at = struct.pack(f"{order}{word}", len(out)), value
                out += at
            entries += struct.pack(f"{order}HH{word}", tag, kind, len(numbers)) + value
        out[link_at : link_at + word_bytes] = struct.pack(f"{order}{word}", len(out))
        out += struct.pack(f"{order}{count}", len(page)) + entries
        link_at = len(out)
        out += bytes(word_bytes)
    return bytes(out)


def grey_tiff(words: np.ndarray, *, photometric: int = 1, order: str = "<", **more: tuple[int, ...]) -> bytes:
    """Uncompressed grey in three strips; more: tags by t and their number, as t339=(2,)."""
    rows, columns = words.shape
    per_strip = -(-rows // 3)
    stored = words.astype(words.dtype.newbyteorder(order))
    tags = {256: (columns,), 257: (rows,), 258: (8 * words.dtype.itemsize,), 259: (1,), 262: (photometric,)}
    tags |= {277: (1,), 278: (per_strip,), **{int(name[1:]): values for name, values in more.items()}}
    return tiff(tags, [stored[at : at + per_strip].tobytes() for at in range(0, rows, per_strip)], order=order)
