"""MedGemma's image path: SigLIP's vision transformer, and Gemma 3's projector behind it.

Written with transformers' modules; the names in the files are transformers' own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, Gemma3Config, Gemma3TextConfig, SiglipVisionConfig
from transformers.models.gemma3.modeling_gemma3 import Gemma3MultiModalProjector
from transformers.models.siglip.modeling_siglip import SiglipVisionTransformer

from export.checkpoints import Tensors, count_blocks, fill, take, tensor_of
from export.errors import ExportRefused

TOWER, PROJECTOR = "vision_tower.vision_model.", "multi_modal_projector."
UNUSED = (r"head\..*", r"embeddings\.position_ids")
"""Of the tower: what pools a whole image into one row."""
STEM = (
    *("embeddings.patch_embedding.weight", "embeddings.patch_embedding.bias", "embeddings.position_embedding.weight"),
    *("post_layernorm.weight", "post_layernorm.bias"),
)
PARTS = (
    *("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"),
    *(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")),
)
"""Each with a weight and a bias."""
PROJECTION = ("mm_input_projection_weight", "mm_soft_emb_norm.weight")
ACTIVATION = "gelu_pytorch_tanh"
QUERIES = 512
"""Patches that look at all others at a time: of 4,096 all at once would need 1 GB for each table of a layer."""
IN_PARTS = "xraygpt_edge_in_parts"


def attention_in_parts(
    _module: nn.Module, query: Tensor, key: Tensor, value: Tensor, _mask: None, scaling: float, **_: Any
) -> tuple[Tensor, None]:
    """Attention of all patches to all, some patches at a time; each (batch, heads, patches, head_width).

    Returns (batch, patches, heads, head_width), as transformers wants it. Rows do not depend on each other, so what is
    computed does not depend on how many there are.
    """
    turned = key.transpose(2, 3)
    some = [query[:, :, n : n + QUERIES] for n in range(0, int(query.shape[2]), QUERIES)]
    parts = [torch.softmax(part @ turned * scaling, dim=-1) @ value for part in some]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None


AttentionInterface.register(IN_PARTS, attention_in_parts)


class MedGemmaVision(nn.Module):
    """image (batch, 3, size, size) → rows (batch, image_tokens, n_embd)."""

    def __init__(self, tower: SiglipVisionConfig, image_tokens: int, n_embd: int) -> None:
        super().__init__()
        self.config = tower
        self.tower = SiglipVisionTransformer(tower)
        language = Gemma3TextConfig(hidden_size=n_embd)
        whole = Gemma3Config(language, tower.to_dict(), mm_tokens_per_image=image_tokens)
        self.projector = Gemma3MultiModalProjector(whole)

    def forward(self, image: Tensor) -> Tensor:
        """Look at the image, average neighbouring patches, and speak the language model's width."""
        rows: Tensor = self.projector(self.tower(image).last_hidden_state)
        return rows


@dataclass(frozen=True, slots=True)
class Loaded:
    """The image path, and what of its files it does not use."""

    module: MedGemmaVision
    unused: tuple[str, ...]


def load(source: str, found: Tensors, described: Mapping[str, Any], image_tokens: int) -> Loaded:
    """The image path of a checkpoint, every tensor accounted for; its sizes are those of the tensors.

    found: tensors by their names until transformers 4.51. described: `vision_config` of config.json, for what tensors
    do not show. image_tokens: rows of an image. Raises ExportRefused with all that does not fit.
    """
    depth = count_blocks(found, rf"{TOWER}encoder\.layers\.(\d+)\.")
    part = take(source, found, names(depth), [re.escape(TOWER) + name for name in UNUSED])
    config = _config(source, found, described, depth)
    require_rows(config, image_tokens)
    n_embd = tensor_of(source, found, f"{PROJECTOR}{PROJECTION[0]}").shape[1]
    with torch.device("meta"):
        module = MedGemmaVision(config, image_tokens, n_embd)
    module.tower.embeddings.position_ids = torch.arange((config.image_size // config.patch_size) ** 2)[None]
    fill(module, part.state)
    return Loaded(module, part.unused)


def names(depth: int) -> dict[str, str]:
    """Name in the file → name in the module."""
    blocks = [f"encoder.layers.{n}.{part}.{end}" for n in range(depth) for part in PARTS for end in ("weight", "bias")]
    tower = {f"{TOWER}{name}": f"tower.{name}" for name in (*STEM, *blocks)}
    return {**tower, **{f"{PROJECTOR}{name}": f"projector.{name}" for name in PROJECTION}}


def require_rows(config: SiglipVisionConfig, image_tokens: int) -> None:
    """Raise ExportRefused where patches cannot be averaged into so many rows."""
    patches, side = config.image_size // config.patch_size, math.isqrt(image_tokens)
    if side**2 != image_tokens or patches % side:
        found = f"mm_tokens_per_image is {image_tokens}, of {patches} x {patches} patches"
        raise ExportRefused("The rows of an image are no averages of whole squares of patches.", [found])


def _config(source: str, found: Tensors, described: Mapping[str, Any], depth: int) -> SiglipVisionConfig:
    """Sizes by the tensors, the rest by config.json; raises ExportRefused where they do not fit each other."""
    width, _, patch_px, _ = tensor_of(source, found, f"{TOWER}embeddings.patch_embedding.weight").shape
    positions = len(tensor_of(source, found, f"{TOWER}embeddings.position_embedding.weight"))
    side = math.isqrt(positions)
    sizes = {
        "hidden_size": width,
        "intermediate_size": len(tensor_of(source, found, f"{TOWER}encoder.layers.0.mlp.fc1.bias")),
        "num_hidden_layers": depth,
        "patch_size": patch_px,
    }
    told = {**SiglipVisionConfig().to_dict(), "image_size": side * patch_px, **described}
    right = {
        **{key: described.get(key, size) == size for key, size in sizes.items()},
        "image_size": (told["image_size"] // patch_px) ** 2 == positions,
        "num_attention_heads": width % told["num_attention_heads"] == 0,
        "hidden_act": told["hidden_act"] == ACTIVATION,
    }
    problems = [f"{key} is {told[key]!r}, which is not what its tensors are" for key, fits in right.items() if not fits]
    if problems:
        raise ExportRefused(f"{source}'s image encoder is not as its config.json describes it.", problems)
    facts = {key: told[key] for key in ("image_size", "num_attention_heads", "hidden_act", "layer_norm_eps")}
    return SiglipVisionConfig(**sizes, **facts, vision_use_head=False, attn_implementation=IN_PARTS)
