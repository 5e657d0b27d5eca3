"""Which models have maps that reached their goals on drawn findings; without loading any."""

from __future__ import annotations

from xraygpt_edge.errors import UsageError

N_IMAGE_TOKENS = 1
"""Image embeddings of a film, in the form that reached them; with 32 some were missed (docs/trust.md)."""


def require_measured(n_image_tokens: int) -> None:
    """Raise UsageError for a form of the model whose maps have not reached their goals."""
    if n_image_tokens != N_IMAGE_TOKENS:
        raise UsageError("E-TRU-010", f"{n_image_tokens} image embeddings a film")
