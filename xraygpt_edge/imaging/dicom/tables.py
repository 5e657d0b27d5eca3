"""Lookup tables as they stand in the file: modality, VOI and palette, of 8 or 16 bits, in either byte order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xraygpt_edge.imaging.dicom.header import Header
from xraygpt_edge.imaging.dicom.values import numbers, value
from xraygpt_edge.imaging.pixels import Lut

LUT_MAX_ENTRIES = 1 << 16


def read_lut(
    item: Dataset, header: Header, *, signed: bool, descriptor: str = "LUTDescriptor", data: str = "LUTData"
) -> Lut | None:
    """A table with its three-number descriptor; None if it cannot be what it says.

    signed: the input values may be negative.
    """
    described = numbers(item, descriptor)
    if len(described) != 3:
        return None
    length, first, bits = (int(part) for part in described)
    length = length % LUT_MAX_ENTRIES or LUT_MAX_ENTRIES
    if signed and first > 0x7FFF:
        first -= 1 << 16
    stored = value(item, data)
    if isinstance(stored, bytes) and header.big_endian and item[data].VR != "OB":
        stored = _swapped(stored)
    entries = _entries(stored, length, bits)
    return Lut(first, entries) if entries is not None and entries.size > 1 else None


def _swapped(words: bytes) -> bytes:
    """Words of 16 bits, little-endian; entries of 8 bits are packed in such words, too."""
    return np.frombuffer(words[: len(words) // 2 * 2], ">u2").astype("<u2").tobytes()


def _entries(data: Any, length: int, bits: int) -> NDArray[np.int64] | None:
    """The table as numbers: from a list, or from little-endian bytes of one or two a value."""
    if isinstance(data, bytes):
        wide = len(data) >= 2 * length
        return np.frombuffer(data[: length * (1 + wide)], "<u2" if wide else "u1")[:length].astype(np.int64)
    try:
        entries = np.asarray(list(data), np.int64)
    except (TypeError, ValueError, OverflowError):
        return None
    if bits <= 8 and 2 * entries.size in (length, length + 1):  # two 8-bit values in each word
        entries = entries.astype("<u2").view(np.uint8).astype(np.int64)
    return entries[:length] & 0xFFFF
