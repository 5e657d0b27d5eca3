"""Which models have maps that were held against drawn findings; without loading any."""

from __future__ import annotations

from xraygpt_edge.errors import UsageError

N_IMAGE_TOKENS = 1
"""Image embeddings of a film, in the form that was measured."""


def require_measured(n_image_tokens: int) -> None:
    """Raise UsageError for a form of the model whose maps nobody has held against drawn findings."""
    if n_image_tokens != N_IMAGE_TOKENS:
        raise UsageError("E-TRU-010", f"{n_image_tokens} image embeddings a film")
