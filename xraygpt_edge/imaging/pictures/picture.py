"""One grey picture out of one picture file: the stages in order."""

from __future__ import annotations

import numpy as np

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.pictures import pillow
from xraygpt_edge.imaging.pictures.raster import to_grey
from xraygpt_edge.imaging.pixels import Words
from xraygpt_edge.imaging.values import Film, plain
from xraygpt_edge.records import Format

MIRRORED, HALF_TURN, FLIPPED, TRANSPOSED, QUARTER_TURN, TRANSVERSE, QUARTER_BACK = range(2, 9)
"""Values of the orientation tag of EXIF and TIFF; 1, and what it does not know, is upright."""


def read(data: bytes, kind: Format, profile: str, notes: Notes) -> Film:
    """Read the one picture of a file; raises InputRefused."""
    decoded = pillow.decode(data, kind, notes)
    words = to_grey(decoded.raster, notes)
    notes.know(rows=words.shape[0], columns=words.shape[1])
    return _as_trained(_upright(words, decoded.orientation, notes), profile, notes)


def _upright(words: Words, orientation: int, notes: Notes) -> Words:
    if orientation not in range(MIRRORED, QUARTER_BACK + 1):
        return words
    notes.step("orientation", "turned as the orientation tag says")
    notes.warn("W-IMG-009")
    turned: Words = np.swapaxes(words, 0, 1) if orientation >= TRANSPOSED else words
    if orientation in (FLIPPED, HALF_TURN, TRANSVERSE, QUARTER_BACK):
        turned = turned[::-1]
    if orientation in (MIRRORED, HALF_TURN, QUARTER_TURN, TRANSVERSE):
        turned = turned[:, ::-1]
    return turned.copy()


def _as_trained(words: Words, profile: str, notes: Notes) -> Film:
    """8 bits as they are: the model was trained on such files, which had been prepared already."""
    if words.dtype == np.uint8:
        notes.step("grey", "8-bit pictures are taken as they are")
        return plain(words, "display")
    notes.step("range", "smallest to largest value become 0 to 255")
    if profile == "mimic-jpg":
        notes.step("equalize", "grey levels spread evenly, as for the model's training pictures")
    return plain(words, profile)
