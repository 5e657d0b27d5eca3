"""An unquantized Gemma 3 in torch, one layer in memory at a time: what every GGUF of it is measured against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, Gemma3TextConfig
from transformers.models.gemma3.modeling_gemma3 import Gemma3DecoderLayer, Gemma3RMSNorm

from export.checkpoints import fill
from export.gemma import EMBEDDINGS, FULL, LAYER, NORM, SLIDING, Gemma, GemmaShape, expected_shape
from export.reference_llama import KEPT_MAX_BYTES, EmbeddedPrompt, Streamed, angles

FLOAT_BYTES = 4
HEAD_ROWS = 1 << 15
"""Tokens whose logits are computed at once."""


class StreamedGemma(Streamed):
    """Greedy answers of a Gemma's original weights in float32; the rows of an image look at each other."""

    def __init__(self, gemma: Gemma, n_vocab: int | None = None) -> None:
        """n_vocab: how many tokens have logits; all without it."""
        self._gemma, self._shape = gemma, gemma.shape
        self._n_vocab = n_vocab or gemma.shape.vocabulary
        self._config = _config(gemma.shape)
        self._keeps_layers = _layer_bytes(gemma.shape) * gemma.shape.layers < KEPT_MAX_BYTES
        self._kept: dict[int, Gemma3DecoderLayer] = {}
        self._images: list[range] = []

    def _begin(self, prompts: Sequence[EmbeddedPrompt]) -> None:
        self._images = [range(len(p.before), len(p.before) + len(p.embeddings)) for p in prompts]

    def _embeddings_of(self, ids: Sequence[int]) -> Tensor:
        ((_, table),) = self._gemma.tensors([EMBEDDINGS])
        return table[torch.tensor(ids, dtype=torch.long)].float() * self._shape.width**0.5

    def _through_layers(self, hidden: list[Tensor], caches: list[DynamicCache]) -> list[Tensor]:
        places = [
            _Place(self._shape, image, cache.get_seq_length(), h.shape[1])
            for image, cache, h in zip(self._images, caches, hidden, strict=True)
        ]
        for n, has_window in enumerate(self._shape.has_window):
            layer = self._layer(n)
            hidden = [
                layer(
                    h,
                    position_embeddings_global=place.angles,
                    position_embeddings_local=place.window_angles,
                    attention_mask=place.window_mask if has_window else place.mask,
                    past_key_values=cache,
                )[0]
                for h, place, cache in zip(hidden, places, caches, strict=True)
            ]
        return hidden

    def _layer(self, n: int) -> Gemma3DecoderLayer:
        if n in self._kept:
            return self._kept[n]
        prefix = f"model.layers.{n}."
        with torch.device("meta"):
            layer = Gemma3DecoderLayer(self._config, n)
        weights = self._gemma.tensors([prefix + part for part in LAYER])
        fill(layer, {name.removeprefix(prefix): tensor.float() for name, tensor in weights})
        if self._keeps_layers:
            self._kept[n] = layer
        return layer

    def _head(self, hidden: list[Tensor]) -> Tensor:
        norm = Gemma3RMSNorm(self._shape.width, eps=self._shape.norm_eps)
        ((_, weight),) = self._gemma.tensors([NORM])
        fill(norm, {"weight": weight.float()})
        ((_, matrix),) = self._gemma.tensors([EMBEDDINGS])
        normed: Tensor = norm(torch.cat(hidden))
        parts = matrix[: self._n_vocab].split(HEAD_ROWS)  # all of it in float32 would be 2.7 GB
        return torch.cat([normed @ part.float().T for part in parts], dim=-1)


class _Place:
    """Where new positions of one prompt stand, and what they see."""

    def __init__(self, shape: GemmaShape, image: range, start: int, count: int) -> None:
        self.angles = _angles(shape, shape.rope_base, shape.rope_factor, start, count)
        self.window_angles = _angles(shape, shape.window_rope_base, 1.0, start, count)
        query, key = torch.arange(start, start + count)[:, None], torch.arange(start + count)[None]
        of_image = [(image.start <= at) & (at < image.stop) for at in (query, key)]
        within_image = of_image[0] & of_image[1]
        causal = key <= query
        self.mask = (causal | within_image)[None, None]
        """bool (1, 1, count, start + count)"""
        self.window_mask = (causal & (query - key < shape.window) | within_image)[None, None]


def _angles(shape: GemmaShape, base: float, factor: float, start: int, count: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine, each (1, count, head_width); exact frequencies, as the published program has them."""
    steps = torch.arange(0, shape.head_width, 2, dtype=torch.int64).float()
    frequencies = 1.0 / (base ** (steps / shape.head_width)) / factor
    return angles(frequencies, start, count)


def _config(shape: GemmaShape) -> Gemma3TextConfig:
    return Gemma3TextConfig(
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        query_pre_attn_scalar=shape.query_scale,
        rms_norm_eps=shape.norm_eps,
        vocab_size=shape.vocabulary,
        sliding_window=shape.window,
        layer_types=[SLIDING if has_window else FULL for has_window in shape.has_window],
        attn_implementation="sdpa",
    )


def _layer_bytes(shape: GemmaShape) -> int:
    parts = [expected_shape(f"model.layers.0.{part}", shape) for part in LAYER]
    return FLOAT_BYTES * sum(torch.Size(part).numel() for part in parts)
