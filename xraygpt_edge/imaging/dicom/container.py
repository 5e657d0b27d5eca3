"""From the bytes of a file to a pydicom data set: nothing printed, nothing inflated without bound."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from pydicom import config, dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.dicom.mending import LONG_VRS, Mended, mended

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
DEFLATED = "1.2.840.10008.1.2.1.99"
INFLATED_MAX_BYTES = 256 << 20
INFLATED_MAX_RATIO = 200
"""A real radiograph deflates to a third; zeros deflate to a thousandth."""
META_MAX_BYTES = 1 << 16

# pydicom quotes tag values, names of patients among them, in its log and in its warnings.
logging.getLogger("pydicom").disabled = True
logging.getLogger("pydicom").addHandler(logging.NullHandler())
config.settings.reading_validation_mode = config.IGNORE


@dataclass(frozen=True, slots=True)
class Container:
    """A data set and how it was packed."""

    dataset: Dataset
    transfer_syntax: str
    """UID as stated in the file, or guessed from the bytes."""
    media_class: str
    """SOP class UID of the file meta information; empty if there is none."""
    guessed: bool
    """The transfer syntax is not stated in the file."""
    unended: bool
    """The file ends behind the last fragment of the compressed pixels, without the mark that ends them."""


def looks_like_dicom(data: bytes) -> bool:
    """DICM after the preamble, or a first element of group 0002 or 0008 where a preamble is missing."""
    if data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == MAGIC:
        return True
    little, big = data[:2] in (b"\x02\x00", b"\x08\x00"), data[:2] == b"\x00\x08"
    return len(data) > PREAMBLE_BYTES and (little or big) and _is_first_element(data)


def open_container(data: bytes, tags: Iterable[str | int]) -> Container:
    """Read the elements of these tags; raises InputRefused when the bytes are no DICOM data set."""
    meta = meta_information(data)
    wanted = [Tag(tag) for tag in tags]
    try:
        with quiet():
            whole, dataset = _parsed(data, meta, wanted)
    except (InputRefused, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever its parser stumbles over
        raise InputRefused("E-DCM-001", type(error).__name__) from None
    file_meta = getattr(dataset, "file_meta", FileMetaDataset())
    stated = str(file_meta.get("TransferSyntaxUID") or "").strip("\0 ")
    media_class = str(file_meta.get("MediaStorageSOPClassUID") or "").strip("\0 ")
    return Container(dataset, stated or _encoding(dataset), media_class, not stated, whole.unended)


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that pydicom or a codec warns of is printed: it may quote the patient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@dataclass(frozen=True, slots=True)
class MetaInformation:
    """What group 0002 says, read before pydicom sees the file."""

    transfer_syntax: str
    end: int
    """Offset of the data set."""


def meta_information(data: bytes) -> MetaInformation:
    """Walk group 0002, which is always explicit little endian; stops at whatever it cannot follow."""
    has_preamble = data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == MAGIC
    at, syntax = (PREAMBLE_BYTES + 4 if has_preamble else 0), ""
    while data[at : at + 2] == b"\x02\x00" and at < META_MAX_BYTES:
        is_long = data[at + 4 : at + 6] in LONG_VRS
        header, field = (12, slice(at + 8, at + 12)) if is_long else (8, slice(at + 6, at + 8))
        length = int.from_bytes(data[field], "little")
        if data[at + 2 : at + 4] == b"\x10\x00":
            syntax = data[at + header : at + header + length].decode("ascii", "replace").strip("\0 ")
        at += header + length
    return MetaInformation(syntax, at)


def _parsed(data: bytes, meta: MetaInformation, wanted: list[BaseTag]) -> tuple[Mended, Dataset]:
    if meta.transfer_syntax == DEFLATED:
        plain = mended(_inflated(data, meta), 0, big_endian=False)
        return plain, _deflated_dataset(plain.data, wanted)
    unstated = not meta.transfer_syntax and data[meta.end : meta.end + 1] == b"\0"
    whole = mended(data, meta.end, big_endian=unstated or meta.transfer_syntax == ExplicitVRBigEndian)
    return whole, dcmread(BytesIO(whole.data), force=True, specific_tags=list(wanted))


def _inflated(data: bytes, meta: MetaInformation) -> bytes:
    """Inflate with a limit: pydicom has none."""
    cap = min(INFLATED_MAX_BYTES, INFLATED_MAX_RATIO * len(data))
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(memoryview(data)[meta.end :], cap)
    if inflater.unconsumed_tail:
        raise InputRefused("E-DCM-015", f"more than {cap >> 20} MB")
    if not inflater.eof:
        raise InputRefused("E-DCM-005", "the deflated data end early")
    return plain


def _deflated_dataset(plain: bytes, wanted: list[BaseTag]) -> Dataset:
    elements = read_dataset(BytesIO(plain), is_implicit_VR=False, is_little_endian=True, specific_tags=wanted)
    file_meta = FileMetaDataset()
    file_meta.TransferSyntaxUID = DEFLATED
    return FileDataset(None, elements, file_meta=file_meta, is_implicit_VR=False, is_little_endian=True)


def _encoding(dataset: Dataset) -> str:
    implicit, little = dataset.original_encoding
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _is_first_element(data: bytes) -> bool:
    """An element with a sensible length begins here."""
    order: str = "big" if data[0] == 0 else "little"
    explicit = data[4:6].isalpha() and data[4:6].isupper()
    field = data[6:8] if explicit else data[4:8]
    length = int.from_bytes(field, "big" if order == "big" else "little")
    return length < META_MAX_BYTES
