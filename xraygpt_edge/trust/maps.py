"""Where in a film the software's answer about a finding comes from: parts of it are covered, one after another.

A window is covered with the mean reference film and the film encoded again; how far the panel's answer falls is read
from the image embeddings by the profile's linear read-out, so that a map of every finding costs encoder passes alone.
Each map is then checked with the language model itself. It tells what the answer depends on, not where disease is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.engine import EncodedImage, XrayGPT
from xraygpt_edge.errors import UsageError
from xraygpt_edge.findings import Place
from xraygpt_edge.imaging.preprocess import normalised
from xraygpt_edge.native import Deadline
from xraygpt_edge.trust import film, panel
from xraygpt_edge.trust.panel import Form
from xraygpt_edge.trust.profile import Profile, places_of

GRID = 14
"""Cells of a map in each direction: 16 pixels of 224."""
WINDOW = 2
"""Cells of a window in each direction: 32 pixels of 224. Larger ones point less well, smaller ones cost more."""
WINDOWS = GRID - WINDOW + 1
"""In each direction, one a cell: 13 x 13 = 169 encoder passes."""
FALL_LEAST, FALL_SHARE_LEAST = 1.0, 0.5
"""Log-odds by which the language model's own answer must fall, or which share of them, before a map is shown."""
_RIDGE = 1.0

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Covered:
    """A film with each window covered in turn."""

    embeddings: NDArray[np.float32]
    """(WINDOWS, WINDOWS, n_image_tokens, n_embd), by the window's first row and column of cells."""


class LastCovered:
    """The film that was covered last: every answer about it has the same maps. For one thread at a time."""

    def __init__(self) -> None:
        self._last: tuple[NDArray[np.float32], Covered] | None = None

    def of(
        self, model: XrayGPT, image: EncodedImage, mean_film: NDArray[np.uint8], deadline: Deadline | None = None
    ) -> Covered:
        """As `cover`, once for equal image embeddings; the model and the mean film are always the same."""
        if self._last is None or not np.array_equal(self._last[0], image.embeddings):
            self._last = image.embeddings, cover(model, image, mean_film, deadline)
        return self._last[1]


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """What one answer of the panel depends on."""

    place: str
    """Name of the finding with its side and zone."""
    values: Array
    """(GRID, GRID) mean fall of its log-odds over the windows on each cell; the first row is the film's top."""
    window: tuple[int, int]
    """First row and column of cells of the window whose covering lets it fall most."""
    z: float
    """Log-odds of the language model's own answer."""
    z_covered: float
    """The same with that window covered."""

    @property
    def is_borne_out(self) -> bool:
        """The language model's own answer depends on the window too."""
        fall = self.z - self.z_covered
        return fall >= FALL_LEAST or (self.z > 0 and fall >= FALL_SHARE_LEAST * self.z)


def read_outs(features: Array, z: Array) -> Array:
    """The panel as a linear function of the features, (n_places, n + 1), by ridge regression without labels.

    features: (n_films, n) as `film.features` gives them. z: (n_films, n_places) of the panel.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
    inputs = (features - mean) / scale
    if len(inputs) < inputs.shape[1]:  # the same solution from the smaller system
        weights = inputs.T @ np.linalg.solve(inputs @ inputs.T + _RIDGE * np.eye(len(inputs)), z - z.mean(axis=0))
    else:
        square = inputs.T @ inputs + _RIDGE * np.eye(inputs.shape[1])
        weights = np.linalg.solve(square, inputs.T @ (z - z.mean(axis=0)))
    per_feature = (weights / scale[:, None]).T
    return np.concatenate([per_feature, (z.mean(axis=0) - per_feature @ mean)[:, None]], axis=1)


def cover(
    model: XrayGPT, image: EncodedImage, mean_film: NDArray[np.uint8], deadline: Deadline | None = None
) -> Covered:
    """Encode a film with each window covered: 169 passes, one after another.

    Together they would save a sixth, and an int8 encoder would round each by what is in the others.
    mean_film: (size, size). Raises UsageError where the picture is not there, OutOfTime.
    """
    if image.model_view is None:
        raise UsageError("E-TRU-010", "only its embeddings are there")
    recipe = model.parts.plan.bundle.manifest.image
    found = [
        model.parts.encode(normalised(view, recipe), deadline).embeddings
        for view in covered_views(image.model_view, mean_film)
    ]
    return Covered(np.stack(found).reshape(WINDOWS, WINDOWS, *found[0].shape))


def covered_views(view: NDArray[np.uint8], filling: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The picture (size, size) with each window taken from another picture, row by row."""
    edges = np.linspace(0, len(view), GRID + 1).round().astype(int)
    for top in range(WINDOWS):
        for left in range(WINDOWS):
            rows, columns = (slice(edges[first], edges[first + WINDOW]) for first in (top, left))
            covered = view.copy()
            covered[rows, columns] = filling[rows, columns]
            yield covered


def falls(image: EncodedImage, covered: Covered, weights: Array) -> Array:
    """(n_places, WINDOWS, WINDOWS) how far the read-out of each place falls with each window covered.

    weights: (n_places, n + 1) as `read_outs` gives them.
    """
    windows = covered.embeddings.reshape(-1, *covered.embeddings.shape[2:])
    lost = film.features(image.embeddings) - np.stack([film.features(embeddings) for embeddings in windows])
    found: Array = weights[:, :-1] @ lost.T
    return found.reshape(-1, WINDOWS, WINDOWS)


def spread(windows: Array) -> Array:
    """Means over the windows on each cell: (..., WINDOWS, WINDOWS) into (..., GRID, GRID)."""
    total, count = np.zeros((*windows.shape[:-2], GRID, GRID)), np.zeros((GRID, GRID))
    for row in range(WINDOW):
        for column in range(WINDOW):
            cells = (slice(row, row + WINDOWS), slice(column, column + WINDOWS))
            total[(..., *cells)] += windows
            count[cells] += 1
    found: Array = total / count
    return found


def best_window(windows: Array) -> tuple[int, int]:
    """First row and column of cells of the window with the largest fall; windows: (WINDOWS, WINDOWS)."""
    row, column = divmod(int(windows.argmax()), WINDOWS)
    return row, column


def z_covered(
    model: XrayGPT,
    image: EncodedImage,
    covered: Covered,
    place: Place,
    window: tuple[int, int],
    form: Form = "question",
    deadline: Deadline | None = None,
) -> float:
    """Log-odds of the language model's own answer about a place with a window covered."""
    hidden = replace(image, embeddings=covered.embeddings[window])
    return float(panel.ask(model, hidden, [place], form, deadline).z[0])


def draw(
    model: XrayGPT,
    image: EncodedImage,
    covered: Covered,
    found: Profile,
    z: Sequence[float],
    wanted: Sequence[int],
    deadline: Deadline | None = None,
) -> tuple[Map, ...]:
    """Map of each place that is wanted, by its number among those of the panel, checked with the language model.

    z: (n_places,) log-odds of the panel with the whole film. Raises what `panel.ask` raises.
    """
    places, fallen, drawn = places_of(model.parts.plan), falls(image, covered, found.read_outs), []
    for place in wanted:
        window = best_window(fallen[place])
        without = z_covered(model, image, covered, places[place], window, found.head.form, deadline)
        drawn.append(Map(places[place].name, spread(fallen[place]), window, float(z[place]), without))
    return tuple(drawn)
