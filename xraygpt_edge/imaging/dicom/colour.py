"""Palette pictures to colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.dicom.container import quiet
from xraygpt_edge.imaging.dicom.decode import Words


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
