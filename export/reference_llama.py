"""The unquantized language model in torch, one layer in memory at a time.

A 7B model in float32 is 27 GB; streamed from its shards it answers in about 2 GB, slowly. What it
says is the reference that every GGUF is measured against.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm

from export.checkpoints import fill
from export.vicuna import LAYER, Vicuna

KEPT_MAX_BYTES = 2 << 30
"""A model below this size is kept instead of read again for every token."""


@dataclass(frozen=True, slots=True)
class EmbeddedPrompt:
    """Token ids around image embeddings."""

    before: tuple[int, ...]
    embeddings: NDArray[np.float32]
    """(n_image_tokens, n_embd)"""
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Continuation:
    """The likeliest answer, and what the model thought at each of its tokens."""

    token_ids: tuple[int, ...]
    logits: NDArray[np.float32]
    """(len(token_ids), n_vocab): row k is what token k was chosen from."""


class Streamed(ABC):
    """Greedy answers of the original weights in float32, whatever kind of language model they are of."""

    @torch.no_grad()
    def answer(self, prompts: Sequence[EmbeddedPrompt], length: int) -> list[Continuation]:
        """The first tokens of each answer; all prompts go through a layer while it is in memory."""
        caches = [DynamicCache() for _ in prompts]
        self._begin(prompts)
        hidden = [self._embed(prompt) for prompt in prompts]
        ids: list[list[int]] = [[] for _ in prompts]
        logits: list[list[Tensor]] = [[] for _ in prompts]
        for _ in range(length):
            hidden = self._through_layers(hidden, caches)
            for n, last in enumerate(self._head([h[:, -1] for h in hidden])):
                logits[n].append(last)
                ids[n].append(int(last.argmax()))
            hidden = [self._embeddings_of([answer[-1]])[None] for answer in ids]
        return [
            Continuation(tuple(answer), torch.stack(steps).numpy()) for answer, steps in zip(ids, logits, strict=True)
        ]

    def _embed(self, prompt: EmbeddedPrompt) -> Tensor:
        """float32 (1, positions, width)."""
        image = torch.from_numpy(np.ascontiguousarray(prompt.embeddings))
        return torch.cat([self._embeddings_of(prompt.before), image, self._embeddings_of(prompt.after)])[None]

    def _begin(self, prompts: Sequence[EmbeddedPrompt]) -> None:  # noqa: B027 - most need to know nothing
        """Note what is asked."""

    @abstractmethod
    def _embeddings_of(self, ids: Sequence[int]) -> Tensor:
        """Embeddings float32 (n, width) as the first layer takes them."""

    @abstractmethod
    def _through_layers(self, hidden: list[Tensor], caches: list[DynamicCache]) -> list[Tensor]:
        """Each (1, positions, width) behind the last layer; its keys and values are in its cache then."""

    @abstractmethod
    def _head(self, hidden: list[Tensor]) -> Tensor:
        """(prompts, n_vocab) from the last position of each, (1, width)."""


class StreamedLlama(Streamed):
    """Greedy answers of a LLaMA's original weights in float32."""

    def __init__(self, vicuna: Vicuna) -> None:
        self._vicuna, self._shape = vicuna, vicuna.shape
        self._config = _config(vicuna)
        self._keeps_layers = _float32_bytes(vicuna) < KEPT_MAX_BYTES
        self._kept: dict[int, LlamaDecoderLayer] = {}

    def _embeddings_of(self, ids: Sequence[int]) -> Tensor:
        ((_, table),) = self._vicuna.tensors(["model.embed_tokens.weight"])
        return table[torch.tensor(ids, dtype=torch.long)].float()

    def _through_layers(self, hidden: list[Tensor], caches: list[DynamicCache]) -> list[Tensor]:
        starts = [cache.get_seq_length() for cache in caches]
        angles = [self._angles(start, h.shape[1]) for start, h in zip(starts, hidden, strict=True)]
        for n in range(self._shape.layers):
            layer = self._layer(n)
            hidden = [
                layer(h, position_embeddings=angle, past_key_values=cache, use_cache=True)
                for h, angle, cache in zip(hidden, angles, caches, strict=True)
            ]
        return hidden

    def _angles(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine, each (1, count, head_width)."""
        return angles(self._shape.rotary_frequencies(), start, count)

    def _layer(self, n: int) -> LlamaDecoderLayer:
        if n in self._kept:
            return self._kept[n]
        prefix = f"model.layers.{n}."
        with torch.device("meta"):
            layer = LlamaDecoderLayer(self._config, n)
        names = [prefix + part for part in LAYER]
        fill(layer, {name.removeprefix(prefix): t.float() for name, t in self._vicuna.tensors(names)})
        if self._keeps_layers:
            self._kept[n] = layer
        return layer

    def _head(self, hidden: list[Tensor]) -> Tensor:
        """(prompts, n_vocab) from the last position of each, (1, width)."""
        matrix_name = "model.embed_tokens.weight" if self._shape.tied else "lm_head.weight"
        norm = LlamaRMSNorm(self._shape.width, eps=self._shape.norm_eps)
        ((_, weight),) = self._vicuna.tensors(["model.norm.weight"])
        fill(norm, {"weight": weight.float()})
        ((_, matrix),) = self._vicuna.tensors([matrix_name])
        normed: Tensor = norm(torch.cat(hidden))
        return normed @ matrix.float().T


def angles(frequencies: Tensor, start: int, count: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of count positions, each (1, count, head_width).

    frequencies: radians a position, (head_width / 2,).
    """
    half = torch.arange(start, start + count, dtype=torch.float32)[:, None] * frequencies[None]
    angle = torch.cat((half, half), dim=-1)[None]
    return angle.cos(), angle.sin()


def _config(vicuna: Vicuna) -> LlamaConfig:
    shape = vicuna.shape
    return LlamaConfig(
        hidden_size=shape.width,
        intermediate_size=shape.mlp_width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width,
        rms_norm_eps=shape.norm_eps,
        vocab_size=shape.vocabulary,
        attn_implementation="sdpa",
    )


def _float32_bytes(vicuna: Vicuna) -> int:
    shape = vicuna.shape
    attention = 2 * shape.width * shape.head_width * (shape.heads + shape.kv_heads)
    return 4 * shape.layers * (attention + 3 * shape.width * shape.mlp_width)
