"""How far a pair of files is from the unrounded pair, each figure with its interval over films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.compare.answers import Said
from export.compare.flips import flips
from xraygpt_edge.evaluate.draws import Array, Draws, Figure, Statistic, mean_of, share
from xraygpt_edge.trust.observation import Observation

HIGH = 0.99
"""Quantile of the divergences that is told."""
TIE = 0.1
"""Log-odds by which an answer that turns must move: less is a tie between yes and no, as of two wordings."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What differs; shares are of films, unless another unit is named."""

    same_text: Figure
    any_flip: Figure
    finding_flips: Figure
    side_flips: Figure
    negation_flips: Figure
    mean_dz: Figure
    """Of the panel's log-odds, in absolute value, over all films and findings."""
    max_dz: float
    verdict_flips: Figure
    """Share of the panel's answers that turn between yes and no, ties left out."""
    mean_kl: Figure
    """Nats a token, along the unrounded pair's answers."""
    high_kl: Figure
    """99 % of the tokens diverge by less."""
    top_1: Figure
    """Share of tokens that are the likeliest of both."""


def figures(original: Sequence[Observation], found: Sequence[Said]) -> Figures:
    """Compare film by film; intervals from 2,000 draws of whole films with a fixed seed."""
    draws = Draws(np.arange(len(original)))
    pairs = list(zip(original, (one.observation for one in found), strict=True))
    flipped = [flips(one.sentences, other.sentences) for one, other in pairs]

    def shared(flags: Sequence[bool]) -> Figure:
        return share(draws.figure(mean_of(np.array(flags, np.float64))), len(flags))

    z, other_z = (np.stack([one.panel.z for one in side]) for side in zip(*pairs, strict=True))
    difference = np.abs(z - other_z)
    turned = ((z > 0) != (other_z > 0)) & (difference > TIE)
    divergences = [one.divergence for one in found]
    return Figures(
        same_text=shared([one.generation.text == other.generation.text for one, other in pairs]),
        any_flip=shared([one.any for one in flipped]),
        finding_flips=shared([one.finding for one in flipped]),
        side_flips=shared([one.side for one in flipped]),
        negation_flips=shared([one.negation for one in flipped]),
        mean_dz=draws.figure(mean_of(difference.mean(axis=1))),
        max_dz=float(difference.max()),
        verdict_flips=share(draws.figure(mean_of(turned.mean(axis=1))), len(flipped)),
        mean_kl=draws.figure(_mean_per_token(divergences)),
        high_kl=draws.figure(_quantile_of_tokens(divergences)),
        top_1=draws.figure(_mean_per_token([one.agrees.astype(np.float64) for one in found])),
    )


def _mean_per_token(values: Sequence[Array]) -> Statistic:
    sums, counts = np.array([row.sum() for row in values]), np.array([len(row) for row in values])

    def statistic(weights: Array) -> Array:
        found: Array = (weights @ sums) / (weights @ counts)
        return found

    return statistic


def _quantile_of_tokens(values: Sequence[Array]) -> Statistic:
    """The value that `HIGH` of all tokens do not exceed, each film's tokens as often as the film is drawn."""
    tokens = np.concatenate(values)
    order = np.argsort(tokens)
    film: NDArray[np.intp] = np.repeat(np.arange(len(values)), [len(row) for row in values])[order]

    def statistic(weights: Array) -> Array:
        below = np.cumsum(weights[:, film], axis=1)
        first = (below >= HIGH * below[:, -1:]).argmax(axis=1)
        return tokens[order][first]

    return statistic
