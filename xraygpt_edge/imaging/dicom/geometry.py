"""Orientation and aspect ratio: only what the header says for certain is applied."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.values import numbers, text

UPRIGHT = ("L", "F")
"""Frontal chest as it is hung: columns run to the patient's left, rows to the feet."""
SHAPES = ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Each says height, then width (row spacing, column spacing); the first one that is sensible is followed."""
ASPECT_TOLERANCE = 0.01
ASPECT_MAX = 4.0
SIDE_MAX_PX = 16_384


def orient(pixels: NDArray[np.uint8], dataset: Dataset, notes: Notes) -> NDArray[np.uint8]:
    """Turn a frontal view so that the patient's left is on the right and the head on top.

    FieldOfViewRotation and FieldOfViewHorizontalFlip say what was done already; they are not applied.
    """
    directions = tuple(part.strip() for part in text(dataset, "PatientOrientation").split("\\"))
    if directions in (UPRIGHT, ("",)):
        return pixels
    across, down = directions if len(directions) == 2 else ("", "")
    if across not in ("L", "R") or down not in ("H", "F"):
        notes.warn("W-DCM-014")
        return pixels
    changes = [name for name, wrong in (("left and right", across == "R"), ("top and bottom", down == "H")) if wrong]
    notes.warn("W-DCM-013", f"{' and '.join(changes)} exchanged")
    notes.step("orientation", f"{' and '.join(changes)} exchanged")
    return np.ascontiguousarray(pixels[:: -1 if down == "H" else 1, :: -1 if across == "R" else 1])


def square_pixels(pixels: NDArray[np.uint8], dataset: Dataset, notes: Notes) -> NDArray[np.uint8]:
    """Enlarge the coarser side when pixels are not square."""
    height_to_width = _pixel_shape(dataset, notes)
    if abs(height_to_width - 1) <= ASPECT_TOLERANCE:
        return pixels
    rows, columns = pixels.shape
    if height_to_width > 1:
        rows = round(rows * height_to_width)
    else:
        columns = round(columns / height_to_width)
    if max(rows, columns) > SIDE_MAX_PX:
        notes.warn("W-DCM-019")
        return pixels
    notes.warn("W-DCM-015")
    notes.step("aspect", f"resampled to square pixels: {columns} x {rows}")
    return np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BICUBIC))


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
