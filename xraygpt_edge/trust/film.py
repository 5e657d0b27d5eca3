"""Whether a film is like those that the figures come from: its distance from reference films."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.errors import BundleIncompatible

MOST_AXES = 60
FILMS_PER_AXIS = 3
"""Fewer films than this an axis, and its variance is a guess."""
FOLDS = 5
QUANTILE = 0.99
"""Of held-out reference films lie below the threshold."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceFilms:
    """Where reference films lie among image embeddings."""

    mean: Array
    """(n,)"""
    axes: Array
    """(n_axes, n), the principal ones, of length 1."""
    variances: Array
    """(n_axes,) of the films along each axis."""
    rest_variance: float
    """Mean variance along all other directions."""
    threshold: float
    """Distance that one in a hundred held-out reference films exceeds."""

    def distance(self, film: Array) -> float:
        """How far a film lies from the reference films; film: (n,), as `seen` gives it.

        Raises BundleIncompatible for a film of another length.
        """
        if film.shape != self.mean.shape:
            raise BundleIncompatible("E-TRU-001", f"{len(self.mean)} numbers a film, here {len(film)}")
        return float(_distances(film[None], self)[0])


def features(embeddings: NDArray[np.float32]) -> Array:
    """A film as one vector: a single row itself, the mean of several beside their standard deviation."""
    rows = embeddings.astype(np.float64)
    return rows[0] if len(rows) == 1 else np.concatenate([rows.mean(axis=0), rows.std(axis=0)])


def seen(image: EncodedImage) -> Array:
    """What the distance is measured in: what the encoder itself saw, where a Q-Former picked from it; else `features`.

    The rows of a Q-Former hold what reports say: of badly seen films they flag 4 %, the patches all (docs/trust.md).
    """
    return features(image.embeddings) if image.patches is None else image.patches.astype(np.float64)


def fit(films: Array) -> ReferenceFilms:
    """Describe reference films (n_films, n), at least `FOLDS` of them; the threshold comes from held-out ones."""
    fold = np.arange(len(films)) % FOLDS
    held_out = [_distances(films[fold == k], _described(films[fold != k], np.inf)) for k in range(FOLDS)]
    threshold = np.quantile(np.concatenate(held_out), QUANTILE, method="higher")
    return _described(films, float(threshold))


def _described(films: Array, threshold: float) -> ReferenceFilms:
    n_films, n = films.shape
    n_axes = max(1, min(MOST_AXES, n_films // FILMS_PER_AXIS, n - 1))
    mean = films.mean(axis=0)
    _, lengths, axes = np.linalg.svd(films - mean, full_matrices=False)
    variances = lengths**2 / max(1, n_films - 1)
    total = float(variances.sum())
    kept = variances[:n_axes]
    tiny = max(total, 1.0) * 1e-12  # films that do not differ at all
    rest = max(total - float(kept.sum()), 0.0) / (n - n_axes)
    return ReferenceFilms(mean, axes[:n_axes], np.maximum(kept, tiny), max(rest, tiny), threshold)


def _distances(films: Array, reference: ReferenceFilms) -> Array:
    """Distance (n_films,) of each film: a Mahalanobis distance in which all further directions share one variance."""
    moved = films - reference.mean
    along = moved @ reference.axes.T
    rest = np.maximum((moved**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
    found: Array = (along**2 / reference.variances).sum(axis=1) + rest / reference.rest_variance
    return found
