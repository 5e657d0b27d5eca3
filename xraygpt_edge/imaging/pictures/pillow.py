"""Every picture format through Pillow, completely or not at all, with all bits that are in the file."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.pictures import containers, jpeg2000, tiff
from xraygpt_edge.imaging.pictures.raster import Alpha, Raster
from xraygpt_edge.imaging.pictures.refusals import damaged, unread
from xraygpt_edge.imaging.pixels import MAX_PX
from xraygpt_edge.records import Format

PLUGINS: dict[Format, type[ImageFile]] = {
    "png": PngImagePlugin.PngImageFile,
    "jpeg": JpegImagePlugin.JpegImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "jpeg2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
"""Named one by one: Pillow's own search would load every plugin that it has."""
EXAMINERS: dict[Format, Callable[[bytes], bytes]] = {
    "jpeg": containers.examine_jpeg,
    "webp": containers.examine_webp,
    "bmp": containers.examine_bmp,
    "jpeg2000": jpeg2000.examine,
}
"""From a file's bytes to those that are decoded; each raises InputRefused for what its decoder would misread."""
ORIENTATION = 0x0112
UNSUPPORTED = "Unsupported "
"""How Pillow begins when a BMP has a layout that it does not know, which it then names by a number at most."""
SIXTEEN_BIT_GREY = frozenset({"I;16", "I;16B", "I;16L"})
SIXTEEN_BIT_CHANNELS = re.compile("(RGB|RGBX|RGBA|RGBa|LA);16[BLN]")
"""How Pillow names samples of 16 bits that it cuts to eight; the last letter is their byte order."""
ALPHA_MODES = {"LA": Alpha.STRAIGHT, "La": Alpha.PREMULTIPLIED, "RGBA": Alpha.STRAIGHT}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture, as it is stored."""

    raster: Raster
    orientation: int
    """As the tag of EXIF and TIFF has it: 1 is upright."""


def decode(data: bytes, kind: Format, notes: Notes) -> Decoded:
    """Decode the one picture of a file; raises InputRefused for several, for damage, and for what would be misread."""
    with _only_refusals():
        if kind == "tiff":
            return _decode_tiff(data, notes)
        plain = EXAMINERS[kind](data) if kind in EXAMINERS else data
        with _opened(plain, kind) as image:
            raster = _raster(image, plain, kind, notes)
            return Decoded(raster, image.getexif().get(ORIENTATION, 1))


def _decode_tiff(data: bytes, notes: Notes) -> Decoded:
    page, plain = tiff.examine(data)
    with _opened(plain, "tiff") as image:
        raster = _raster(image, plain, "tiff", notes)
    if raster.samples.shape[:2] != (page.rows, page.columns):
        raise damaged("the decoder returned another size")
    samples = raster.samples
    if raster.alpha is not Alpha.NONE and page.alpha is Alpha.NONE:
        samples = samples[..., :-1]
    return Decoded(Raster(page.as_grey(samples), page.alpha), page.orientation)


@contextmanager
def _only_refusals() -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (InputRefused, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise InputRefused("E-IMG-007") from None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise many kinds
        if str(error).startswith(UNSUPPORTED):
            raise unread(str(error).removeprefix(UNSUPPORTED)) from None
        raise InputRefused("E-IMG-006", type(error).__name__) from None


@contextmanager
def _opened(data: bytes, kind: Format) -> Iterator[ImageFile]:
    """The file as Pillow sees it, nothing decoded yet."""
    with PLUGINS[kind](BytesIO(data)) as image:
        if image.width * image.height > MAX_PX:
            raise InputRefused("E-IMG-007", f"{image.width} x {image.height} pixels")
        pictures = getattr(image, "n_frames", 1)
        if pictures > 1 and kind != "tiff":  # its thumbnails are no pages, and have been told apart
            raise InputRefused("E-IMG-008", f"{pictures} pictures")
        if image.mode == "1":
            raise InputRefused("E-IMG-009")
        yield image


def _raster(image: ImageFile, data: bytes, kind: Format, notes: Notes) -> Raster:
    raw_mode = _raw_mode(image)
    if SIXTEEN_BIT_CHANNELS.fullmatch(raw_mode):
        raster = _sixteen_bit_channels(image, PLUGINS[kind](BytesIO(data)), raw_mode)
    else:
        if raw_mode.startswith("RGBa"):
            _ask_for(image, "RGBA")  # as stored: Pillow would divide by alpha, and we multiply again
        image.load()
        raster = _grey_of_sixteen_bits(image) if image.mode in SIXTEEN_BIT_GREY else _eight_bits(image)
    channels = 1 if raster.samples.ndim == 2 else raster.samples.shape[-1]
    notes.step("decoding", f"{channels} x {8 * raster.samples.dtype.itemsize} bits a pixel, by Pillow")
    return _with_key(raster, image.info.get("transparency")) if raster.samples.dtype == np.uint16 else raster


def _grey_of_sixteen_bits(image: Image.Image) -> Raster:
    return Raster(np.asarray(image).astype(np.uint16, copy=False))


def _eight_bits(image: Image.Image) -> Raster:
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise unread(f"pixels of Pillow's mode {image.mode}")
    if "transparency" in image.info or image.mode == "PA":
        image = image.convert("RGBA")
    elif image.mode not in ("L", *ALPHA_MODES):
        image = image.convert("RGB")
    return Raster(np.asarray(image), ALPHA_MODES.get(image.mode, Alpha.NONE))


def _raw_mode(image: ImageFile) -> str:
    """How Pillow would unpack the file's samples; empty where a decoder has no such word."""
    arguments = image.tile[0].args if image.tile else ""
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return mode if isinstance(mode, str) else ""


def _ask_for(image: ImageFile, raw_mode: str) -> None:
    """Have the samples unpacked in another way that takes as many bytes."""
    image.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in image.tile
    ]


def _sixteen_bit_channels(image: ImageFile, again: ImageFile, raw_mode: str) -> Raster:
    """Several channels of 16 bits, of which Pillow keeps one byte each: asked twice, it gives both."""
    channels, _, order = raw_mode.partition(";16")
    if channels == "LA":  # as many bytes as four channels of eight bits
        return Raster(_unpacked(image, "RGBA").view(">u2").astype(np.uint16), Alpha.STRAIGHT)
    channels = "RGBA" if channels == "RGBa" else channels
    first, second = _unpacked(image, f"{channels};16B"), _unpacked(again, f"{channels};16L")
    is_big = order == "B" or (order == "N" and sys.byteorder == "big")
    high, low = (first, second) if is_big else (second, first)
    samples = high.astype(np.uint16)
    samples <<= 8
    samples |= low
    return Raster(samples, Alpha.STRAIGHT if channels == "RGBA" else Alpha.NONE)


def _unpacked(image: ImageFile, raw_mode: str) -> NDArray[np.uint8]:
    _ask_for(image, raw_mode)
    image.load()
    return np.asarray(image)


def _with_key(raster: Raster, key: object) -> Raster:
    """Alpha 0 where all channels have the value that PNG says is transparent; Pillow does so for 8 bits alone."""
    if key is None or raster.alpha is not Alpha.NONE:
        return raster
    samples = np.atleast_3d(raster.samples)
    is_key = (samples == np.array(key, np.int64)).all(-1, keepdims=True)
    alpha = np.where(is_key, 0, 0xFFFF).astype(np.uint16)
    return Raster(np.concatenate([samples, alpha], -1), Alpha.STRAIGHT)
