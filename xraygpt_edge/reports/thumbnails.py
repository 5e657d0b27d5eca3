"""Small pictures for the HTML page: patient images, so only when asked for."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.ledger import Answered
from xraygpt_edge.reports.job import LeftOut
from xraygpt_edge.reports.rows import Radiograph

SIDE_PX = 288
"""Twice the size on the page, for fine screens."""
JPEG_QUALITY = 75


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Pictures by the radiograph's path, and the radiographs that have none."""

    jpegs: dict[Path, str]
    """JPEG in base64."""
    left_out: tuple[LeftOut, ...]


def pictures(images: Path, radiographs: Iterable[Radiograph]) -> Thumbnails:
    """Read the files again, as the batch read them; a file that has changed gets no picture."""
    jpegs: dict[Path, str] = {}
    left_out: list[LeftOut] = []
    with Reader() as reader:
        for radiograph in radiographs:
            row = radiograph.first
            try:
                jpegs[row.file] = _jpeg(pixels_of(reader, images, row))
            except InputRefused as error:
                left_out.append(LeftOut.because(row, error))
    return Thumbnails(jpegs, tuple(left_out))


def pixels_of(reader: Reader, images: Path, row: Answered) -> NDArray[np.uint8]:
    """The picture that was answered, read again as the batch read it; raises InputRefused, also for a changed file."""
    if row.file.is_absolute() or ".." in row.file.parts:
        raise InputRefused("E-REP-010", "its path leads out of the folder")
    options = ReadOptions(row.input.profile, row.input.frame, row.input.forced)
    radiograph = reader.read(images / row.file, options)
    if radiograph.source.sha256 != row.input.sha256:
        raise InputRefused("E-REP-011")
    return radiograph.pixels


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((SIDE_PX, SIDE_PX))
    stream = BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")
