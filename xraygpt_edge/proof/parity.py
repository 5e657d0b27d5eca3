"""Every exported precision beside the original: the same pictures, the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.bundle import ImageRecipe, PromptRecipe
from xraygpt_edge.devices import Device
from xraygpt_edge.encoder import Encoder
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.prompt import Prompt, Template, around, control_tokens
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.proof.receipts import Case, picture_tensor

Figures = dict[str, float]
Parity = dict[str, dict[str, Figures]]
"""part (vision, language, together) → precision → figure."""
Embeddings = list[NDArray[np.float32]]

DIGITS = 4
"""Of a figure in the manifest."""
COSINE_DIGITS = 6
"""Of a cosine, where what is missing to 1 is what counts."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The files to measure, by precision, in the bundle's order."""

    vision: dict[str, Path]
    language: dict[str, Path]
    recipe: ImageRecipe
    prompt: PromptRecipe

    @property
    def template(self) -> Template:
        """The bundle's own."""
        return self.prompt.templates[self.prompt.default]


def measure(exported: Exported, cases: Sequence[Case], threads: int) -> Parity:
    """All figures: encoders alone, language files on the original's image embeddings, and with the first encoder's."""
    device = Device("cpu", threads)
    embeddings = {
        precision: _embeddings(path, exported.recipe, cases, device) for precision, path in exported.vision.items()
    }
    parity: Parity = {
        "vision": {
            precision: vision_figures(found, [c.embeddings for c in cases]) for precision, found in embeddings.items()
        },
        "language": {},
        "together": {},
    }
    original: Embeddings = [case.embeddings for case in cases]
    first_vision = next(iter(embeddings))
    named, spaced = control_tokens(exported.prompt.templates.values()), exported.prompt.space_after_control
    options = CoreOptions(control_tokens=named, space_after_control=spaced)
    for precision, path in exported.language.items():
        scheduler = Scheduler.load(path, device, options)
        parity["language"][precision] = _language(scheduler, exported.template, cases, original)
        pair = f"{first_vision} + {precision}"
        parity["together"][pair] = _language(scheduler, exported.template, cases, embeddings[first_vision])
        scheduler.close()
    return parity


def vision_figures(found: Embeddings, expected: Embeddings) -> Figures:
    """Largest difference, and the cosine of the row that turned furthest."""
    difference = max(float(np.abs(f - e).max()) for f, e in zip(found, expected, strict=True))
    largest = max(1.0, *(float(np.abs(e).max()) for e in expected))
    cosines = [cosine for f, e in zip(found, expected, strict=True) for cosine in _cosines(f, e)]
    return _rounded({"max_abs": difference, "max_abs_relative": difference / largest, "cosine_min": min(cosines)})


def language_figures(found: Embeddings, cases: Sequence[Case]) -> Figures:
    """Agreement along the original's own answers.

    found: for each case logits (len(answer), n_vocab).
    """
    first = [f[0].argmax() == case.answer[0] for f, case in zip(found, cases, strict=True)]
    top = [token for f, case in zip(found, cases, strict=True) for token in f.argmax(axis=1) == case.answer]
    divergence = np.concatenate([kl(case.logits, f) for f, case in zip(found, cases, strict=True)])
    return _rounded(
        {
            "first_token_agreement": float(np.mean(first)),
            "top1_agreement": float(np.mean(top)),
            "mean_kl": float(divergence.mean()),
            "max_kl": float(divergence.max()),
            "first_logits_max_abs": max(
                float(np.abs(f[0] - case.logits[0]).max()) for f, case in zip(found, cases, strict=True)
            ),
        }
    )


def kl(original: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float64]:
    """Divergence in nats at each position, from logits (positions, n_vocab)."""
    p, q = _log_softmax(original), _log_softmax(found)
    divergence: NDArray[np.float64] = (np.exp(p) * (p - q)).sum(axis=1)
    return divergence


def _embeddings(model: Path, recipe: ImageRecipe, cases: Sequence[Case], device: Device) -> Embeddings:
    encoder = Encoder.load(model, recipe.size_px, device)
    embeddings = [encoder.encode(picture_tensor(case.picture, recipe)).embeddings for case in cases]
    encoder.close()
    return embeddings


def _language(scheduler: Scheduler, template: Template, cases: Sequence[Case], embeddings: Embeddings) -> Figures:
    """Figures of one language file; token ids must be the original's before logits mean anything."""
    found: Embeddings = []
    equal_ids = 0
    for case, image in zip(cases, embeddings, strict=True):
        before, after = scheduler.token_ids(*around(template, case.question))
        equal_ids += (tuple(before), tuple(after)) == (case.ids_before, case.ids_after)
        prompt = Prompt((case.ids_before, image, case.ids_after))
        found.append(scheduler.logits_along(prompt, case.answer[:-1]))
    return {"equal_ids": equal_ids / len(cases), **language_figures(found, cases)}


def _cosines(found: NDArray[np.float32], expected: NDArray[np.float32]) -> list[float]:
    f, e = found.astype(np.float64), expected.astype(np.float64)
    norms = np.linalg.norm(f, axis=1) * np.linalg.norm(e, axis=1)
    return [float(value) for value in (f * e).sum(axis=1) / norms]


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _rounded(figures: Figures) -> Figures:
    digits = {"cosine_min": COSINE_DIGITS}
    return {name: float(f"{value:.{digits.get(name, DIGITS)}g}") for name, value in figures.items()}
