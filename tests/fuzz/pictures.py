"""Hostile PNG, JPEG, TIFF, WebP, BMP and JPEG 2000 files: `python -m tests.fuzz.pictures --count 10000 --seed 1`.

With --cut, files are cut off and nothing else: what is read all the same must be the whole picture.
"""

from __future__ import annotations

import sys
import zlib

import numpy as np
from PIL import Image

from tests.drawn_dicom import chest
from tests.drawn_pictures import encoded, grey_tiff, png16, tiff
from tests.fuzz.hostile import Judge, Make, change, parser, told
from xraygpt_edge.imaging.images import ReadOptions, read_bytes

WORDS = (chest(96, 80) * 16).astype(np.uint16)
BYTES = (WORDS >> 8).astype(np.uint8)
RGB = Image.fromarray(np.dstack([BYTES, BYTES // 2, BYTES]))
GREY, DEEP = Image.fromarray(BYTES), Image.fromarray(WORDS)
SAME_SHARE = 0.999
"""Of pixels that must be as in the whole picture; JPEG's last block may differ where only its end marker is gone."""


def seeds() -> list[bytes]:
    """Whole files: every format, every way in which its pixels are stored."""
    rows, columns = WORDS.shape
    tags = {256: (columns,), 257: (rows,), 258: (16,) * 3, 259: (8,), 262: (2,), 277: (3,), 278: (rows,)}
    deep_rgb = np.dstack([WORDS] * 3)
    tiffs = [
        encoded(picture, "TIFF", compression=compression)
        for picture in (GREY, DEEP, RGB)
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")
    ]
    return [
        *(encoded(GREY), encoded(DEEP), encoded(RGB.convert("P")), encoded(RGB.convert("RGBA"))),
        *(png16(deep_rgb), png16(deep_rgb, interlaced=True), png16(WORDS[..., None], key=(7,))),
        *(encoded(GREY, "JPEG"), encoded(RGB, "JPEG", progressive=True)),
        *tiffs,
        *(encoded(GREY, "TIFF", compression="jpeg"), encoded(RGB, "TIFF", compression="jpeg")),
        *(grey_tiff(WORDS, order=">", photometric=0), grey_tiff(WORDS.astype(np.int16), t339=(2,), t274=(6,))),
        *(tiff(tags, [zlib.compress(deep_rgb.tobytes())], big=big) for big in (False, True)),
        *(encoded(GREY, "WEBP"), encoded(RGB.convert("RGBA"), "WEBP", lossless=True)),
        *(encoded(picture, "BMP") for picture in (GREY, RGB, RGB.convert("RGBA"), RGB.convert("P"))),
        *(encoded(picture, "JPEG2000", no_jp2=bare) for picture in (GREY, DEEP, RGB) for bare in (False, True)),
        encoded(GREY, "JPEG2000", tile_size=(32, 32)),
    ]


def mutated(number: int, files: list[bytes]) -> bytes:
    """The file of that number: bytes changed, removed, repeated, or the end cut off."""
    random = np.random.default_rng(number)
    data = bytearray(files[random.integers(len(files))])
    for _ in range(random.integers(1, 12)):
        change(data, random, 0)
    return bytes(data)


def cut(number: int, files: list[bytes]) -> bytes:
    """The file of that number, without its end."""
    data = files[number % len(files)]
    return data[: int(np.random.default_rng(number).integers(1, len(data)))]


def make(*, cut_only: bool) -> Make:
    """How the file of a number is made."""
    files, how = seeds(), cut if cut_only else mutated
    return lambda number: how(number, files)


def is_whole() -> Judge:
    """Whether a picture is that of the whole file, for files that were cut."""
    whole = [read_bytes(data, ReadOptions(force=True)).radiograph.pixels for data in seeds()]

    def judge(number: int, pixels: np.ndarray) -> bool:
        wanted = whole[number % len(whole)]
        return pixels.shape == wanted.shape and float((pixels == wanted).mean()) >= SAME_SHARE

    return judge


def main() -> int:
    """Exit code 0 when every outcome was allowed and memory stayed flat."""
    options = parser(__doc__)
    options.add_argument("--cut", action="store_true", help="only cut files off")
    chosen = options.parse_args()
    return told(make(cut_only=chosen.cut), chosen, *([is_whole()] if chosen.cut else []))


if __name__ == "__main__":
    sys.exit(main())
