"""Two vision transformers, each without the layers behind the one that LLaVA takes: the last but one.

Written with transformers' modules; the names in the files are timm's (DINOv2) and transformers' own (CLIP).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, Dinov2Config
from transformers.models.clip.modeling_clip import CLIPEncoder, CLIPVisionEmbeddings
from transformers.models.dinov2.modeling_dinov2 import Dinov2Encoder, Dinov2PatchEmbeddings

from export.checkpoints import Tensors, count_blocks, take
from export.errors import ExportRefused

HEAD = 64
"""Width of a head in every size of both."""
DINO_EPS, CLIP_EPS = 1e-6, 1e-5
QUICK_GELU = "quick_gelu"
"""What OpenAI's CLIP was trained with."""

ENDS = ("weight", "bias")

DINO = "module.visual.trunk."
DINO_STEM = {
    "cls_token": "cls_token",
    "pos_embed": "positions",
    "patch_embed.proj.weight": "patches.projection.weight",
    "patch_embed.proj.bias": "patches.projection.bias",
}
DINO_PARTS = {
    "attn.proj": "attention.output.dense",
    **{part: part for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2")},
}
"""Each with a weight and a bias."""
DINO_SCALES = {"ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1"}
DINO_UNUSED = (
    *(r"module\.visual\.head\..*", r"module\.text\..*", r"module\.logit_(scale|bias)"),
    r"module\.visual\.trunk\.norm\..*",
)

CLIP_STEM = (
    *("embeddings.class_embedding", "embeddings.patch_embedding.weight", "embeddings.position_embedding.weight"),
    *("pre_layrnorm.weight", "pre_layrnorm.bias"),  # spelt so
)
CLIP_PARTS = (
    *("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"),
    *(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")),
)


class Dino(nn.Module):
    """DINOv2 ViT: image (batch, 3, size, size) → its patches behind the last but one block (batch, n, width)."""

    def __init__(self, config: Dinov2Config) -> None:
        super().__init__()
        self.config = config
        self.patches = Dinov2PatchEmbeddings(config)
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.hidden_size))
        self.positions = nn.Parameter(torch.empty(1, self.patches.num_patches + 1, config.hidden_size))
        self.encoder = Dinov2Encoder(config)

    def forward(self, image: Tensor) -> Tensor:
        """Look at the image; the class token is dropped at the end."""
        patches = self.patches(image)
        tokens = torch.cat((self.cls_token.expand(image.shape[0], -1, -1), patches), dim=1) + self.positions
        found: Tensor = self.encoder(tokens).last_hidden_state[:, 1:]
        return found


class Clip(nn.Module):
    """CLIP's ViT: image (batch, 3, size, size) → its patches behind the last but one layer (batch, n, width)."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = CLIPVisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.encoder = CLIPEncoder(config)  # type: ignore[arg-type]  # it takes both kinds

    def forward(self, image: Tensor) -> Tensor:
        """Look at the image; the class token is dropped at the end."""
        tokens = self.pre_layrnorm(self.embeddings(image))
        found: Tensor = self.encoder(inputs_embeds=tokens).last_hidden_state[:, 1:]
        return found


@dataclass(frozen=True, slots=True)
class Tower:
    """A vision transformer without memory, and the tensors that belong into it."""

    module: Dino | Clip
    state: Tensors
    unused: tuple[str, ...]
    """Names in the file that are known not to be used."""

    @property
    def image_tokens(self) -> int:
        """Patches of an image."""
        config = self.module.config
        return int((config.image_size // config.patch_size) ** 2)


def dino(source: str, found: Tensors) -> Tower:
    """The tower of an open_clip checkpoint with timm's DINOv2 in it, every tensor accounted for."""
    depth = _used_depth(source, found, rf"{re.escape(DINO)}blocks\.(\d+)\.")
    part = take(source, found, dino_names(depth), (*DINO_UNUSED, rf"{re.escape(DINO)}blocks\.{depth}\..*"))
    state = _cut_in_three(part.state)
    size = _Size.of(
        source, state["patches.projection.weight"], state["positions"][0], state["encoder.layer.0.mlp.fc1.weight"]
    )
    config = Dinov2Config(
        hidden_size=size.width,
        num_hidden_layers=depth,
        num_attention_heads=size.heads,
        mlp_ratio=size.mlp_width / size.width,
        hidden_act="gelu",
        layer_norm_eps=DINO_EPS,
        image_size=size.image_px,
        patch_size=size.patch_px,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        return Tower(Dino(config), state, part.unused)


def clip(source: str, found: Tensors, prefix: str, activation: str = QUICK_GELU) -> Tower:
    """CLIP's tower in transformers' layout, every tensor accounted for; prefix: what its names begin with."""
    depth = _used_depth(source, found, rf"{re.escape(prefix)}encoder\.layers\.(\d+)\.")
    unused = (r"post_layernorm\..*", rf"encoder\.layers\.{depth}\..*", r"embeddings\.position_ids")
    taken = take(source, found, clip_names(prefix, depth), [re.escape(prefix) + name for name in unused])
    state = taken.state
    size = _Size.of(
        source,
        state["embeddings.patch_embedding.weight"],
        state["embeddings.position_embedding.weight"],
        state["encoder.layers.0.mlp.fc1.weight"],
    )
    config = CLIPVisionConfig(
        hidden_size=size.width,
        intermediate_size=size.mlp_width,
        num_hidden_layers=depth,
        num_attention_heads=size.heads,
        hidden_act=activation,
        layer_norm_eps=CLIP_EPS,
        image_size=size.image_px,
        patch_size=size.patch_px,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        module = Clip(config)
    module.embeddings.position_ids = torch.arange(len(state["embeddings.position_embedding.weight"]))[None]
    return Tower(module, state, taken.unused)


def dino_names(depth: int) -> dict[str, str]:
    """Name in the file → name in the module; q, k and v are one matrix in the file, and are cut later."""
    names = {f"{DINO}{theirs}": ours for theirs, ours in DINO_STEM.items()}
    for n in range(depth):
        block, layer = f"{DINO}blocks.{n}", f"encoder.layer.{n}"
        names |= {f"{block}.{theirs}": f"{layer}.{ours}" for theirs, ours in DINO_SCALES.items()}
        for end in ENDS:
            names |= {f"{block}.{theirs}.{end}": f"{layer}.{ours}.{end}" for theirs, ours in DINO_PARTS.items()}
            names[f"{block}.attn.qkv.{end}"] = f"{layer}.qkv.{end}"
    return names


def clip_names(prefix: str, depth: int) -> dict[str, str]:
    """Name in the file → name in the module."""
    parts = [f"encoder.layers.{n}.{part}.{end}" for n in range(depth) for part in CLIP_PARTS for end in ENDS]
    return {f"{prefix}{name}": name for name in (*CLIP_STEM, *parts)}


@dataclass(frozen=True, slots=True)
class _Size:
    width: int
    heads: int
    mlp_width: int
    patch_px: int
    image_px: int

    @classmethod
    def of(cls, source: str, patch: Tensor, positions: Tensor, fc1: Tensor) -> _Size:
        """Sizes by the tensors: patch (width, 3, side, side), positions (1 + n, width), fc1 (mlp_width, width)."""
        width, side = patch.shape[0], math.isqrt(len(positions) - 1)
        problems = [f"width {width} is no multiple of a head's {HEAD}"] if width % HEAD else []
        problems += [f"{len(positions) - 1} patches are no square"] if side**2 != len(positions) - 1 else []
        if problems:
            raise ExportRefused(f"{source} does not fit the published layout.", problems)
        return cls(width, width // HEAD, fc1.shape[0], patch.shape[-1], side * patch.shape[-1])


def _used_depth(source: str, found: Mapping[str, Tensor], pattern: str) -> int:
    """All layers but the last, whose output nobody uses."""
    depth = count_blocks(found, pattern) - 1
    if depth < 1:
        raise ExportRefused(
            f"{source} does not fit the published layout.", ["it holds no layers of a vision transformer"]
        )
    return depth


def _cut_in_three(state: Tensors) -> Tensors:
    """Timm has one matrix for q, k and v; transformers has three."""
    cut: Tensors = {}
    for name, tensor in state.items():
        layer, mark, end = name.partition(".qkv.")
        if not mark:
            cut[name] = tensor
            continue
        for part, value in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
            cut[f"{layer}.attention.attention.{part}.{end}"] = value
    return cut
