"""Modality and VOI tables as they stand in the file; pydicom's own code wraps 8-bit tables of many entries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xraygpt_edge.dicom.values import items, number, numbers, text, value
from xraygpt_edge.notes import Notes
from xraygpt_edge.pixels import Lut, Modality, VoiFunction, Window

FUNCTIONS: tuple[VoiFunction, ...] = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def modality_of(dataset: Dataset, *, signed: bool) -> Modality:
    """Table before line; a missing, empty or zero slope is no line."""
    for item in items(dataset, "ModalityLUTSequence"):
        lut = lut_of(item, signed=signed)
        if lut is not None:
            return Modality(lut=lut)
    slope = number(dataset, "RescaleSlope")
    return Modality(slope or 1.0, number(dataset, "RescaleIntercept") or 0.0 if slope else 0.0)


def voi_of(dataset: Dataset, notes: Notes) -> Lut | Window | None:
    """The first table, else the first window; None if there is none that makes sense."""
    for item in items(dataset, "VOILUTSequence"):
        lut = lut_of(item, signed=False)
        if lut is not None:
            notes.step("VOI", "the first VOI table")
            return lut
    centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    stated = text(dataset, "VOILUTFunction").split("\\")[0]
    function = next((known for known in FUNCTIONS if known == stated), "LINEAR")
    if centre is None or width is None:
        return None
    if width <= 0 or (function == "LINEAR" and width < 1):
        notes.warn("W-DCM-041")
        return None
    notes.step("VOI", "the first window")
    return Window(centre, width, function)


def lut_of(item: Dataset, *, signed: bool) -> Lut | None:
    """A table with its descriptor; None when the two do not fit."""
    descriptor = numbers(item, "LUTDescriptor")
    if len(descriptor) != 3:
        return None
    count, first, bits = (int(part) for part in descriptor)
    entries = _entries(value(item, "LUTData"), count or 1 << 16, bits)
    if entries is None:
        return None
    # A negative first value is often read back as unsigned.
    return Lut(first - (1 << 16) if signed and first >= 1 << 15 else first, entries)


def _entries(data: object, count: int, bits: int) -> NDArray[np.int64] | None:
    if isinstance(data, bytes):
        wide = len(data) >= 2 * count
        data = np.frombuffer(data[: 2 * count if wide else count], "<u2" if wide else np.uint8)
    try:
        entries = np.asarray(data).astype(np.int64).reshape(-1)[:count]
    except (TypeError, ValueError, OverflowError):
        return None
    return entries & ((1 << max(bits, 8)) - 1) if entries.size == count else None
