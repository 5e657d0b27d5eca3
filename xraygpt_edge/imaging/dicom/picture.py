"""One grey picture out of one DICOM file: the stages in order."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.colour import rgb_to_grey
from xraygpt_edge.imaging.dicom.colour import colour_bytes, palette_to_rgb
from xraygpt_edge.imaging.dicom.container import open_container
from xraygpt_edge.imaging.dicom.content import look_at_content
from xraygpt_edge.imaging.dicom.decode import Frame, decode_frame
from xraygpt_edge.imaging.dicom.geometry import read_geometry
from xraygpt_edge.imaging.dicom.grey import grey_film
from xraygpt_edge.imaging.dicom.header import Header, read_header
from xraygpt_edge.imaging.dicom.tags import TAGS
from xraygpt_edge.imaging.values import Film, plain


def read(data: bytes, frame: int | None, profile: str, notes: Notes) -> Film:
    """Read one frame, counted from 1; raises InputRefused."""
    container = open_container(data, TAGS)
    header = read_header(container, notes)
    look_at_content(container.dataset, header, notes)
    decoded = decode_frame(container.dataset, header, frame, notes)
    film = _film(decoded, container.dataset, header, profile, notes)
    rows, columns = film.words.shape
    return replace(film, geometry=read_geometry(rows, columns, container.dataset, notes))


def _film(frame: Frame, dataset: Dataset, header: Header, profile: str, notes: Notes) -> Film:
    """As it is stored, neither turned nor stretched."""
    if header.photometric.startswith("MONOCHROME"):
        return grey_film(frame, dataset, header, profile, notes)
    if header.photometric == "PALETTE COLOR":
        notes.step("palette", "each value looked up in the file's table of colours")
        grey = rgb_to_grey(palette_to_rgb(frame, dataset, header, notes), notes)
    else:
        grey = rgb_to_grey(colour_bytes(frame.words, header, notes), notes)
    if profile == "mimic-jpg":
        notes.step("range", "smallest to largest value become 0 to 255")
        notes.step("equalize", "grey levels spread evenly, as for the model's training pictures")
    return plain(grey, profile)
