"""The whole way through a DICOM file: bytes → one grey picture of 8 bits, as the profile wants it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from xraygpt_edge.dicom import geometry
from xraygpt_edge.dicom.classes import class_name
from xraygpt_edge.dicom.container import open_container, quiet
from xraygpt_edge.dicom.content import warn_of_content
from xraygpt_edge.dicom.decode import Frame, decode_frame
from xraygpt_edge.dicom.header import Header, read_header
from xraygpt_edge.dicom.layout import bit_layout
from xraygpt_edge.dicom.syntaxes import syntax_name
from xraygpt_edge.dicom.tables import modality_of, voi_of
from xraygpt_edge.dicom.values import integer, text
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.notes import Notes
from xraygpt_edge.pixels import (
    BitLayout,
    Census,
    Lut,
    Modality,
    Window,
    display_table,
    histogram,
    levels,
    look_up,
    luma,
    mimic_table,
    stored_values,
)

FEW_LEVELS = 16
"""A window that leaves fewer grey levels does not belong to these pixels."""


@dataclass(frozen=True, slots=True)
class DicomPicture:
    """A grey picture and what its file says about itself."""

    pixels: NDArray[np.uint8]
    """(rows, columns), bone is bright."""
    sop_class: str
    """Name, not UID."""
    transfer_syntax: str
    photometric: str
    rows: int
    """As stored, before any turning and stretching."""
    columns: int


def read(data: bytes, profile: str, frame_number: int | None, notes: Notes) -> DicomPicture:
    """Read one frame; raises InputRefused for everything that would have to be guessed."""
    container = open_container(data)
    dataset = container.dataset
    header = read_header(container, notes)
    warn_of_content(dataset, header, notes)
    frame = _grey(decode_frame(dataset, header, frame_number, notes), dataset, header, notes)
    census = _census(frame, dataset, header, notes)
    table = _table(census, dataset, header, profile, notes)
    pixels = look_up(table, frame.words)
    pixels = geometry.square(geometry.upright(pixels, dataset, notes), dataset, notes)
    return DicomPicture(
        pixels,
        class_name(header.sop_class),
        syntax_name(header.transfer_syntax),
        header.photometric,
        header.rows,
        header.columns,
    )


def _grey(frame: Frame, dataset: Dataset, header: Header, notes: Notes) -> Frame:
    """Colour to luma; equal channels are a grey picture in colour's clothes."""
    words = frame.words
    if header.photometric == "PALETTE COLOR":
        try:
            with quiet():
                words = apply_color_lut(words, dataset)
        except Exception:  # noqa: BLE001 - pydicom raises many kinds for a bad palette
            raise InputRefused("E-DCM-013", "the palette cannot be read") from None
        words = (words >> 8).astype(np.uint8) if words.dtype.itemsize > 1 else words
    if words.ndim == 2:
        return frame
    if np.array_equal(words[..., 0], words[..., 1]) and np.array_equal(words[..., 0], words[..., 2]):
        notes.step("colour", "three equal channels, one is used")
        return Frame(np.ascontiguousarray(words[..., 0]), None)
    notes.warn("W-IMG-001")
    return Frame(luma(words[..., :3].astype(np.uint8)), None)


def _census(frame: Frame, dataset: Dataset, header: Header, notes: Notes) -> Census:
    """Stored values, how often each occurs, and which are padding; raises InputRefused for a blank picture."""
    counts = histogram(frame.words)
    was_colour = header.samples == 3 or header.photometric == "PALETTE COLOR"
    layout = BitLayout(8, 8) if was_colour else bit_layout(frame, counts, header, dataset, notes)
    values = stored_values(layout)
    census = Census(values, counts, _padding(values, dataset, layout))
    if not census.used.any():
        census = Census(values, counts, np.zeros_like(census.padding))  # a picture of padding only
    if np.unique(values[census.used]).size < 2:
        raise InputRefused("E-IMG-004", "every pixel has the same value")
    if census.padding[counts > 0].any():
        notes.step("padding", "left out of the grey range and painted black")
    return census


def _padding(values: NDArray[np.int64], dataset: Dataset, layout: BitLayout) -> NDArray[np.bool_]:
    """Words between PixelPaddingValue and PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2)."""
    first = integer(dataset, "PixelPaddingValue")
    if first is None:
        return np.zeros(values.size, np.bool_)
    limit = integer(dataset, "PixelPaddingRangeLimit")
    low, high = sorted(_as_stored(edge, layout) for edge in (first, first if limit is None else limit))
    return (values >= low) & (values <= high)


def _as_stored(edge: int, layout: BitLayout) -> int:
    """The padding's element may be read with another sign than the pixels have."""
    if layout.signed and edge >= 1 << (layout.allocated - 1):
        return edge - (1 << layout.allocated)
    return edge


def _table(census: Census, dataset: Dataset, header: Header, profile: str, notes: Notes) -> NDArray[np.uint8]:
    """Grey value of every word under the profile."""
    monochrome1 = header.photometric == "MONOCHROME1"
    shape = text(dataset, "PresentationLUTShape")
    if shape in ("INVERSE", "IDENTITY") and (shape == "INVERSE") != monochrome1:
        notes.warn("W-DCM-042")
    modality = modality_of(dataset, signed=header.signed)
    if profile == "display":
        return _display(census, modality, voi_of(dataset, notes), notes, inverted=monochrome1)
    notes.step("grey", "least to most value over 0 to 255, then histogram equalisation, as MIMIC-CXR-JPG")
    if monochrome1:
        notes.step("polarity", "inverted once, because of MONOCHROME1")
    if modality.falls:
        notes.warn("W-DCM-043")
    return mimic_table(census, inverted=monochrome1 != modality.falls)


def _display(
    census: Census, modality: Modality, voi: Lut | Window | None, notes: Notes, *, inverted: bool
) -> NDArray[np.uint8]:
    table = display_table(census, modality, voi, inverted=inverted)
    if voi is not None and levels(table, census) < min(FEW_LEVELS, int(census.used.sum())):
        notes.warn("W-DCM-040")
        table = display_table(census, modality, None, inverted=inverted)
    return table
