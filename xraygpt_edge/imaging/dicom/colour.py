"""Palette pictures to colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.decode import Frame, Words
from xraygpt_edge.imaging.dicom.header import Header
from xraygpt_edge.imaging.dicom.layout import bit_layout, warn_of_high_bit
from xraygpt_edge.imaging.dicom.tables import read_lut
from xraygpt_edge.imaging.pixels import histogram, look_up, stored_values

COLOURS = ("Red", "Green", "Blue")


def palette_to_rgb(frame: Frame, dataset: Dataset, header: Header, notes: Notes) -> NDArray[np.uint8]:
    """Look the indices up in the file's palette; uint8 (rows, columns, 3)."""
    names = [f"{colour}PaletteColorLookupTable" for colour in COLOURS]
    luts = [
        read_lut(dataset, header, signed=header.signed, descriptor=f"{name}Descriptor", data=f"{name}Data")
        for name in names
    ]
    indices = stored_values(bit_layout(frame, histogram(frame.words), header, dataset, notes)).astype(np.float64)
    tables = [lut(indices) for lut in luts if lut is not None]
    if len(tables) < len(COLOURS):
        raise InputRefused("E-DCM-013", "the palette")
    highest = max(lut.entries.max() for lut in luts if lut is not None)
    shift = 8 if highest > 0xFF else 0  # tables that say 16 bits and use 8 exist
    return np.stack([look_up((table.astype(np.int64) >> shift).astype(np.uint8), frame.words) for table in tables], -1)


def colour_bytes(words: Words, header: Header, notes: Notes) -> NDArray[np.uint8]:
    """The samples of a colour picture, which have 8 bits."""
    if words.dtype != np.uint8:
        raise InputRefused("E-DCM-016", "colour with more than 8 bits a sample")
    warn_of_high_bit(header, notes)
    return words.astype(np.uint8, copy=False)
