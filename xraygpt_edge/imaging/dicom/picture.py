"""One grey picture out of one DICOM file: the stages in order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.colour import rgb_to_grey
from xraygpt_edge.imaging.dicom.colour import colour_bytes, palette_to_rgb
from xraygpt_edge.imaging.dicom.container import open_container
from xraygpt_edge.imaging.dicom.content import look_at_content
from xraygpt_edge.imaging.dicom.decode import Frame, decode_frame
from xraygpt_edge.imaging.dicom.geometry import orient, square_pixels
from xraygpt_edge.imaging.dicom.grey import grey_pixels
from xraygpt_edge.imaging.dicom.header import Header, read_header
from xraygpt_edge.imaging.dicom.tags import TAGS
from xraygpt_edge.imaging.pixels import plain_pixels


def read(data: bytes, frame: int | None, profile: str, notes: Notes) -> NDArray[np.uint8]:
    """Read one frame, counted from 1: (rows, columns), 0 black, bone bright; raises InputRefused."""
    container = open_container(data, TAGS)
    header = read_header(container, notes)
    look_at_content(container.dataset, header, notes)
    decoded = decode_frame(container.dataset, header, frame, notes)
    grey = _to_grey(decoded, container.dataset, header, profile, notes)
    upright = orient(grey, container.dataset, notes)
    return square_pixels(upright, container.dataset, notes)


def _to_grey(frame: Frame, dataset: Dataset, header: Header, profile: str, notes: Notes) -> NDArray[np.uint8]:
    if header.photometric.startswith("MONOCHROME"):
        return grey_pixels(frame, dataset, header, profile, notes)
    if header.photometric == "PALETTE COLOR":
        notes.step("palette", "each value looked up in the file's table of colours")
        grey = rgb_to_grey(palette_to_rgb(frame, dataset, header, notes), notes)
    else:
        grey = rgb_to_grey(colour_bytes(frame.words, header, notes), notes)
    if profile == "mimic-jpg":
        notes.step("range", "smallest to largest value become 0 to 255")
        notes.step("equalize", "grey levels spread evenly, as for the model's training pictures")
    return plain_pixels(grey, profile)
