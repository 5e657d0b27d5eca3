"""The facts that decoding needs, checked one by one. Nothing is decoded before all of them hold."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.classes import CHEST_MODALITIES, Kind, class_name, kind_of
from xraygpt_edge.imaging.dicom.codestream import require_end
from xraygpt_edge.imaging.dicom.container import Container
from xraygpt_edge.imaging.dicom.syntaxes import CODECS, Codec, syntax_name
from xraygpt_edge.imaging.dicom.values import integer, text, value
from xraygpt_edge.imaging.pixels import MAX_PX
from xraygpt_edge.records import PRODUCT

"""Twice the largest detector; more is a bomb or not a radiograph."""
PHOTOMETRICS = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
)
SIDE_MAX_PX = 65_535
STUDY_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Header:
    """What the file says about its pixels, after checking."""

    sop_class: str
    """UID; show `class_name` of it only."""
    transfer_syntax: str
    """UID; show `syntax_name` of it only."""
    codec: Codec
    rows: int
    columns: int
    samples: int
    frames: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame as it is stored without compression."""
        samples = 2 if self.photometric == "YBR_FULL_422" and self.codec is Codec.NATIVE else self.samples
        return self.rows * self.columns * samples * self.bits_allocated // 8

    @property
    def big_endian(self) -> bool:
        """Numbers in the file begin with their largest byte."""
        return self.transfer_syntax == str(ExplicitVRBigEndian)

    @property
    def lowest_high_bit(self) -> int:
        """What HighBit is where the value lies in the lowest bits, as it nearly always does."""
        return self.bits_stored - 1

    @property
    def in_words(self) -> str:
        """The picture that the header announces."""
        frames = f", {self.frames} frames" if self.frames > 1 else ""
        bits = f"{self.bits_stored} of {self.bits_allocated} bits"
        return f"{self.columns} x {self.rows}, {bits}, {self.photometric}{frames}"


def read_header(container: Container, notes: Notes) -> Header:
    """Check class, syntax and the image module, in the order in which a reason helps most."""
    dataset = container.dataset
    sop_class = str(value(dataset, "SOPClassUID") or container.media_class).strip("\0 ")
    notes.know(transfer_syntax=syntax_name(container.transfer_syntax), study=_study(dataset))
    if sop_class:
        notes.know(sop_class=class_name(sop_class))
    notes.step("object", class_name(sop_class) if sop_class else "its class is not stated")
    _require_image(sop_class, dataset)
    codec = _codec(container)
    _require_pixel_data(dataset)
    _require_radiograph(sop_class, dataset, notes)
    header = _image_module(dataset, sop_class, container.transfer_syntax, codec)
    _require_plausible(header)
    notes.know(rows=header.rows, columns=header.columns, photometric=header.photometric)
    notes.step("pixels", header.in_words)
    if container.guessed:
        notes.warn("W-DCM-016")
    if container.unended:
        _require_whole_stream(dataset, codec)
        notes.warn("W-DCM-024", "the mark behind the last fragment")
    return header


def _require_whole_stream(dataset: Dataset, codec: Codec) -> None:
    """The file may have been cut between two fragments; not every decoder of JPEG would say so."""
    if codec in (Codec.JPEG, Codec.GDCM):
        require_end(value(dataset, "PixelData"))


def _study(dataset: Dataset) -> str | None:
    """Which pictures belong together, without saying whose they are."""
    uid = text(dataset, "StudyInstanceUID")
    return sha256(uid.encode("utf-8", "replace")).hexdigest()[:STUDY_DIGITS] if uid else None


def _require_image(sop_class: str, dataset: Dataset) -> None:
    kind = kind_of(sop_class)
    if kind is Kind.DIRECTORY:
        raise InputRefused("E-DCM-017")
    if not sop_class:
        raise InputRefused("E-DCM-004" if len(dataset) else "E-DCM-001")
    if kind is Kind.NO_IMAGE or (kind is Kind.UNKNOWN and not _has_pixels(dataset)):
        raise InputRefused("E-DCM-002", f"it is: {class_name(sop_class)}")
    # Drawn phantoms name this program, too, but no model that has written about them.
    if text(dataset, "Manufacturer").lower() == PRODUCT and text(dataset, "DeviceSerialNumber"):
        raise InputRefused("E-DCM-002", "it is: a page of text that this program made")


def _codec(container: Container) -> Codec:
    codec = CODECS.get(container.transfer_syntax)
    if codec is None:
        raise InputRefused("E-DCM-006", syntax_name(container.transfer_syntax))
    return codec


def _require_radiograph(sop_class: str, dataset: Dataset, notes: Notes) -> None:
    kind = kind_of(sop_class)
    if kind is Kind.UNKNOWN and text(dataset, "Modality") in CHEST_MODALITIES:
        notes.warn("W-DCM-023")
    elif kind is Kind.UNKNOWN:
        notes.refuse("E-DCM-003", "its class is not in the standard, and its modality makes no chest radiographs")
    if kind is Kind.OTHER_IMAGE:
        notes.refuse("E-DCM-003", f"it is: {class_name(sop_class)}")
    if kind is Kind.OTHER_RADIOGRAPH:
        notes.warn("W-DCM-001", f"it is stored as {class_name(sop_class)}")


def _image_module(dataset: Dataset, sop_class: str, syntax: str, codec: Codec) -> Header:
    allocated = _required(dataset, "BitsAllocated")
    stored = integer(dataset, "BitsStored") or allocated
    high_bit = integer(dataset, "HighBit")
    return Header(
        sop_class=sop_class,
        transfer_syntax=syntax,
        codec=codec,
        rows=_required(dataset, "Rows"),
        columns=_required(dataset, "Columns"),
        samples=_required(dataset, "SamplesPerPixel"),
        frames=_frames(dataset),
        photometric=text(dataset, "PhotometricInterpretation"),
        planar=integer(dataset, "PlanarConfiguration") or 0,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high_bit is None else high_bit,
        signed=_required(dataset, "PixelRepresentation") == 1,
    )


def _required(dataset: Dataset, keyword: str) -> int:
    found = integer(dataset, keyword)
    if found is None:
        raise InputRefused("E-DCM-013", f"{keyword} is absent or no number")
    return found


def _frames(dataset: Dataset) -> int:
    """NumberOfFrames; absent, empty and 0 all mean a single frame."""
    if value(dataset, "NumberOfFrames") is None and "NumberOfFrames" not in dataset:
        return 1
    found = integer(dataset, "NumberOfFrames")
    if found is None and not str(dataset.get("NumberOfFrames") or "").strip():
        return 1
    if found is None or found < 0:
        raise InputRefused("E-DCM-013", "NumberOfFrames is no number of frames")
    return max(found, 1)


def _require_plausible(header: Header) -> None:
    """Every field within what the standard allows and what we can read."""
    checks = {
        "Rows": 0 < header.rows <= SIDE_MAX_PX,
        "Columns": 0 < header.columns <= SIDE_MAX_PX,
        "PhotometricInterpretation": header.photometric in PHOTOMETRICS,
        "SamplesPerPixel": header.samples == (3 if _is_colour(header.photometric) else 1),
        "BitsAllocated": header.bits_allocated in (8, 16),
        "BitsStored": 0 < header.bits_stored <= header.bits_allocated,
        "PlanarConfiguration": header.planar in (0, 1),
    }
    wrong = [field for field, holds in checks.items() if not holds]
    if wrong:
        raise InputRefused("E-DCM-013", f"{wrong[0]} has a value that cannot be read")
    if _is_colour(header.photometric) and header.bits_allocated != 8:
        raise InputRefused("E-DCM-013", "a colour picture with more than 8 bits a sample")
    if header.rows * header.columns > MAX_PX:
        raise InputRefused("E-DCM-014", f"{header.columns} x {header.rows} pixels")


def _is_colour(photometric: str) -> bool:
    return photometric == "RGB" or photometric.startswith("YBR")


def _has_pixels(dataset: Dataset) -> bool:
    return any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))


def _require_pixel_data(dataset: Dataset) -> None:
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise InputRefused("E-DCM-013", "pixels stored as floating-point numbers")
    if not isinstance(value(dataset, "PixelData"), bytes):
        raise InputRefused("E-DCM-005", "there is no pixel data")
