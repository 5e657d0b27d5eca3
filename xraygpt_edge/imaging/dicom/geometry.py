"""Orientation and aspect ratio: only what the header says for certain is applied."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.values import numbers, text
from xraygpt_edge.imaging.values import Geometry

SHAPES = ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Each says height, then width (row spacing, column spacing); the first one that is sensible is followed."""
ASPECT_TOLERANCE = 0.01
ASPECT_MAX = 4.0
SIDE_MAX_PX = 16_384


def read_geometry(rows: int, columns: int, dataset: Dataset, notes: Notes) -> Geometry:
    """How a picture of this size is turned and stretched."""
    turned = _turned(Geometry(rows, columns), dataset, notes)
    rows, columns = _square(rows, columns, dataset, notes)
    return replace(turned, rows=rows, columns=columns)


def _turned(as_stored: Geometry, dataset: Dataset, notes: Notes) -> Geometry:
    """Turn a frontal view so that the patient's left is on the right and the head on top.

    FieldOfViewRotation and FieldOfViewHorizontalFlip say what was done already; they are not applied.
    """
    directions = tuple(part.strip() for part in text(dataset, "PatientOrientation").split("\\"))
    if directions == ("",):
        return as_stored
    across, down = directions if len(directions) == 2 else ("", "")
    if across not in ("L", "R") or down not in ("H", "F"):
        notes.warn("W-DCM-014")
        return as_stored
    changes = [name for name, wrong in (("left and right", across == "R"), ("top and bottom", down == "H")) if wrong]
    if changes:
        notes.warn("W-DCM-013", f"{' and '.join(changes)} exchanged")
        notes.step("orientation", f"{' and '.join(changes)} exchanged")
    return replace(as_stored, mirrored=across == "R", upended=down == "H", side="stated")


def _square(rows: int, columns: int, dataset: Dataset, notes: Notes) -> tuple[int, int]:
    """Enlarge the coarser side when pixels are not square."""
    height_to_width = _pixel_shape(dataset, notes)
    if abs(height_to_width - 1) <= ASPECT_TOLERANCE:
        return rows, columns
    if height_to_width > 1:
        wanted = round(rows * height_to_width), columns
    else:
        wanted = rows, round(columns / height_to_width)
    if max(wanted) > SIDE_MAX_PX:
        notes.warn("W-DCM-019")
        return rows, columns
    notes.warn("W-DCM-015")
    notes.step("aspect", f"resampled to square pixels: {wanted[1]} x {wanted[0]}")
    return wanted


def _pixel_shape(dataset: Dataset, notes: Notes) -> float:
    """A pixel's height divided by its width; 1 where nothing sensible is stated."""
    pairs = [pair for keyword in SHAPES if len(pair := numbers(dataset, keyword)) == 2 and min(pair) > 0]
    ratios = [height / width for height, width in pairs]
    sensible = [ratio for ratio in ratios if 1 / ASPECT_MAX <= ratio <= ASPECT_MAX]
    if len(sensible) < len(ratios):
        notes.warn("W-DCM-025", "one is beyond all detectors")
    elif any(abs(ratio / ratios[0] - 1) > ASPECT_TOLERANCE for ratio in ratios):
        notes.warn("W-DCM-025", "they differ")
    return sensible[0] if sensible else 1.0
