"""Whether a sentence rests on the image: how much likelier its words are with this film than with a contrast film.

It tells whether the model looks at the image, not whether it is right: a wrong sentence rests on the image too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.engine import Ask, XrayGPT
from xraygpt_edge.findings import Place
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import Reliance
from xraygpt_edge.trust import support
from xraygpt_edge.trust.claims import Sentence

MOST_NATS, LEAST_NATS = 1.0, 0.1
"""Of the bound: above, it would mark what rests on the image; below, a model that sees nothing would pass by the noise
of sums in another order."""
BOUND_QUANTILE = 0.05
SHOWS = 2.0
"""Log-odds above which the panel shows a finding in a contrast film."""
MOST_CONTRASTS = 8

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """An answer whose sentences are held against contrast films."""

    ask: Ask
    token_ids: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    """Of its tokens with the film itself, as they were generated."""
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ContrastFilms:
    """Films whose likelihoods an answer's are held against."""

    embeddings: NDArray[np.float32]
    """(n_films, n_image_tokens, n_embd); the first is the most normal one."""
    shows: NDArray[np.bool_]
    """(n_films, n_places) what the panel sees in each."""


def choose(z: Array) -> list[int]:
    """Numbers of the film that the panel calls most normal, and of few that together show every finding.

    z: (n_films, n_places).
    """
    chosen = [int(z.max(axis=1).argmin())]
    shown = z > SHOWS
    left = shown.any(axis=0)
    while left.any() and len(chosen) <= MOST_CONTRASTS:
        chosen.append(int((shown & left).sum(axis=1).argmax()))
        left &= ~shown[chosen[-1]]
    return chosen


def nats(
    model: XrayGPT,
    spoken: Spoken,
    places: Sequence[Place],
    contrast: ContrastFilms,
    deadline: Deadline | None = None,
) -> list[float | None]:
    """For each sentence how much likelier its tokens are with the film than without, in nats; None where none can tell.

    Nothing behind the last sentence that can be held against a film is computed.
    """
    pairs = [(sentence, _contrasts(sentence, places, contrast)) for sentence in spoken.sentences]
    end = max((s.token_range[1] for s, films in pairs if films and s.token_range), default=0)
    needed = sorted({film for _, films in pairs for film in films}) if end else []
    behind = [Prefix(model.prompt(contrast.embeddings[film], spoken.ask)) for film in needed]
    given, own = spoken.token_ids[:end], np.array(spoken.log_probabilities[:end], np.float64)
    scored = model.parts.wait_for_language().score([(prefix, given) for prefix in behind], deadline)
    gains: dict[int, Array] = {film: own - log_p for film, log_p in zip(needed, scored, strict=True)}
    return [_mean_gain(sentence, [gains[film] for film in films if end]) for sentence, films in pairs]


def verdict(found: float | None, bound_nats: float) -> Reliance | None:
    """In words; None where nothing could be told."""
    return None if found is None else "little" if found < bound_nats else "rests"


def bound(found: Sequence[float]) -> float:
    """The bound of "little" from reference films' sentences: half their 5th percentile, at most 1 nat."""
    half = float(np.quantile(found, BOUND_QUANTILE)) / 2 if len(found) else MOST_NATS
    return min(MOST_NATS, max(LEAST_NATS, half))


def _contrasts(sentence: Sentence, places: Sequence[Place], contrast: ContrastFilms) -> list[int]:
    """Films that a sentence is held against: the normal one for what it states, for a denial those that have it."""
    if any(claim.polarity == "present" for claim in sentence.claims):
        return [0]
    return np.flatnonzero((contrast.shows & support.denied(sentence, places)).any(axis=1)).tolist()


def _mean_gain(sentence: Sentence, gains: Sequence[Array]) -> float | None:
    if not gains or sentence.token_range is None:
        return None
    start, end = sentence.token_range
    return float(np.mean([gain[start:end].sum() for gain in gains]))
