"""The films of a comparison, read once: every precision gets the same pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from export.errors import ExportRefused
from xraygpt_edge import XrayGPT
from xraygpt_edge.batch.walk import look_at, walk
from xraygpt_edge.bundle import ImageRecipe
from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import Radiograph, ReadOptions
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.preprocess import fit


@dataclass(frozen=True, slots=True, eq=False)
class Films:
    """What could be read of a folder."""

    radiographs: tuple[Radiograph, ...]
    """Of the size that the encoder takes."""
    refused: int


def read(folder: Path, recipe: ImageRecipe) -> Films:
    """Read every radiograph below a folder; raises ExportRefused where there is none."""
    found = [entry.path for entry in walk(folder, folder) if not entry.skip and not entry.unreadable]
    films, refused = [], 0
    with Reader() as reader:
        for path in (folder / name for name in found if not look_at(folder / name).skip):
            try:
                radiograph = reader.read(path, ReadOptions())
            except InputRefused:
                refused += 1
                continue
            films.append(replace(radiograph, pixels=np.asarray(fit(radiograph.pixels, recipe))))
    if not films:
        raise ExportRefused("There is nothing to compare with.", [f"no radiograph below {folder} could be read"])
    return Films(tuple(films), refused)


def encoded(model: XrayGPT, films: Films) -> list[EncodedImage]:
    """Encode all with the model's own encoder; raises UnusableOutput."""
    return [model.encode_radiograph(radiograph) for radiograph in films.radiographs]
