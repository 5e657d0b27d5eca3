"""What a TIFF file says of its pixels, checked before it is decoded.

libtiff and Pillow pass over much: a missing strip stays black, white-is-zero is turned round at some depths only,
the sign of a value is forgotten at others. So the tags are read here, what would be misread is refused by name, and
the decoder is given a copy whose grey pixels are plain unsigned numbers; polarity, sign and orientation are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.pictures.raster import Alpha
from xraygpt_edge.imaging.pictures.refusals import damaged, unread
from xraygpt_edge.imaging.pictures.tiff_directory import SHORT, Entry, TiffFile
from xraygpt_edge.imaging.pixels import MAX_PX, Words


class Tag(IntEnum):
    """The tags that decide what a pixel is."""

    NEW_SUBFILE_TYPE = 254
    COLUMNS = 256
    ROWS = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    FILL_ORDER = 266
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANAR = 284
    TILE_COLUMNS = 322
    TILE_ROWS = 323
    TILE_OFFSETS = 324
    TILE_BYTES = 325
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339


WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
GREY = (WHITE_IS_ZERO, BLACK_IS_ZERO)
PHOTOMETRIC_NAMES = {4: "a mask", 5: "CMYK", 8: "CIE L*a*b*", 9: "CIE L*a*b*", 10: "CIE L*a*b*",
                     32803: "a camera's raw pixels", 34892: "a camera's raw pixels"}  # fmt: skip
UNSIGNED, SIGNED, FLOATING = 1, 2, 3
UNCOMPRESSED, JPEG = 1, 7
COMPRESSIONS = frozenset({UNCOMPRESSED, 5, JPEG, 8, 32773, 32946})
"""None, LZW, JPEG, deflate twice, PackBits."""
_SAMPLES = {BLACK_IS_ZERO: (2,), RGB: (3, 4), PALETTE: (1,), YCBCR: (3,)}
"""How many samples a pixel may have that is not simply grey; a fourth that nobody explains is left out."""
_EXTRA = {1: (0,), 2: (1,), 3: (0,), 4: (0, 1)}
"""How many of them the file may call extra."""
NO_PAGE = 0b101
"""Bits of NewSubfileType: a thumbnail of another page, a mask."""
ALPHAS = {1: Alpha.PREMULTIPLIED, 2: Alpha.STRAIGHT}


@dataclass(frozen=True, slots=True)
class Page:
    """What the one page of a file says of its pixels."""

    rows: int
    columns: int
    bits: int
    samples: int
    photometric: int
    compression: int
    planar: bool
    """Each channel for itself."""
    signed: bool
    alpha: Alpha
    orientation: int

    def as_grey(self, words: Words) -> Words:
        """Decoded samples of a grey page with 0 as black: the sign and the polarity that the decoder was not told."""
        if self.photometric not in GREY:
            return words
        top = words.dtype.type(1 << (8 * words.dtype.itemsize - 1))
        unsigned = words ^ top if self.signed else words
        return ~unsigned if self.photometric == WHITE_IS_ZERO else unsigned


def examine(data: bytes) -> tuple[Page, bytes]:
    """The one page of a file, and the bytes to decode; raises InputRefused for what would be misread."""
    file = TiffFile(data)
    if file.is_big and file.order == ">":  # Pillow takes it for a small one
        raise unread("a big-endian BigTIFF")
    directory = _only_page(file)
    page = _page(_Tags(file, directory))
    return page, _neutral(file, directory, page)


def _only_page(file: TiffFile) -> dict[int, Entry]:
    directories = list(file.directories())
    if not directories:
        raise damaged("no directory")
    pages = [
        directory for directory in directories if not _Tags(file, directory).first(Tag.NEW_SUBFILE_TYPE, 0) & NO_PAGE
    ]
    if len(pages) > 1:
        raise InputRefused("E-IMG-008", f"{len(pages)} pages")
    if pages[:1] != directories[:1]:
        raise unread("the first page is a thumbnail or a mask")
    return pages[0]


@dataclass(frozen=True, slots=True)
class _Tags:
    """The numbers of one directory."""

    file: TiffFile
    directory: dict[int, Entry]

    def all(self, tag: Tag, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        return self.file.numbers(self.directory[tag]) if tag in self.directory else default

    def first(self, tag: Tag, default: int | None = None) -> int:
        values = self.all(tag)
        if values:
            return values[0]
        if default is None:
            raise damaged(f"no {tag.name.lower().replace('_', ' ')}")
        return default

    def equal(self, tag: Tag, default: int) -> int:
        """The value that all samples have in common."""
        values = set(self.all(tag, (default,)))
        if len(values) > 1:
            raise unread("samples of different kinds")
        return values.pop()

    def count(self, tag: Tag) -> int:
        return self.directory[tag].count if tag in self.directory else 0


def _page(tags: _Tags) -> Page:
    rows, columns = tags.first(Tag.ROWS), tags.first(Tag.COLUMNS)
    if not rows or not columns:
        raise damaged("no rows or no columns")
    if rows * columns > MAX_PX:
        raise InputRefused("E-IMG-007", f"{columns} x {rows} pixels")
    page = Page(
        rows=rows,
        columns=columns,
        bits=tags.equal(Tag.BITS, 1),
        samples=tags.first(Tag.SAMPLES, 1),
        photometric=tags.first(Tag.PHOTOMETRIC),
        compression=tags.first(Tag.COMPRESSION, UNCOMPRESSED),
        planar=tags.first(Tag.PLANAR, 1) == 2 and tags.first(Tag.SAMPLES, 1) > 1,
        signed=_is_signed(tags),
        alpha=_alpha(tags),
        orientation=tags.first(Tag.ORIENTATION, 1),
    )
    _require_kind(page, tags)
    _require_whole(page, tags)
    return page


def _is_signed(tags: _Tags) -> bool:
    found = tags.equal(Tag.SAMPLE_FORMAT, UNSIGNED)
    if found not in (UNSIGNED, SIGNED):
        raise unread("floating-point pixels" if found == FLOATING else f"sample format {found}")
    return found == SIGNED


def _alpha(tags: _Tags) -> Alpha:
    extra = tags.all(Tag.EXTRA_SAMPLES)
    return ALPHAS.get(extra[0], Alpha.NONE) if len(extra) == 1 else Alpha.NONE


def _require_kind(page: Page, tags: _Tags) -> None:
    """Refuse, by name, what no decoder here turns into the right pixels."""
    if page.bits == 1:
        raise InputRefused("E-IMG-009")
    if page.compression not in COMPRESSIONS:
        raise unread(f"compression {page.compression}")
    if page.photometric in PHOTOMETRIC_NAMES:
        raise unread(PHOTOMETRIC_NAMES[page.photometric])
    if page.photometric == YCBCR and page.compression != JPEG:
        raise unread("YCbCr without JPEG")
    if tags.first(Tag.FILL_ORDER, 1) != 1:
        raise unread("bits in reverse order")
    if not _is_known_layout(page, tags.count(Tag.EXTRA_SAMPLES), is_little=tags.file.order == "<"):
        sign = "signed " if page.signed else ""
        planes = ", each channel for itself" if page.planar else ""
        raise unread(f"{page.samples} samples of {page.bits} {sign}bits, photometric {page.photometric}{planes}")


def _is_known_layout(page: Page, extra: int, *, is_little: bool) -> bool:
    if page.photometric in GREY and page.samples == 1:
        depths = {8, 16} if page.signed else {2, 4, 8, 16, *((12,) if is_little else ())}
    elif page.signed or page.samples not in _SAMPLES.get(page.photometric, ()) or extra not in _EXTRA[page.samples]:
        return False
    elif page.photometric == PALETTE:
        depths = {2, 4, 8}
    else:  # 16 bits are taken from channels that lie side by side, see `pillow`
        depths = {8, 16} if page.photometric == RGB and not page.planar else {8}
    has_planes = page.planar and (page.photometric, page.samples) != (RGB, 3)
    return page.bits in (depths & {8} if page.compression == JPEG else depths) and not has_planes


def _require_whole(page: Page, tags: _Tags) -> None:
    """Every strip or tile is there and lies inside the file."""
    if Tag.TILE_OFFSETS in tags.directory:
        height, width = tags.first(Tag.TILE_ROWS), tags.first(Tag.TILE_COLUMNS)
        offsets, lengths = Tag.TILE_OFFSETS, Tag.TILE_BYTES
    else:
        height, width = min(tags.first(Tag.ROWS_PER_STRIP, page.rows), page.rows), page.columns
        offsets, lengths = Tag.STRIP_OFFSETS, Tag.STRIP_BYTES
    if not height or not width or height * width > MAX_PX:
        raise damaged("strips or tiles of no sensible size")
    expected = -(-page.rows // height) * -(-page.columns // width) * (page.samples if page.planar else 1)
    if not tags.count(offsets) == tags.count(lengths) == expected:
        raise damaged("not as many strips or tiles as the picture needs")
    at, n_bytes = (np.array(tags.all(tag), np.float64) for tag in (offsets, lengths))
    if (at + n_bytes).max() > len(tags.file.data) or n_bytes.min() <= 0:
        raise damaged("strips or tiles lie behind the end of the file")
    if page.compression == UNCOMPRESSED and n_bytes.sum() < _picture_bytes(page):
        raise damaged("fewer pixels than the picture needs")


def _picture_bytes(page: Page) -> int:
    return page.rows * page.columns * page.samples * page.bits // 8


def _neutral(file: TiffFile, directory: dict[int, Entry], page: Page) -> bytes:
    """A copy that a decoder passes on as it stands: upright, and grey as unsigned numbers with 0 as black."""
    plain = {Tag.ORIENTATION: 1}
    if page.photometric in GREY:
        plain |= {Tag.PHOTOMETRIC: BLACK_IS_ZERO, Tag.SAMPLE_FORMAT: UNSIGNED}
    copy = bytearray(file.data)
    for tag, value in plain.items():
        for at in _inline_shorts(directory.get(tag)):
            copy[at : at + 2] = value.to_bytes(2, "little" if file.order == "<" else "big")
    return bytes(copy)


def _inline_shorts(entry: Entry | None) -> range:
    """Where the values of a tag stand; raises InputRefused for one that is stored as nobody does."""
    if entry is None:
        return range(0)
    if entry.type != SHORT or entry.count > 2:
        raise damaged("a tag that is not stored as it must be")
    return range(entry.inline_at, entry.inline_at + 2 * entry.count, 2)
