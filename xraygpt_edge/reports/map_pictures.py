"""A map as a PNG file: the film as the encoder was given it, and beside it the same with the outline."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.records import FindingMap, MapTrust
from xraygpt_edge.reports.job import output_file
from xraygpt_edge.reports.outlines import edges, inside, is_square
from xraygpt_edge.text import one_line
from xraygpt_edge.trust import words

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE_PX = 448
GAP_PX, TEXT_PX, LINE_STEP_PX, LINE_CHARS = 8, 14, 20, 125
NAME_CHARS = 60
FILL = (255, 176, 0)
FILL_SHARE = 0.25
HALO_PX, LINE_PX = 5, 2


def write(folder: Path, name: str, model_view: NDArray[np.uint8], maps: MapTrust, notice: str) -> list[Path]:
    """Write a file for each map that is shown, each whole or not at all; returns what was written.

    name: what the files' names begin with; nothing that could identify a patient. model_view: (size, size).
    Raises OutputError.
    """
    written = []
    for drawn in (each for each in maps.findings if each.shown and is_square(each)):
        written.append(folder / f"{name}-{_file_part(drawn.finding)}.png")
        with output_file(written[-1]) as stream:
            stream.write(png(model_view, drawn, notice))
    return written


def _file_part(finding: str) -> str:
    """A finding's name as part of a file name, whatever a record calls it."""
    return re.sub(r"[^a-z0-9]+", "-", finding.lower())[:NAME_CHARS].strip("-")


def png(model_view: NDArray[np.uint8], drawn: FindingMap, notice: str) -> bytes:
    """The plain film, the film with the outline, and the words that belong to it."""
    from PIL import Image, ImageDraw, ImageFont

    plain = Image.fromarray(model_view).convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    caption = (one_line(drawn.finding)[:NAME_CHARS], words.MAP, *wrap(notice, LINE_CHARS))
    height = SIDE_PX + GAP_PX + LINE_STEP_PX * len(caption)
    page = Image.new("RGB", (2 * SIDE_PX + GAP_PX, height), "white")
    page.paste(plain, (0, 0))
    page.paste(_outlined(plain, drawn), (SIDE_PX + GAP_PX, 0))
    font, pen = ImageFont.load_default(TEXT_PX), ImageDraw.Draw(page)
    for number, line in enumerate(caption):
        pen.text((4, SIDE_PX + GAP_PX // 2 + number * LINE_STEP_PX), line, "black", font)
    stream = BytesIO()
    page.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _outlined(plain: Image, drawn: FindingMap) -> Image:
    """The film with the cells at half the maximum tinted, and a dark line under a bright one around them."""
    from PIL import Image, ImageDraw

    cells = inside(drawn)
    step = SIDE_PX / len(cells)
    mask = Image.fromarray(np.array(cells, np.uint8) * round(255 * FILL_SHARE)).resize(plain.size, 0)
    picture = Image.composite(Image.new("RGB", plain.size, FILL), plain, mask)
    pen = ImageDraw.Draw(picture)
    for colour, width in (("black", HALO_PX), (FILL, LINE_PX)):
        for y, x, is_down in edges(cells):
            end = (x, y + 1) if is_down else (x + 1, y)
            pen.line([x * step, y * step, end[0] * step, end[1] * step], colour, width)
    return picture
