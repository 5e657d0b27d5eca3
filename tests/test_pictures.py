"""Everyday pictures: all their bits, the right way round, or refused by name."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from tests import golden
from tests.drawn_dicom import chest
from tests.drawn_pictures import encoded, grey_tiff, png16, png_chunk, tiff
from tests.test_images import EIGHT_BITS, pixels_of, refused, warnings_of
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import ReadOptions, read_bytes

WORDS = (chest() * 16 + chest() % 16).astype(np.uint16)
"""16 bits of which the lower eight matter."""
FROM_WORDS = golden.mimic(WORDS.astype(int), inverted=False)
INVERTED = golden.mimic(65535 - WORDS.astype(int), inverted=False)
ROWS, COLUMNS = WORDS.shape
OPAQUE = np.full_like(WORDS, 0xFFFF)
CHANNELS = {
    "grey": WORDS[..., None],
    "grey and alpha": np.dstack([WORDS, OPAQUE]),
    "colour": np.dstack([WORDS] * 3),
    "colour and alpha": np.dstack([WORDS] * 3 + [OPAQUE]),
}
RGB = np.dstack([EIGHT_BITS] * 3)
GREY_TAGS = {256: (COLUMNS,), 257: (ROWS,), 258: (16,), 259: (1,), 262: (1,), 277: (1,), 278: (ROWS,)}
RGB_TAGS = {**GREY_TAGS, 258: (8, 8, 8), 262: (2,), 277: (3,)}


def stored(words: np.ndarray, order: str) -> bytes:
    return words.astype(words.dtype.newbyteorder(order)).tobytes()


def reason(data: bytes) -> str:
    with pytest.raises(InputRefused) as refusal:
        read_bytes(data)
    return f"{refusal.value.error_id} {refusal.value.why}"


def by_opencv(ending: str, samples: np.ndarray, *options: int) -> bytes:
    written, data = cv2.imencode(ending, samples, options)
    assert written
    return data.tobytes()


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", CHANNELS)
def test_a_png_keeps_all_sixteen_bits_of_every_channel(channels: str, *, interlaced: bool) -> None:
    data = png16(CHANNELS[channels], interlaced=interlaced)
    np.testing.assert_array_equal(pixels_of(data), FROM_WORDS)
    assert not warnings_of(data) & {"W-IMG-001", "W-IMG-002"}


def test_another_library_s_png_of_sixteen_bits_and_colour_is_its_brightness() -> None:
    colours = np.dstack([WORDS, WORDS // 2, WORDS // 3])  # blue, green, red in OpenCV
    brightness = np.rint(colours @ np.array([7471, 38470, 19595]) / 65536)
    data = by_opencv(".png", colours)
    np.testing.assert_allclose(
        pixels_of(data, "display"), (brightness - brightness.min()) * 255 / np.ptp(brightness), atol=0.51
    )
    assert "W-IMG-001" in warnings_of(data)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_value_that_a_sixteen_bit_png_calls_transparent_becomes_black(channels: int) -> None:
    samples = np.dstack([WORDS] * channels)
    samples[:20] = 60_001
    samples[20:40] = 60_000
    data = png16(samples, key=(60_001,) * channels)
    shown = pixels_of(data, "display")
    assert not shown[:20].any()
    assert shown[20:40].min() > 200
    assert "W-IMG-002" in warnings_of(data)


def test_alpha_of_sixteen_bits_darkens_by_its_share() -> None:
    alpha = np.linspace(0, 0xFFFF, COLUMNS).astype(np.uint16)
    data = png16(np.dstack([WORDS, np.broadcast_to(alpha, WORDS.shape)]))
    blended = np.rint(WORDS * (alpha / 65535)).astype(int)
    np.testing.assert_array_equal(pixels_of(data), golden.mimic(blended, inverted=False))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_alpha_that_is_full_everywhere_is_no_transparency(mode: str) -> None:
    picture = Image.fromarray(EIGHT_BITS).convert(mode)
    data = encoded(picture, transparency=bytes([255] * 256)) if mode == "P" else encoded(picture)
    assert not warnings_of(data) & {"W-IMG-001", "W-IMG-002"}
    np.testing.assert_array_equal(pixels_of(data, "display"), EIGHT_BITS)


def test_one_pixel_that_is_not_opaque_is_told() -> None:
    picture = Image.fromarray(EIGHT_BITS).convert("RGBA")
    picture.putpixel((5, 5), (9, 9, 9, 254))
    assert "W-IMG-002" in warnings_of(encoded(picture))


def test_what_is_transparent_everywhere_is_blank() -> None:
    picture = Image.fromarray(EIGHT_BITS).convert("RGBA")
    picture.putalpha(0)
    assert reason(encoded(picture)).startswith("E-IMG-010 it is transparent")


@pytest.mark.parametrize(("shift", "is_colour"), [(2, False), (4, False), (20, True)])
def test_a_trace_of_colour_is_no_colour_picture(shift: int, *, is_colour: bool) -> None:
    """The mean distance of the channels from grey is about half of the shift."""
    rgb = np.dstack([EIGHT_BITS.clip(20, 230)] * 3)
    rgb[..., 2] += np.uint8(shift)
    assert ("W-IMG-001" in warnings_of(encoded(Image.fromarray(rgb)))) is is_colour


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_a_grey_tiff_has_its_polarity_and_its_sign_in_both_byte_orders(order: str, photometric: int) -> None:
    wanted = FROM_WORDS if photometric else INVERTED
    signed = (WORDS.astype(int) - 0x8000).astype(np.int16)
    tags = {**GREY_TAGS, 259: (8,), 262: (photometric,)}
    files = [
        grey_tiff(WORDS, photometric=photometric, order=order),
        grey_tiff(signed, photometric=photometric, order=order, t339=(2,)),
        tiff(tags, [zlib.compress(stored(WORDS, order))], order=order),
        tiff({**tags, 339: (2,)}, [zlib.compress(stored(signed, order))], order=order),
        tiff(tags, [zlib.compress(stored(WORDS, "<"))], big=True),
    ]
    for data in files:
        np.testing.assert_array_equal(pixels_of(data), wanted)
    signed = (EIGHT_BITS.astype(int) - 128).astype(np.int8)
    for data in (grey_tiff(EIGHT_BITS, photometric=photometric), grey_tiff(signed, photometric=photometric, t339=(2,))):
        np.testing.assert_array_equal(pixels_of(data), EIGHT_BITS if photometric else 255 - EIGHT_BITS)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_tiff_is_the_same_in_every_lossless_compression(compression: str | None, depth: int) -> None:
    data = encoded(Image.fromarray(WORDS if depth == 16 else EIGHT_BITS), "TIFF", compression=compression)
    np.testing.assert_array_equal(pixels_of(data), FROM_WORDS if depth == 16 else EIGHT_BITS)


@pytest.mark.parametrize("samples", [EIGHT_BITS, RGB], ids=["grey", "colour"])
def test_a_tiff_may_hold_jpeg(samples: np.ndarray) -> None:
    data = encoded(Image.fromarray(samples), "TIFF", compression="jpeg", quality=95)
    assert np.abs(pixels_of(data).astype(int) - EIGHT_BITS).mean() < 4


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("extra", [None, (), (0,), (1,), (2,)])
def test_a_colour_tiff_keeps_its_bits_whatever_its_fourth_channel_is(
    order: str, compression: int, extra: tuple[int, ...] | None
) -> None:
    samples = CHANNELS["colour"] if extra is None else CHANNELS["colour and alpha"]
    channels = samples.shape[-1]
    more = {338: extra} if extra else {}
    for part, wanted in ((samples, FROM_WORDS), ((samples >> 8).astype(np.uint8), (WORDS >> 8).astype(np.uint8))):
        tags = {**RGB_TAGS, 258: (8 * part.itemsize,) * channels, 259: (compression,), 277: (channels,), **more}
        pixels = stored(part, order)
        data = tiff(tags, [zlib.compress(pixels) if compression == 8 else pixels], order=order)
        np.testing.assert_array_equal(pixels_of(data), wanted)


@pytest.mark.parametrize(("kind", "is_blended"), [(0, False), (1, False), (2, True)])
@pytest.mark.parametrize("depth", [8, 16])
def test_only_alpha_that_stands_by_itself_is_multiplied_with(depth: int, kind: int, *, is_blended: bool) -> None:
    grey = EIGHT_BITS if depth == 8 else WORDS
    half = np.full_like(grey, np.iinfo(grey.dtype).max // 2)
    tags = {**RGB_TAGS, 258: (depth,) * 4, 277: (4,), 338: (kind,)}
    data = tiff(tags, [np.dstack([grey] * 3 + [half]).tobytes()])
    reading = read_bytes(data, ReadOptions("display")).radiograph
    wanted = np.rint(grey.astype(int) * 127 / 255) if is_blended and depth == 8 else grey
    if depth == 8:
        np.testing.assert_array_equal(reading.pixels, wanted)
    assert ("W-IMG-002" in {warning.id for warning in reading.source.warnings}) is (kind != 0)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_tiff_in_tiles_is_put_together(order: str, channels: int) -> None:
    samples = np.dstack([WORDS] * channels)
    padded = np.pad(samples, ((0, -ROWS % 64), (0, -COLUMNS % 64), (0, 0)))
    tiles = [
        zlib.compress(stored(padded[y : y + 64, x : x + 64], order))
        for y in range(0, ROWS, 64)
        for x in range(0, COLUMNS, 64)
    ]
    tags = {**GREY_TAGS, 258: (16,) * channels, 259: (8,), 262: (1 if channels == 1 else 2,), 277: (channels,)}
    del tags[278]
    data = tiff({**tags, 322: (64,), 323: (64,)}, tiles, order=order)
    np.testing.assert_array_equal(pixels_of(data), FROM_WORDS)


@pytest.mark.parametrize("compression", [1, 8])
def test_a_tiff_in_planes_is_put_together(compression: int) -> None:
    planes = [plane.tobytes() for plane in np.moveaxis(RGB, -1, 0)]
    planes = [zlib.compress(plane) for plane in planes] if compression == 8 else planes
    data = tiff({**RGB_TAGS, 259: (compression,), 284: (2,)}, planes)
    np.testing.assert_array_equal(pixels_of(data), EIGHT_BITS)


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("columns", [79, 80])
@pytest.mark.parametrize("bits", [2, 4, 12])
def test_values_that_are_packed_in_a_tiff_are_taken_apart(bits: int, columns: int, compression: int) -> None:
    """Each row begins with a byte of its own."""
    values = chest(96, columns) >> (12 - bits)
    digits = (values[..., None] >> np.arange(bits)[::-1]) & 1
    packed = np.packbits(digits.reshape(96, -1).astype(np.uint8), axis=1).tobytes()
    tags = {**GREY_TAGS, 256: (columns,), 258: (bits,), 259: (compression,)}
    data = tiff(tags, [zlib.compress(packed) if compression == 8 else packed])
    wanted = golden.mimic(values, inverted=False) if bits == 12 else values * 255 // (2**bits - 1)
    np.testing.assert_array_equal(pixels_of(data), wanted)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "png16", "tiff16"])
def test_an_orientation_tag_is_followed_once_in_every_format(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    tag = encoded(Image.fromarray(EIGHT_BITS), exif=exif)
    block = png_chunk(b"eXIf", exif.tobytes()[6:])
    data = {
        "png": lambda: tag,
        "jpeg": lambda: encoded(Image.fromarray(EIGHT_BITS), "JPEG", exif=exif, quality=100),
        "webp": lambda: encoded(Image.fromarray(EIGHT_BITS), "WEBP", exif=exif, lossless=True),
        "tiff": lambda: grey_tiff(EIGHT_BITS, t274=(orientation,)),
        "png16": lambda: png16((EIGHT_BITS.astype(np.uint16) * 257)[..., None].repeat(3, -1), extra=block),
        "tiff16": lambda: grey_tiff(EIGHT_BITS.astype(np.uint16) * 257, order=">", t274=(orientation,)),
    }[kind]()
    upright = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(tag)))).astype(int)
    low, high = (0, 255) if "16" not in kind else (upright.min(), upright.max())
    shown = (upright - low) * 255 / (high - low)
    reading = read_bytes(data, ReadOptions("display")).radiograph
    np.testing.assert_allclose(reading.pixels, shown, atol=6 if kind == "jpeg" else 0.51)
    assert (reading.source.rows, reading.source.columns) == EIGHT_BITS.shape
    assert ("W-IMG-009" in {warning.id for warning in reading.source.warnings}) is (2 <= orientation <= 8)


@pytest.mark.parametrize("kind", ["WEBP", "BMP", "JPEG2000"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_webp_bmp_and_jpeg_2000_are_read_without_loss(kind: str, mode: str) -> None:
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(Image.fromarray(EIGHT_BITS).convert(mode), kind, **options)
    np.testing.assert_array_equal(pixels_of(data), EIGHT_BITS)
    source = read_bytes(data).radiograph.source
    assert source.format == kind.lower()
    assert not {warning.id for warning in source.warnings} & {"W-IMG-001", "W-IMG-002"}


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("bare", [False, True])
def test_jpeg_2000_keeps_its_grey_levels(bits: int, *, bare: bool) -> None:
    words = WORDS >> (16 - bits)
    picture = Image.fromarray(words.astype(np.uint8) if bits == 8 else words)
    data = encoded(picture, "JPEG2000", no_jp2=bare, irreversible=False)
    np.testing.assert_array_equal(
        pixels_of(data), words if bits == 8 else golden.mimic(words.astype(int), inverted=False)
    )


@pytest.mark.parametrize("bare", [False, True])
def test_jpeg_2000_without_its_end_marker_is_whole(*, bare: bool) -> None:
    data = encoded(Image.fromarray(EIGHT_BITS), "JPEG2000", no_jp2=bare)
    assert data.endswith(b"\xff\xd9")
    at = data.find(b"jp2c") - 4
    length = b"" if bare else (len(data) - at - 2).to_bytes(4, "big")
    shorter = data[:-2] if bare else data[:at] + length + data[at + 4 : -2]
    np.testing.assert_array_equal(pixels_of(shorter), EIGHT_BITS)


def test_several_tiles_of_jpeg_2000_are_all_wanted() -> None:
    data = encoded(Image.fromarray(EIGHT_BITS), "JPEG2000", no_jp2=True, tile_size=(40, 40))
    np.testing.assert_array_equal(pixels_of(data), EIGHT_BITS)
    last = data.rindex(b"\xff\x90\x00\x0a")
    assert reason(data[:last] + b"\xff\xd9") == "E-IMG-006 not all tiles are there"


@pytest.mark.parametrize("save", [{"bits": 8}, {"bits": 24}, {"bits": 32}])
def test_a_bmp_is_the_same_at_every_depth(save: dict[str, int]) -> None:
    mode = {8: "L", 24: "RGB", 32: "RGBA"}[save["bits"]]
    np.testing.assert_array_equal(pixels_of(encoded(Image.fromarray(EIGHT_BITS).convert(mode), "BMP")), EIGHT_BITS)


@pytest.mark.parametrize("masks", [(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)], ids=["565", "555"])
def test_a_bmp_of_sixteen_bits_a_pixel_is_colour_of_few_levels(masks: tuple[int, ...]) -> None:
    levels = [mask.bit_count() for mask in masks]
    shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
    words = sum((EIGHT_BITS.astype(int) >> (8 - n)) << shift for n, shift in zip(levels, shifts, strict=True))
    header = struct.pack("<IiiHHIIiiII", 40, COLUMNS, -ROWS, 1, 16, 3, 0, 0, 0, 0, 0) + struct.pack("<III", *masks)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + words.astype("<u2").tobytes()
    assert np.abs(pixels_of(data).astype(int) - EIGHT_BITS).max() <= 8


@pytest.mark.parametrize(
    ("bits", "masks"),
    [(16, (0xF00, 0xF0, 0xF)), (16, (0x1F, 0x7E0, 0xF800)), (32, (0x3FF00000, 0xFFC00, 0x3FF)), (7, (0, 0, 0))],
    ids=["444", "reversed", "ten bits", "depth"],
)
def test_a_bmp_of_another_layout_is_refused_by_name_and_not_called_damaged(bits: int, masks: tuple[int, ...]) -> None:
    header = struct.pack("<IiiHHIIiiII", 40, COLUMNS, -ROWS, 1, bits, 3, 0, 0, 0, 0, 0) + struct.pack("<III", *masks)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + bytes(COLUMNS * ROWS * 4)
    assert reason(data).startswith("E-IMG-020 BMP ")


def pages(n_pages: int, *, kind: int = 0) -> bytes:
    """kind: NewSubfileType of the pages behind the first."""
    other = {**GREY_TAGS, 254: (kind,), 273: (8,), 279: (16,)}
    return tiff(GREY_TAGS, [WORDS.tobytes()], *[other] * (n_pages - 1))


def animation(kind: str) -> bytes:
    first = Image.fromarray(EIGHT_BITS)
    return encoded(first, kind, save_all=True, append_images=[first.rotate(180), first.rotate(90)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: pages(3), "3 pages"),
        (lambda: animation("TIFF"), "3 pages"),
        (lambda: animation("WEBP"), "3 pictures"),
        (lambda: animation("PNG"), "3 pictures"),
    ],
)
def test_several_pictures_in_a_file_are_refused_with_their_number(data: Callable[[], bytes], words: str) -> None:
    assert reason(data()) == f"E-IMG-008 {words}"


@pytest.mark.parametrize("kind", [1, 4])
def test_a_thumbnail_or_a_mask_is_no_second_page(kind: int) -> None:
    np.testing.assert_array_equal(pixels_of(pages(2, kind=kind)), FROM_WORDS)


FLOATS = np.linspace(0, 1, ROWS * COLUMNS, dtype=np.float32)
UNREAD: dict[str, Callable[[], bytes]] = {
    "floating-point": lambda: tiff({**GREY_TAGS, 258: (32,), 339: (3,)}, [FLOATS.tobytes()]),
    "1 samples of 32 bits": lambda: tiff({**GREY_TAGS, 258: (32,)}, [WORDS.astype(np.uint32).tobytes()]),
    "1 samples of 32 signed bits": lambda: encoded(Image.fromarray(WORDS.astype(np.int32)), "TIFF"),
    "CMYK": lambda: encoded(Image.fromarray(RGB).convert("CMYK"), "TIFF"),
    "CIE L*a*b*": lambda: encoded(Image.fromarray(RGB), "TIFF").replace(
        struct.pack("<HHIH", 262, 3, 1, 2), struct.pack("<HHIH", 262, 3, 1, 8)
    ),
    "each channel for itself": lambda: tiff(
        {**RGB_TAGS, 258: (16,) * 3, 284: (2,)}, [plane.tobytes() for plane in np.moveaxis(CHANNELS["colour"], -1, 0)]
    ),
    "samples of different kinds": lambda: tiff({**RGB_TAGS, 258: (8, 8, 16)}, [bytes(4 * ROWS * COLUMNS)]),
    "bits in reverse order": lambda: tiff({**GREY_TAGS, 266: (2,)}, [WORDS.tobytes()]),
    "big-endian BigTIFF": lambda: tiff(GREY_TAGS, [stored(WORDS, ">")], order=">", big=True),
    "compression 6": lambda: tiff({**GREY_TAGS, 259: (6,)}, [bytes(100)]),
    "compression 50000": lambda: encoded(Image.fromarray(WORDS), "TIFF", compression="zstd"),
    "12 bits, photometric 1": lambda: tiff({**GREY_TAGS, 258: (12,)}, [bytes(2 * ROWS * COLUMNS)], order=">"),
    "2 samples of 16 bits": lambda: tiff(
        {**GREY_TAGS, 258: (16, 16), 277: (2,), 338: (2,)}, [CHANNELS["grey and alpha"].tobytes()]
    ),
    "the first page is a thumbnail": lambda: tiff({**GREY_TAGS, 254: (1,)}, [WORDS.tobytes()], GREY_TAGS),
    "camera's raw": lambda: tiff({**GREY_TAGS, 262: (32803,)}, [WORDS.tobytes()]),
    "3 components of up to 16 bits": lambda: by_opencv(".jp2", CHANNELS["colour"]),
    "compression 5 in BMP": lambda: encoded(Image.fromarray(RGB), "BMP")[:30] + b"\x05" + bytes(2000),
    "lossless JPEG": lambda: encoded(Image.fromarray(EIGHT_BITS), "JPEG").replace(b"\xff\xc0", b"\xff\xc3"),
    "JPEG of 12 bits": lambda: encoded(Image.fromarray(EIGHT_BITS), "JPEG").replace(
        b"\xff\xc0\0\x0b\x08", b"\xff\xc1\0\x0b\x0c"
    ),
    "JPEG-LS": lambda: encoded(Image.fromarray(EIGHT_BITS), "JPEG").replace(b"\xff\xc0", b"\xff\xf7"),
}  # fmt: skip


@pytest.mark.parametrize("words", UNREAD)
def test_pixels_that_would_be_misread_are_refused_by_name(words: str) -> None:
    told = reason(UNREAD[words]())
    assert told.startswith("E-IMG-020 ")
    assert words in told


@pytest.mark.parametrize("kind", ["TIFF", "BMP"])
def test_black_and_white_is_refused_in_every_format(kind: str) -> None:
    assert refused(encoded(Image.fromarray(EIGHT_BITS).convert("1"), kind)) == "E-IMG-009"


NOISE = np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8)
WHOLE: dict[str, Callable[[], bytes]] = {
    **{
        kind: lambda kind=kind: encoded(Image.fromarray(NOISE), kind) for kind in ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
    },
    "lossless WebP": lambda: encoded(Image.fromarray(NOISE), "WEBP", lossless=True),
    "JPEG 2000": lambda: encoded(Image.fromarray(NOISE), "JPEG2000"),
    "bare JPEG 2000": lambda: encoded(Image.fromarray(NOISE), "JPEG2000", no_jp2=True),
    "16-bit PNG": lambda: png16(np.dstack([NOISE.astype(np.uint16) * 257] * 3)),
    **{
        f"TIFF, {compression}": lambda compression=compression: encoded(
            Image.fromarray(NOISE), "TIFF", compression=compression
        )
        for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    },
    "drawn TIFF": lambda: grey_tiff(NOISE),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_was_cut_is_refused_wherever_it_was_cut(kind: str) -> None:
    data = WHOLE[kind]()
    assert pixels_of(data, "display").shape == NOISE.shape
    for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        assert refused(data[: int(len(data) * share)]) in {"E-IMG-006", "E-IMG-001"}


def test_a_tiff_with_fewer_strips_than_it_needs_is_not_half_a_picture() -> None:
    for tags in ({278: (ROWS // 2,)}, {279: (0,)}, {279: (10,)}, {273: (10**9,)}, {273: (8, 8)}, {278: (0,)}):
        assert refused(tiff({**GREY_TAGS, **tags}, [WORDS.tobytes()])) == "E-IMG-006"


@pytest.mark.parametrize("size", [(20_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_a_tiff_bmp_or_webp_bomb_is_refused_before_it_is_unpacked(size: tuple[int, int]) -> None:
    columns, rows = size
    tags = {**GREY_TAGS, 256: (columns,), 257: (rows,), 278: (rows,), 259: (8,)}
    assert refused(tiff(tags, [zlib.compress(bytes(100))])) == "E-IMG-007"
    bmp = bytearray(encoded(Image.fromarray(EIGHT_BITS), "BMP"))
    bmp[18:26] = struct.pack("<ii", columns, rows)
    assert refused(bytes(bmp)) == "E-IMG-007"
    webp = bytearray(encoded(Image.fromarray(EIGHT_BITS), "WEBP", exif=b"Exif\0\0II*\0"))
    webp[24:30] = (16_000).to_bytes(3, "little") * 2
    assert refused(bytes(webp)) in {"E-IMG-007", "E-IMG-006"}


def test_the_directories_of_a_tiff_may_not_go_in_a_circle() -> None:
    data = bytearray(grey_tiff(WORDS))
    data[-4:] = data[4:8]
    assert refused(bytes(data)) == "E-IMG-006"


def test_a_tag_that_stands_twice_is_no_matter_of_taste() -> None:
    data = grey_tiff(WORDS)
    twice = data.replace(struct.pack("<HHI", 277, 3, 1), struct.pack("<HHI", 262, 3, 1))
    assert refused(twice) == "E-IMG-006"


def test_no_format_takes_a_frame_that_is_not_there() -> None:
    for kind in ("TIFF", "BMP"):
        with pytest.raises(InputRefused) as refusal:
            read_bytes(encoded(Image.fromarray(EIGHT_BITS), kind), ReadOptions(frame=2))
        assert refusal.value.error_id == "E-DCM-012"


@pytest.mark.shared
def test_films_from_the_field_are_read_with_all_their_bits(shared: Path) -> None:
    field = shared / "data" / "field"
    colour, grey = (
        pixels_of((field / name).read_bytes()) for name in ("png48_12bit.png", "png16_grey_12bit_reference.png")
    )
    np.testing.assert_array_equal(colour, grey)
    assert {read_bytes(file.read_bytes()).radiograph.source.format for file in (field / "tiff_folder").iterdir()} == {
        "tiff",
        "bmp",
    }
