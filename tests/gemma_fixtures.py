"""Small MedGemmas of several dimensions, made and asked by transformers' own classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from export.synthetic_medgemma import vocabulary

VOCABULARY = 620
IMAGE_TOKEN = VOCABULARY - 1
"""Spare, so that no text becomes it."""
LANGUAGE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 7,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "sliding_window": 512,
    "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    "max_position_embeddings": 2048,
}
VISION: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 100,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 112,
    "patch_size": 14,
    "vision_use_head": False,
}


@dataclass(frozen=True)
class Form:
    """What differs from the usual one."""

    language: dict[str, Any] = field(default_factory=dict)
    vision: dict[str, Any] = field(default_factory=dict)
    image_tokens: int = 16


USUAL = Form()
WINDOWED = Form(
    {
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "sliding_window": 20,
        "rope_scaling": None,
        "rope_theta": 50000.0,
        "rope_local_base_freq": 3000.0,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "sliding_attention"],
    },
    {"image_size": 96, "patch_size": 16, "num_attention_heads": 3},
    image_tokens=9,
)
"""A window far shorter than the prompt, other heads, patches and rows, and no pattern of layers."""
LONE = Form(
    {"num_hidden_layers": 6, "num_key_value_heads": 1, "head_dim": 64, "query_pre_attn_scalar": 64, "hidden_size": 64},
    {"image_size": 56, "hidden_size": 40, "num_attention_heads": 2},
    image_tokens=4,
)
"""Heads wider than the model divided by them, and one pair of keys and values for all."""
FORMS = {"usual": USUAL, "windowed": WINDOWED, "lone": LONE}


def config_of(form: Form) -> Gemma3Config:
    return Gemma3Config(
        {**LANGUAGE, **form.language},
        {**VISION, **form.vision},
        mm_tokens_per_image=form.image_tokens,
        image_token_index=IMAGE_TOKEN,
        boi_token_index=6,
        eoi_token_index=7,
    )


def write(form: Form, folder: Path) -> Path:
    """The folder as `save_pretrained` leaves it, with a tokenizer beside it."""
    torch.manual_seed(4)
    model = Gemma3ForConditionalGeneration(config_of(form)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_norm = weight.ndim == 1
            weight.normal_(0, 0.2 if is_norm else 0.6 / weight.shape[-1] ** 0.5)
            if "layer_norm" in name or "post_layernorm" in name:
                weight.add_(1)
    model.save_pretrained(folder)
    (folder / "tokenizer.model").write_bytes(vocabulary(VOCABULARY - 3))
    return folder


def renamed(folder: Path, names: dict[str, str]) -> None:
    """Let a folder's tensors begin with other names: old → new."""
    path = folder / "model.safetensors"
    tensors = {}
    for name, tensor in load_file(path).items():
        old = next(old for old in names if name.startswith(old))
        tensors[names[old] + name.removeprefix(old)] = tensor.clone()
    save_file(tensors, path)


def edit_config(folder: Path, part: str, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    (config[part] if part else config).update(changes)
    path.write_text(json.dumps(config), "utf-8")


class Original:
    """The model as transformers runs it, float32."""

    def __init__(self, folder: Path) -> None:
        self._model = Gemma3ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def rows(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Image embeddings (rows, n_embd) of a tensor (1, 3, size, size)."""
        return self._model.get_image_features(torch.from_numpy(tensor))[0].numpy()

    @torch.no_grad()
    def logits(self, before: Sequence[int], tensor: NDArray[np.float32], after: Sequence[int]) -> NDArray[np.float32]:
        """Logits (n_vocab,) of the first token behind a prompt, all of it computed at once."""
        n_rows = self._model.config.mm_tokens_per_image
        ids = [*before, *[IMAGE_TOKEN] * n_rows, *after]
        kinds = [*[0] * len(before), *[1] * n_rows, *[0] * len(after)]
        found = self._model(
            input_ids=torch.tensor([ids]),
            token_type_ids=torch.tensor([kinds]),
            pixel_values=torch.from_numpy(tensor),
            use_cache=False,
        )
        return found.logits[0, -1].numpy()

    def greedy(
        self, before: Sequence[int], tensor: NDArray[np.float32], after: Sequence[int], length: int, lead: float
    ) -> list[int]:
        """The likeliest tokens, up to the first that leads by less."""
        found: list[int] = []
        while len(found) < length:
            logits = self.logits(before, tensor, [*after, *found])
            second, first = np.sort(logits)[-2:]
            if first - second < lead:
                break
            found.append(int(logits.argmax()))
        return found
