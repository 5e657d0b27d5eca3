"""From a path to a radiograph: what a file is, is decided by its content and never by its name."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.notes import Notes, Step
from xraygpt_edge.pixels import BitLayout, Census, histogram, levels, look_up, luma, mimic_table, minmax8, stored_values
from xraygpt_edge.records import Source

MAX_BYTES = 512 << 20
MAX_PX = 100_000_000
SMALL_PX = 100
"""A radiograph has over 1,000; what is smaller is a thumbnail or an icon."""
Format = Literal["dicom", "png", "jpeg"]
PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a file is read."""

    profile: str = "mimic-jpg"
    """`mimic-jpg`: as the training pictures were made; `display`: as a viewer shows them."""
    frame: int | None = None
    """Which frame of several, counted from 1."""
    force: bool = False
    """Go on past a refusal of the input gate; the result says so."""


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A grey picture and where it comes from."""

    pixels: NDArray[np.uint8]
    """(rows, columns), 0 is black, bone is bright."""
    source: Source
    steps: tuple[Step, ...] = ()
    """What was done between the file and the pixels."""


def read_radiograph(path: Path, options: ReadOptions = ReadOptions()) -> Radiograph:
    """Read a DICOM, PNG or JPEG file in this process; raises InputRefused."""
    data = read_bytes(path)
    notes = Notes(force=options.force)
    kind = sniff(data)
    if kind == "dicom":
        return _read_dicom(data, options, notes)
    return _read_picture(data, kind, options, notes)


def read_bytes(path: Path) -> bytes:
    """The bytes of a plain file, read once; raises InputRefused. A pipe or a device never blocks."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no such file"
        raise InputRefused("E-IMG-001", reason) from None
    with os.fdopen(handle, "rb") as stream:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise InputRefused("E-IMG-001", "it is no plain file")
        if facts.st_size > MAX_BYTES:
            raise InputRefused("E-IMG-003", f"{facts.st_size >> 20} MB")
        data = stream.read(MAX_BYTES + 1)
    if not data:
        raise InputRefused("E-IMG-002", "it is empty")
    return data


def sniff(data: bytes) -> Format:
    """What the bytes are; raises InputRefused for anything else."""
    from xraygpt_edge.dicom.container import looks_like_dicom

    if data.startswith(PNG_START):
        return "png"
    if data.startswith(JPEG_START):
        return "jpeg"
    if looks_like_dicom(data):
        return "dicom"
    raise InputRefused("E-IMG-002", "it is neither DICOM nor PNG nor JPEG")


def _read_dicom(data: bytes, options: ReadOptions, notes: Notes) -> Radiograph:
    from xraygpt_edge import dicom

    picture = dicom.read(data, options.profile, options.frame, notes)
    _warn_of_size(picture.pixels, notes)
    source = Source(
        sha256=hashlib.sha256(data).hexdigest(),
        format="dicom",
        rows=picture.rows,
        columns=picture.columns,
        profile=options.profile,
        sop_class=picture.sop_class,
        transfer_syntax=picture.transfer_syntax,
        photometric=picture.photometric,
        forced=notes.forced,
        warnings=notes.warnings,
    )
    return Radiograph(picture.pixels, source, notes.steps)


def _read_picture(data: bytes, kind: Format, options: ReadOptions, notes: Notes) -> Radiograph:
    if options.frame not in (None, 1):
        raise InputRefused("E-DCM-012", f"frame {options.frame} of 1")
    words = _grey_words(data, notes)
    rows, columns = words.shape
    allocated = 8 * words.dtype.itemsize
    counts = histogram(words)
    census = Census(stored_values(BitLayout(allocated, allocated)), counts, np.zeros(counts.size, np.bool_))
    if int((counts > 0).sum()) < 2:
        raise InputRefused("E-IMG-004", "every pixel has the same value")
    if options.profile == "display":
        table = minmax8(census) if allocated > 8 else np.arange(256, dtype=np.uint8)
        notes.step("grey", "as it is" if allocated == 8 else "least to most value over 0 to 255")
    else:
        table = mimic_table(census, inverted=False)
        notes.step("grey", "least to most value over 0 to 255, then histogram equalisation, as MIMIC-CXR-JPG")
    if levels(table, census) < 2:
        raise InputRefused("E-IMG-004", "hardly any grey levels")
    pixels = look_up(table, words)
    _warn_of_size(pixels, notes)
    source = Source(
        sha256=hashlib.sha256(data).hexdigest(),
        format=kind,
        rows=rows,
        columns=columns,
        profile=options.profile,
        forced=notes.forced,
        warnings=notes.warnings,
    )
    return Radiograph(pixels, source, notes.steps)


def _grey_words(data: bytes, notes: Notes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode a PNG or JPEG to grey words; raises InputRefused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
                _require_single_grey(image)
                image.load()
                return _words(ImageOps.exif_transpose(image), notes)
    except (InputRefused, MemoryError):
        raise
    except Exception as error:  # Pillow raises whatever its parsers stumble over
        raise InputRefused("E-IMG-005", type(error).__name__) from None


def _require_single_grey(image: Image.Image) -> None:
    if getattr(image, "n_frames", 1) > 1:
        raise InputRefused("E-IMG-006", "it is animated")
    if image.mode == "1":
        raise InputRefused("E-IMG-006", "it has one bit a pixel")
    if image.width * image.height > MAX_PX:
        raise InputRefused("E-IMG-003", f"{image.width} x {image.height} pixels")


def _words(image: Image.Image, notes: Notes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """8 bits as they are, 16 bits by numpy: Pillow's own conversion saturates them."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        notes.warn("W-IMG-002")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    if image.mode == "L":
        return np.asarray(image)
    colour = np.asarray(image.convert("RGB"))
    if not (np.array_equal(colour[..., 0], colour[..., 1]) and np.array_equal(colour[..., 0], colour[..., 2])):
        notes.warn("W-IMG-001")
        return luma(colour)
    return np.ascontiguousarray(colour[..., 0])


def _warn_of_size(pixels: NDArray[np.uint8], notes: Notes) -> None:
    if min(pixels.shape) < SMALL_PX:
        notes.warn("W-IMG-003", f"{pixels.shape[1]} x {pixels.shape[0]} pixels")
