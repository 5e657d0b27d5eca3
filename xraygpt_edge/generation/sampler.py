"""Logits into the next token."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.generation.request import Sampling

Sampler: TypeAlias = Callable[[NDArray[np.float32]], int]
"""Takes logits (n_vocab,) and returns the next token id."""

NEAR_TIE = 0.2
"""Logits of a few tokens in one decode may differ from those of one, by less than half of this: on AVX-512 not in a
single bit with rounded weights as in the file, by 0.006 with F16; by 0.25 with repacked ones, which get no drafts."""


def sampler(sampling: Sampling) -> Sampler:
    """Return a sampler for one answer; a draw depends on the seed alone."""
    if sampling.temperature == 0:
        return likeliest
    random = np.random.Generator(np.random.PCG64(sampling.seed))

    def draw(logits: NDArray[np.float32]) -> int:
        order = np.argsort(-logits, kind="stable")
        scaled = (logits[order].astype(np.float64) - logits.max()) / sampling.temperature
        probability = np.exp(scaled) / np.exp(scaled).sum()
        # The smallest set that reaches top_p; the likeliest token is always in it.
        kept = int(np.searchsorted(probability.cumsum(), sampling.top_p)) + 1
        cumulative = probability[:kept].cumsum()
        return int(order[min(kept - 1, np.searchsorted(cumulative, random.random() * cumulative[-1]))])

    return draw


def likeliest(logits: NDArray[np.float32]) -> int:
    """Return the token of the greatest logit."""
    return int(logits.argmax())


def is_near_tie(logits: NDArray[np.float32]) -> bool:
    """Whether sums in another order could turn the choice: the two best are nearer than `NEAR_TIE`."""
    second, first = np.partition(logits, -2)[-2:]
    return bool(first - second < NEAR_TIE)


def uncertainty(logits: NDArray[np.float32], token: int) -> tuple[float, float]:
    """Return the entropy of the softmax and the natural log-probability of a token, in nats, at temperature 1.

    0.1 ms for 32,000 words.
    """
    shifted = logits - logits.max()
    weights = np.exp(shifted)
    total = float(weights.sum(dtype=np.float64))
    log_total = float(np.log(total))
    return max(0.0, log_total - float(weights @ shifted) / total), float(shifted[token]) - log_total


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Natural logarithms of the softmax over the last axis, computed in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    found: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found.astype(np.float32)
