"""What a pair of files says about films: answers, panel, and likelihoods along the unrounded pair's answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge import XrayGPT
from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.loading import LoadPlan
from xraygpt_edge.parts import Parts
from xraygpt_edge.proof.parity import kl
from xraygpt_edge.trust.observation import REPORT, Observation, observe
from xraygpt_edge.trust.panel import Form

Images: TypeAlias = Sequence[EncodedImage]


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a pair of files says about one film."""

    observation: Observation
    divergence: NDArray[np.float64]
    """(n,) in nats, at each token of the unrounded pair's answer."""
    agrees: NDArray[np.bool_]
    """(n,) whether its likeliest token is the unrounded pair's."""


class Unrounded:
    """What the unrounded pair says, film by film; its logits are kept on disk, 130 KB a token with 32,000 words."""

    def __init__(self, model: XrayGPT, images: Images, form: Form, scratch: Path) -> None:
        self._scratch, self.form = scratch, form
        self.observations = [observe(model, image, form) for image in images]
        for number, image in enumerate(images):
            np.save(self._path(number), self._along(model, image, number))

    @property
    def statements(self) -> int:
        """Findings that it states, about all films."""
        return sum(
            claim.polarity == "present"
            for one in self.observations
            for sentence in one.sentences
            for claim in sentence.claims
        )

    def said(self, model: XrayGPT, images: Images, company: int = 1) -> list[Said]:
        """Ask another pair about the same films, so many of them at the same time."""
        with ThreadPoolExecutor(company) as pool:
            return list(pool.map(lambda number: self._said(model, images[number], number), range(len(images))))

    def _said(self, model: XrayGPT, image: EncodedImage, number: int) -> Said:
        observation = observe(model, image, self.form)
        original, found = np.load(self._path(number)), self._along(model, image, number)
        return Said(observation, kl(original, found), original.argmax(axis=1) == found.argmax(axis=1))

    def _along(self, model: XrayGPT, image: EncodedImage, number: int) -> NDArray[np.float32]:
        return _along(model, image, self.observations[number].generation.token_ids)

    def _path(self, number: int) -> Path:
        return self._scratch / f"logits-{number}.npy"


def lead(model: XrayGPT, image: EncodedImage, token_ids: Sequence[int]) -> float:
    """Most by which a pair of files would rather have another token, anywhere along an answer, in log-odds.

    0 for what it says itself, greedily; near 0 the answer is one of several that tie.
    """
    logits = _along(model, image, token_ids)
    return float((logits.max(axis=1) - logits[np.arange(len(token_ids)), token_ids]).max())


def _along(model: XrayGPT, image: EncodedImage, token_ids: Sequence[int]) -> NDArray[np.float32]:
    """Logits (n, n_vocab) that each token of an answer is chosen from."""
    found = model.parts.wait_for_language().logits_along(model.prompt(image.embeddings, REPORT), token_ids[:-1])
    return found[: len(token_ids)]


@contextmanager
def opened(plan: LoadPlan, company: int = 1) -> Iterator[XrayGPT]:
    """The model of a plan; each half is loaded when it is needed. company: films that are asked about at once."""
    capacity = Capacity(n_slots=company, most_slots=company)
    with XrayGPT(Parts(replace(plan, capacity=capacity)), Reader()) as model:
        yield model
