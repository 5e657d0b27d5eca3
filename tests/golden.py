"""The recipes again, in plain numpy and OpenCV, as slow and obvious as possible."""

from __future__ import annotations

import cv2
import numpy as np


def mimic(values: np.ndarray, *, inverted: bool, padding: np.ndarray | None = None) -> np.ndarray:
    """The recipe of MIMIC-CXR-JPG: shift, scale, truncate, invert, cv2.equalizeHist."""
    raw = values.astype(np.float64)
    inside = np.ones(raw.shape, bool) if padding is None else ~padding
    raw -= raw[inside].min()
    grey = (np.clip(raw / raw[inside].max(), 0, 1) * 255).astype(np.uint8)
    if inverted:
        grey = np.bitwise_not(grey)
    grey[~inside] = 0
    return cv2.equalizeHist(grey)
