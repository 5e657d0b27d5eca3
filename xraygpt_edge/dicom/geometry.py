"""Orientation and aspect ratio: only what the header states beyond doubt is applied."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from xraygpt_edge.dicom.values import numbers, text
from xraygpt_edge.notes import Notes

UPRIGHT = "L\\F"
"""Columns run to the patient's left, rows to the feet: a frontal film as it hangs."""
FLIPS = {"R\\F": (False, True), "L\\H": (True, False), "R\\H": (True, True)}
"""PatientOrientation → (top to bottom, left to right). FieldOfView tags say what was done already."""
SQUARE_TOLERANCE = 0.01
MAX_RATIO = 4.0
"""A detector's pixels are nearly square; a larger ratio is a mistake in the header."""


def upright(pixels: NDArray[np.uint8], dataset: Dataset, notes: Notes) -> NDArray[np.uint8]:
    """Turn a picture whose PatientOrientation says exactly how it is mirrored."""
    orientation = text(dataset, "PatientOrientation")
    if orientation in FLIPS:
        vertical, horizontal = FLIPS[orientation]
        notes.warn("W-DCM-030", f"PatientOrientation {orientation}")
        notes.step("orientation", "mirrored as PatientOrientation says")
        return np.ascontiguousarray(pixels[:: -1 if vertical else 1, :: -1 if horizontal else 1])
    if orientation not in ("", UPRIGHT):
        notes.warn("W-DCM-031")
    return pixels


def square(pixels: NDArray[np.uint8], dataset: Dataset, notes: Notes) -> NDArray[np.uint8]:
    """Stretch the side with the longer pixels, so that a circle is a circle."""
    ratio = _height_to_width(dataset)
    if ratio is None or abs(ratio - 1) <= SQUARE_TOLERANCE:
        return pixels
    rows, columns = pixels.shape
    size = (columns, round(rows * ratio)) if ratio > 1 else (round(columns / ratio), rows)
    notes.warn("W-DCM-032", f"{columns} x {rows} became {size[0]} x {size[1]}")
    notes.step("aspect ratio", "resampled to square pixels")
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _height_to_width(dataset: Dataset) -> float | None:
    """Height over width of a pixel; None where it is not stated or makes no sense."""
    for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        stated = numbers(dataset, keyword)
        if len(stated) == 2 and min(stated) > 0 and 1 / MAX_RATIO <= stated[0] / stated[1] <= MAX_RATIO:
            return stated[0] / stated[1]
    return None
