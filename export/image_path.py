"""What all image paths have in common: a torch module from pixels to image embeddings, and its facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from xraygpt_edge.bundle import ImageRecipe

PROJECTOR = {"llama_proj.weight": "projector.weight", "llama_proj.bias": "projector.bias"}
"""All that an XrayGPT checkpoint may hold: its trainer drops what it did not train."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a bundle must say about its image path."""

    kind: Literal["released", "medclip", "llava-rad", "llava-med", "medgemma"]
    recipe: ImageRecipe
    image_tokens: int
    width: int
    notes: tuple[str, ...]
    """What was left out of which file."""
    unrounded: tuple[str, ...] = ()
    """Layers whose products stay in fp32 when the others become int8."""
    outputs: tuple[str, ...] = ("rows",)
    """Names of what the module gives, in its order."""


@dataclass(frozen=True, slots=True)
class ImagePath:
    """The original image path in torch."""

    module: nn.Module
    """float32 (batch, 3, size, size) to float32 (batch, image_tokens, width), or that and what else `outputs` names."""
    facts: ImageFacts

    def rows(self, image: Tensor) -> Tensor:
        """Image embeddings (batch, image_tokens, width)."""
        found = self.module(image)
        rows: Tensor = found if self.facts.outputs == ("rows",) else found[0]
        return rows


def left_out_note(source: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """One line on what a file holds that the image path does not use; groups, not every tensor."""
    groups: dict[str, int] = {}
    for name in names:
        group = ".".join(name.split(".")[:2])
        groups[group] = groups.get(group, 0) + 1
    listed = ", ".join(f"{group} ({count})" for group, count in sorted(groups.items()))
    return (f"not used from {source}: {listed}",) if names else ()
