"""Where in a word the stored value lies, also when the header is wrong about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.codestream import Stream
from xraygpt_edge.imaging.dicom.decode import Frame, Words
from xraygpt_edge.imaging.dicom.header import Header
from xraygpt_edge.imaging.dicom.tags import OVERLAY_BIT_POSITION, OVERLAY_DATA, OVERLAY_GROUPS
from xraygpt_edge.imaging.dicom.values import integer
from xraygpt_edge.imaging.pixels import BitLayout, stored_values

SAMPLE_ROWS = 64
"""Rows that are compared when the header and the bits disagree."""


def bit_layout(frame: Frame, counts: NDArray[np.int64], header: Header, dataset: Dataset, notes: Notes) -> BitLayout:
    """The layout that the header states, corrected by the stream or by the pixels themselves.

    counts: how often each word occurs, (256,) or (65536,).
    """
    allocated = 8 * frame.words.dtype.itemsize
    if frame.stream is not None:  # decoders return the value in the lowest bits
        warn_of_high_bit(header, notes)
        return _stream_layout(frame.words, frame.stream, header, notes)
    layout = BitLayout(allocated, header.bits_stored, 0, header.signed)
    if header.high_bit != header.lowest_high_bit:
        return _odd_layout(layout, counts, header, notes)
    if _fits(layout, counts) or _has_overlay_bits(dataset, header):
        return layout
    whole = replace(layout, stored=allocated)
    if _roughness(frame.words, whole) >= _roughness(frame.words, layout):
        return layout  # rubbish above the value: masked away
    notes.warn("W-DCM-010", f"BitsStored says {header.bits_stored}")
    return whole


def warn_of_high_bit(header: Header, notes: Notes) -> None:
    """Say that HighBit is not followed, where it says another thing than BitsStored."""
    if header.high_bit != header.lowest_high_bit:
        notes.warn("W-DCM-022", f"HighBit {header.high_bit}, BitsStored {header.bits_stored}")


def _odd_layout(lowest: BitLayout, counts: NDArray[np.int64], header: Header, notes: Notes) -> BitLayout:
    """HighBit says that the value lies higher up, or says nonsense: the pixels tell which."""
    shift = header.high_bit - header.lowest_high_bit
    fits = _fits(lowest, counts)
    uses_bits_below = shift > 0 and bool(np.any(np.flatnonzero(counts) & ((1 << shift) - 1)))
    if 0 < shift <= lowest.allocated - lowest.stored and not (fits and uses_bits_below):
        notes.warn("W-DCM-011", f"HighBit {header.high_bit}, BitsStored {header.bits_stored}")
        return replace(lowest, shift=shift)
    if not fits:
        raise InputRefused("E-DCM-013", "HighBit and BitsStored do not fit the pixels")
    warn_of_high_bit(header, notes)
    return lowest


def _stream_layout(words: Words, stream: Stream, header: Header, notes: Notes) -> BitLayout:
    """Where header and stream disagree about the sign, the picture without a break is the true one."""
    allocated = 8 * words.dtype.itemsize
    stated = BitLayout(allocated, min(stream.precision, allocated), 0, header.signed)
    if stream.signed in (None, header.signed):
        return stated
    other = replace(stated, signed=not header.signed)
    if _roughness(words, other) >= _roughness(words, stated):
        return stated
    notes.warn("W-DCM-021")
    return other


def _fits(layout: BitLayout, counts: NDArray[np.int64]) -> bool:
    """Every word that occurs is a value of the stated size, zero or sign extended."""
    words = np.flatnonzero(counts)
    above = words >> layout.stored
    if not layout.signed:
        return not above.any()
    ones = (1 << (layout.allocated - layout.stored)) - 1
    negative = (words >> (layout.stored - 1)) & 1
    return bool(np.all((above == 0) | ((above == ones) & (negative == 1))))


def _has_overlay_bits(dataset: Dataset, header: Header) -> bool:
    """An old overlay sits in the unused bits of the pixels."""
    for group in OVERLAY_GROUPS:
        position = integer(dataset, group << 16 | OVERLAY_BIT_POSITION)
        if position and position >= header.bits_stored and (group << 16 | OVERLAY_DATA) not in dataset:
            return True
    return False


def _roughness(words: Words, layout: BitLayout) -> float:
    """Mean step between neighbours. A wrapped or littered picture is rougher than the true one."""
    rows = words[:: max(1, words.shape[0] // SAMPLE_ROWS)]
    values = stored_values(layout)[rows]
    return float(np.abs(np.diff(values, axis=1)).mean()) if values.shape[1] > 1 else 0.0
