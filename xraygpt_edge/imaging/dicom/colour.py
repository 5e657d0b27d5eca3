"""Colour and palette pictures to one grey channel of 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.container import quiet
from xraygpt_edge.imaging.dicom.decode import Words
from xraygpt_edge.imaging.pixels import luma


def palette_to_rgb(words: Words, dataset: Dataset) -> NDArray[np.uint8]:
    """Look the indices up in the file's palette; uint8 (rows, columns, 3)."""
    try:
        with quiet():
            rgb = apply_color_lut(words, dataset)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the palette is damaged in one of many ways
        raise InputRefused("E-DCM-013", f"the palette: {type(error).__name__}") from None
    shift = 8 * rgb.dtype.itemsize - 8
    return np.asarray(rgb >> shift, np.uint8)


def rgb_to_grey(rgb: NDArray[np.uint8], notes: Notes) -> NDArray[np.uint8]:
    """One channel where all three agree; else luma, with a warning."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    if np.array_equal(red, green) and np.array_equal(red, blue):
        notes.step("colour", "three equal channels: one of them taken")
        return np.ascontiguousarray(red)
    notes.warn("W-IMG-001")
    notes.step("colour", "brightness (ITU-R 601) taken")
    return luma(rgb)
