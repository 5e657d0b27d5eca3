"""What the gate does with pictures of sources that its training did not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from export.gate.pictures import SIDE_PX, Original
from export.gate.spoiling import Picture
from export.gate.spoilt_kinds import KINDS, Kind
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.gate.classifier import Classifier
from xraygpt_edge.imaging.gate.look import WARNINGS, look_with, require_chest

REFUSED = "E-IMG-030"
VIEW = frozenset({REFUSED}).union(*WARNINGS.values())
"""Ids that doubt what a picture shows; the others doubt how good it is."""
TURNS = tuple(kind for kind in KINDS if kind.name.startswith(("inverted", "turned")))
"""Tried on every frontal film; the other kinds on SPOILT of each source that are not small already."""
SPOILT = 50

Table = tuple[str, list[list[str]]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the gate said about one picture."""

    source: str
    kind: str
    """What it shows, or how it was spoilt."""
    found: frozenset[str]
    right: frozenset[str] = frozenset()
    """Ids that name what is wrong with it."""


def said(gate: Classifier, picture: Picture) -> frozenset[str]:
    """Ids of what is said about a picture, but that it is small: all that were collected are."""
    notes = Notes(force=True)
    require_chest(look_with(gate, picture, notes), notes)
    return frozenset(warning.id for warning in notes.warnings) - {"W-IMG-003"}


def as_they_are(gate: Classifier, originals: Iterable[Original]) -> list[Seen]:
    """Each picture as it was collected."""
    return [Seen(original.source, original.kind, said(gate, original.pixels)) for original in originals]


def spoilt(gate: Classifier, films: Sequence[Original], seed: int) -> list[Seen]:
    """Frontal films of one source, inverted and turned, and some of them spoilt in every other way."""
    whole = [film for film in films if min(film.pixels.shape) >= SIDE_PX]
    some = [whole[place] for place in np.random.default_rng((seed, 4)).permutation(len(whole))[:SPOILT]]
    return [
        Seen(film.source, kind.name, said(gate, kind.make(film.pixels, _random(seed, kind, place))), kind.right)
        for kind in KINDS
        for place, film in enumerate(films if kind in TURNS else some)
    ]


def _random(seed: int, kind: Kind, place: int) -> np.random.Generator:
    return np.random.default_rng((seed, 5, KINDS.index(kind), place))


def photographs(folder: Path) -> list[Original]:
    """Pictures in a folder that are no radiographs, each whole and in nine parts."""
    found = []
    for file in sorted(path for path in folder.iterdir() if path.suffix in {".jpg", ".jpeg", ".png"}):
        with Image.open(file) as image:
            picture = np.asarray(image.convert("L"))
        rows, columns = (side // 3 for side in picture.shape)
        parts = [picture[a * rows :, b * columns :][:rows, :columns] for a in range(3) for b in range(3)]
        found += [Original(part, "photo", folder.name) for part in (picture, *parts) if np.ptp(part) > 60]
    return [original for original in found if min(original.pixels.shape) >= 64]


SOURCE_HEAD = ["source", "picture", "n", "view doubted", "refused", "anything said"]
KIND_HEAD = ["spoilt how", "n", "view doubted", "named right", "anything said"]


def tables(seen: Iterable[Seen], films: Iterable[Seen]) -> list[Table]:
    """Pictures as they are by source, and spoilt films by kind; figures are shares of n."""
    by_source = [[*key, str(len(rows)), *_shares(rows, _doubts, _refuses, _says)] for key, rows in _groups(seen)]
    by_kind = [[*key, str(len(rows)), *_shares(rows, _doubts, _names, _says)] for key, rows in _groups(films, "kind")]
    return [("Sources left out", [SOURCE_HEAD, *by_source]), ("Films spoilt", [KIND_HEAD, *by_kind])]


def _groups(rows: Iterable[Seen], *keys: str) -> list[tuple[tuple[str, ...], list[Seen]]]:
    groups: dict[tuple[str, ...], list[Seen]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, key) for key in keys or ("source", "kind")), []).append(row)
    return list(groups.items())


def _shares(rows: Sequence[Seen], *questions: Callable[[Seen], bool]) -> list[str]:
    return [f"{100 * np.mean([question(row) for row in rows]):.1f} %" for question in questions]


def _doubts(row: Seen) -> bool:
    return bool(row.found & VIEW)


def _refuses(row: Seen) -> bool:
    return REFUSED in row.found


def _says(row: Seen) -> bool:
    return bool(row.found)


def _names(row: Seen) -> bool:
    return bool(row.found & row.right) if row.right else not row.found
