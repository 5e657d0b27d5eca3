"""From a file, or its bytes, to a grey picture: the content decides what it is, never the name."""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging import gate
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.pixels import luma, plain_pixels
from xraygpt_edge.records import Source, Step

if TYPE_CHECKING:
    from PIL.Image import Image

PROFILES = ("mimic-jpg", "display")
FILE_MAX_BYTES = 512 << 20
MAX_PX = 100_000_000
PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
OTHER_STARTS = {
    b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP", b"%PDF": "PDF",
    b"PK\x03\x04": "a ZIP archive", b"\x1f\x8b": "a gzip archive", b"\x93NUMPY": "NumPy",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000", b"\xff\x0a": "JPEG XL",
    b"RIFF": "WebP or AVI", b"<htm": "HTML", b"<!DO": "HTML", b"\x5c\x01\x00\x00": "NIfTI",
}  # fmt: skip
"""Formats that users try; naming them helps more than saying that a file is unknown."""
SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16B", "I;16L", "I"})
ALPHA_MODES = frozenset({"RGBA", "LA", "La", "RGBa", "PA"})


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a file is read."""

    profile: str = "mimic-jpg"
    """mimic-jpg, as the model was trained; or display, as a viewer shows it."""
    frame: int | None = None
    """Which frame of several, counted from 1."""
    force: bool = False
    """Go past those refusals that allow it; recorded in the result."""


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A picture that the model can look at."""

    pixels: NDArray[np.uint8]
    """(rows, columns), 0 black, bone bright."""
    source: Source


@dataclass(frozen=True, slots=True)
class Reading:
    """A radiograph and the account of how it was read."""

    radiograph: Radiograph
    steps: tuple[Step, ...]


DEFAULT = ReadOptions()


def read_radiograph(path: Path, options: ReadOptions = DEFAULT) -> Radiograph:
    """Read PNG, JPEG or DICOM in this process; raises InputRefused."""
    return read_with_account(path, options).radiograph


def read_with_account(file: Path | bytes, options: ReadOptions = DEFAULT) -> Reading:
    """Read a file, or bytes of one, and say what was done; whatever goes wrong is an InputRefused."""
    with _only_refusals():
        return read_bytes(_content(file), options)


def read_identity(file: Path | bytes) -> Identity:
    """Read patient and study of a DICOM file, or of bytes of one; whatever goes wrong is an InputRefused."""
    from xraygpt_edge.imaging import dicom

    with _only_refusals():
        return dicom.read_identity(_content(file))


@contextmanager
def _only_refusals() -> Iterator[None]:
    try:
        yield
    except InputRefused:
        raise
    except MemoryError:
        raise InputRefused("E-DCM-020") from None
    except Exception as error:  # noqa: BLE001 - the cause may quote the file: only its kind is told
        raise InputRefused("E-DCM-023", type(error).__name__) from None


def _content(file: Path | bytes) -> bytes:
    return file if isinstance(file, bytes) else read_file(file)


def read_bytes(data: bytes, options: ReadOptions = DEFAULT) -> Reading:
    """Read a file that is in memory already; raises InputRefused, with what was found out before."""
    notes = Notes(force=options.force)
    notes.step("size", f"{len(data):,} bytes")
    try:
        kind = sniff(data)
    except InputRefused as refusal:
        raise refusal.about(None, notes.steps) from None
    notes.step("format", kind)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        pixels = _from_dicom(data, options, notes) if kind == "dicom" else _from_picture(data, options, notes)
        gate.look(pixels, notes)
    except InputRefused as refusal:
        raise refusal.about(notes.source(sha256, kind, options.profile), notes.steps) from None
    return Reading(Radiograph(pixels, notes.source(sha256, kind, options.profile)), notes.steps)


def read_file(path: Path) -> bytes:
    """All bytes of a regular file; a pipe or a device is refused without waiting for it."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(path, flags)
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no such name"
        raise InputRefused("E-IMG-003", reason) from None
    try:
        facts = os.fstat(handle)
        _require_regular(facts)
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read(facts.st_size)  # a larger number would be allocated in full
    except OSError as error:
        raise InputRefused("E-IMG-003", os.strerror(error.errno or 0)) from None
    finally:
        os.close(handle)


def _require_regular(facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise InputRefused("E-IMG-004")
    require_size(facts.st_size)


def require_size(n_bytes: int) -> None:
    """Refuse what is larger than any radiograph, before it is read into memory."""
    if n_bytes > FILE_MAX_BYTES:
        raise InputRefused("E-IMG-005", f"{n_bytes >> 20} MB")


def sniff(data: bytes) -> Literal["dicom", "png", "jpeg"]:
    """What the bytes are; raises InputRefused for anything else, by name where it is known."""
    if not data:
        raise InputRefused("E-IMG-002")
    if data.startswith(PNG_START):
        return "png"
    if data.startswith(JPEG_START):
        return "jpeg"
    for start, name in OTHER_STARTS.items():
        if data.startswith(start) and data[128:132] != b"DICM":
            raise InputRefused("E-IMG-012", name)
    from xraygpt_edge.imaging.dicom.container import looks_like_dicom

    if looks_like_dicom(data):
        return "dicom"
    raise InputRefused("E-IMG-001")


def _from_dicom(data: bytes, options: ReadOptions, notes: Notes) -> NDArray[np.uint8]:
    from xraygpt_edge.imaging import dicom

    return dicom.read(data, options.frame, options.profile, notes)


def _from_picture(data: bytes, options: ReadOptions, notes: Notes) -> NDArray[np.uint8]:
    if options.frame not in (None, 1):
        raise InputRefused("E-DCM-012", f"frame {options.frame} of 1")
    words = _decode_picture(data, notes)
    notes.know(rows=words.shape[0], columns=words.shape[1])
    return _as_trained(words, options.profile, notes)


def _as_trained(words: NDArray[np.uint8] | NDArray[np.uint16], profile: str, notes: Notes) -> NDArray[np.uint8]:
    """8 bits as they are: the model was trained on such files, which had been prepared already."""
    if words.dtype == np.uint8:
        notes.step("grey", "8-bit pictures are taken as they are")
        return plain_pixels(words, "display")
    notes.step("range", "smallest to largest value become 0 to 255")
    if profile == "mimic-jpg":
        notes.step("equalize", "grey levels spread evenly, as for the model's training pictures")
    return plain_pixels(words, profile)


def _decode_picture(data: bytes, notes: Notes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """PNG or JPEG to grey words, completely or not at all."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
                _require_one_picture(image)
                image.load()
                return _grey_words(image, notes)
    except (InputRefused, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise InputRefused("E-IMG-007") from None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise many kinds
        raise InputRefused("E-IMG-006", type(error).__name__) from None


def _require_one_picture(image: Image) -> None:
    if image.width * image.height > MAX_PX:
        raise InputRefused("E-IMG-007", f"{image.width} x {image.height} pixels")
    if getattr(image, "n_frames", 1) > 1 and image.format == "PNG":
        raise InputRefused("E-IMG-008")
    if image.mode == "1":
        raise InputRefused("E-IMG-009")


def _grey_words(image: Image, notes: Notes) -> NDArray[np.uint8] | NDArray[np.uint16]:
    from PIL import ImageOps

    if image.getexif().get(0x0112, 1) != 1:
        notes.step("orientation", "turned as the EXIF tag says")
        notes.warn("W-IMG-009")
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode in SIXTEEN_BIT_MODES:  # Pillow's own conversion to 8 bits saturates
        notes.step("decoding", "16-bit grey, by Pillow")
        return np.asarray(image).clip(0, 0xFFFF).astype(np.uint16)
    notes.step("decoding", f"{image.mode}, by Pillow")
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image)
    return _from_colour(_opaque(image, notes), notes)


def _opaque(image: Image, notes: Notes) -> Image:
    """On black where it is transparent."""
    from PIL import Image as Pillow

    if image.mode not in ALPHA_MODES and "transparency" not in image.info:
        return image.convert("RGB")
    notes.warn("W-IMG-002")
    notes.step("transparency", "laid on black")
    layered = image.convert("RGBA")
    return Pillow.alpha_composite(Pillow.new("RGBA", image.size, (0, 0, 0, 255)), layered).convert("RGB")


def _from_colour(image: Image, notes: Notes) -> NDArray[np.uint8]:
    rgb = np.asarray(image)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(red)
    notes.warn("W-IMG-001")
    notes.step("colour", "brightness (ITU-R 601) taken")
    return luma(rgb)
