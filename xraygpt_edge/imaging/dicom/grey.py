"""What becomes of grey words: tables, windows, padding and polarity from the header."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.decode import Frame
from xraygpt_edge.imaging.dicom.header import Header
from xraygpt_edge.imaging.dicom.layout import bit_layout
from xraygpt_edge.imaging.dicom.tables import read_lut
from xraygpt_edge.imaging.dicom.values import integer, items, number, numbers, text, value
from xraygpt_edge.imaging.pixels import (
    BitLayout,
    Census,
    Lut,
    Modality,
    VoiFunction,
    Window,
    display_table,
    histogram,
    levels,
    mimic_table,
    require_contrast,
    stored_values,
)
from xraygpt_edge.imaging.values import Film, Geometry, Graded, Range

VOI_MIN_LEVELS = 16
"""A window that leaves fewer grey levels lies beside the data."""
WINDOWS_MAX = 16
"""Of one file; the rest is not looked at."""


def grey_film(frame: Frame, dataset: Dataset, header: Header, profile: str, notes: Notes) -> Film:
    """One grey frame as it is stored, and what becomes of its words."""
    counts = histogram(frame.words)
    layout = bit_layout(frame, counts, header, dataset, notes)
    census = _census(counts, layout, dataset, notes)
    require_contrast(census)
    inverted = header.photometric == "MONOCHROME1"
    modality, voi = _read_modality(dataset, header), partial(_read_voi, dataset, header)
    if profile == "mimic-jpg":
        table = _mimic(census, modality, notes, inverted=inverted)
    else:
        table = _display(census, modality, next(voi(modality), None), dataset, notes, inverted=inverted)
    _compare_shape(dataset, header, notes)

    def grade() -> Graded:
        graded = _graded(census, modality, tuple(voi(modality)))
        return graded.inverted() if inverted else graded

    return Film(frame.words, table, grade, Geometry(*frame.words.shape))


def _census(counts: NDArray[np.int64], layout: BitLayout, dataset: Dataset, notes: Notes) -> Census:
    values = stored_values(layout)
    padding = _padding(values, layout, dataset)
    census = Census(values, counts, padding)
    detail = f"{layout.stored} of {layout.allocated} bits, {'signed' if layout.signed else 'unsigned'}"
    if census.used.any():
        low, high = census.range
        detail += f", from {low} to {high}"
    notes.step("stored values", detail)
    share = counts[padding].sum() / max(1, counts.sum())
    if share > 0:
        notes.step("padding", f"{share:.1%} of the pixels fill space outside the picture: painted black")
    return census


def _padding(values: NDArray[np.int64], layout: BitLayout, dataset: Dataset) -> NDArray[np.bool_]:
    """Words that PixelPaddingValue (and its Range Limit) name; PS3.3 C.7.5.1.1.2."""
    value_ = integer(dataset, "PixelPaddingValue")
    if value_ is None:
        return np.zeros(values.shape, np.bool_)
    limit = integer(dataset, "PixelPaddingRangeLimit")
    ends = [_stored(end, layout) for end in (value_, value_ if limit is None else limit)]
    return (values >= min(ends)) & (values <= max(ends))


def _stored(padding: int, layout: BitLayout) -> int:
    """The element may have been written with the other sign than the pixels."""
    top = 1 << layout.stored
    low, high = (-top // 2, top // 2 - 1) if layout.signed else (0, top - 1)
    if low <= padding <= high:
        return padding
    turned = padding - (1 << layout.allocated) if padding > high else padding + (1 << layout.allocated)
    return turned if low <= turned <= high else padding


def _read_modality(dataset: Dataset, header: Header) -> Modality:
    """The modality transform; an empty or zero slope counts as absent."""
    tables = items(dataset, "ModalityLUTSequence")
    lut = read_lut(tables[0], header, signed=header.signed) if tables else None
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    return Modality(slope or 1.0, intercept or 0.0, lut)


def _read_voi(dataset: Dataset, header: Header, modality: Modality) -> Iterator[Lut | Window]:
    """Every way to show the picture that can be applied: the first VOI table, then the windows."""
    tables = items(dataset, "VOILUTSequence")
    signed = header.signed if modality == Modality() else modality.intercept < 0
    lut = read_lut(tables[0], header, signed=signed) if tables else None
    if lut is not None:
        yield lut
    stated = text(dataset, "VOILUTFunction")
    function = cast(VoiFunction, stated if stated in ("LINEAR_EXACT", "SIGMOID") else "LINEAR")
    smallest = 1.0 if function == "LINEAR" else 1e-6
    pairs = zip(numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth"), strict=False)
    for centre, width in islice(pairs, WINDOWS_MAX):
        if width >= smallest:
            yield Window(centre, width, function)


def _graded(census: Census, modality: Modality, ways: Iterable[Lut | Window]) -> Graded:
    """The values that windows refer to, and those windows of the file that show something."""
    with np.errstate(over="ignore", invalid="ignore"):
        graded = Graded(modality(census.values.astype(np.float64)), census)
    if not graded.is_usable:
        return Graded.as_stored(census)
    fitting = [way for way in ways if _shows_enough(display_table(census, modality, way, inverted=False), census)]
    if fitting and isinstance(lut := fitting[0], Lut):
        whole = Range("file table", float(lut.entries.min()), float(lut.entries.max()))
        return Graded(lut(graded.values), census, (whole,))
    windows = [way.ends for way in fitting if isinstance(way, Window)]
    return replace(graded, windows=tuple(Range(f"file {n}", *ends) for n, ends in enumerate(windows, 1)))


def _mimic(census: Census, modality: Modality, notes: Notes, *, inverted: bool) -> NDArray[np.uint8]:
    if modality.falls:
        notes.warn("W-DCM-012")
    turned = inverted != modality.falls
    notes.step("range", "smallest to largest value become 0 to 255 (no window, no rescaling)")
    notes.step("polarity", _polarity(inverted=inverted, falls=modality.falls))
    notes.step("equalize", "grey levels spread evenly, as for the model's training pictures")
    return mimic_table(census, inverted=turned)


def _display(
    census: Census, modality: Modality, voi: Lut | Window | None, dataset: Dataset, notes: Notes, *, inverted: bool
) -> NDArray[np.uint8]:
    table = display_table(census, modality, voi, inverted=inverted)
    if voi is None and _has_voi(dataset):
        notes.warn("W-DCM-017", "it cannot be applied")
    elif voi is not None and not _shows_enough(table, census):
        notes.warn("W-DCM-017", "it lies beside the data")
        voi, table = None, display_table(census, modality, None, inverted=inverted)
    notes.step("modality", "table" if modality.lut else "rescaled" if modality != Modality() else "none")
    shown = "VOI table" if isinstance(voi, Lut) else "window" if voi else "the whole range"
    notes.step("window", f"{shown}, to 0..255")
    notes.step("polarity", _polarity(inverted=inverted, falls=False))
    return table


def _shows_enough(table: NDArray[np.uint8], census: Census) -> bool:
    return levels(table, census) >= VOI_MIN_LEVELS


def _has_voi(dataset: Dataset) -> bool:
    return bool(items(dataset, "VOILUTSequence") or value(dataset, "WindowWidth") is not None)


def _polarity(*, inverted: bool, falls: bool) -> str:
    if inverted and falls:
        return "MONOCHROME1 and a falling modality transform cancel: not inverted"
    if inverted:
        return "MONOCHROME1: inverted once"
    return "a falling modality transform: inverted once" if falls else "MONOCHROME2: as stored"


def _compare_shape(dataset: Dataset, header: Header, notes: Notes) -> None:
    """PresentationLUTShape repeats what the photometric interpretation says; both are applied once."""
    expected = {"INVERSE": "MONOCHROME1", "IDENTITY": "MONOCHROME2"}.get(text(dataset, "PresentationLUTShape"))
    if expected is not None and expected != header.photometric:
        notes.warn("W-DCM-009")
