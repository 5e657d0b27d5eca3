"""The released checkpoint's image path: EVA-CLIP ViT-g/14, BLIP-2 Q-Former, projector.

Written with transformers' modules; the names and numbers are those of mbzuai-oryx/XrayGPT @ d0baa6a.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel

from export.checkpoints import Tensors, count_blocks, fill, load_tensors, take, tensor_of
from export.errors import ExportRefused
from export.image_path import PROJECTOR, ImageFacts, ImagePath, left_out_note
from xraygpt_edge.bundle import ImageRecipe
from xraygpt_edge.encoder import PATCHES

EVA_HEAD = 88
QFORMER_HEAD = 64
PUBLISHED_WIDTH = 1408
PUBLISHED_DEPTH = 39
"""BLIP-2 takes the 39 first blocks of ViT-g and feeds their output, unnormalised, to ln_vision."""
LN_VISION_EPS = 1e-5
"""torch's default, which upstream's ln_vision has; the blocks' own norms have 1e-6."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

OUTPUTS = ("rows", PATCHES)
UNROUNDED = ("qformer/encoder/layer.0",)
"""Of 32 rows the worst decides. Of the demonstration's 96 rows its cosine is 0.9936 in int8 alone, under the gate, and
0.9986 with the products of this layer in fp32."""

EVA_BLOCK = {
    "norm1.weight": "layer_norm1.weight",
    "norm1.bias": "layer_norm1.bias",
    "attn.q_bias": "self_attn.q_bias",
    "attn.v_bias": "self_attn.v_bias",
    "attn.qkv.weight": "self_attn.qkv.weight",
    "attn.proj.weight": "self_attn.projection.weight",
    "attn.proj.bias": "self_attn.projection.bias",
    "norm2.weight": "layer_norm2.weight",
    "norm2.bias": "layer_norm2.bias",
    "mlp.fc1.weight": "mlp.fc1.weight",
    "mlp.fc1.bias": "mlp.fc1.bias",
    "mlp.fc2.weight": "mlp.fc2.weight",
    "mlp.fc2.bias": "mlp.fc2.bias",
}
EVA_STEM = {
    "cls_token": "encoder.embeddings.class_embedding",
    "pos_embed": "encoder.embeddings.position_embedding",
    "patch_embed.proj.weight": "encoder.embeddings.patch_embedding.weight",
    "patch_embed.proj.bias": "encoder.embeddings.patch_embedding.bias",
}
EVA_UNUSED = (r"head\..*", r"norm\..*", r"fc_norm\..*", r"mask_token")

BRIDGE_STEM = {
    "query_tokens": "query_tokens",
    "ln_vision.weight": "encoder.post_layernorm.weight",
    "ln_vision.bias": "encoder.post_layernorm.bias",
    "Qformer.bert.embeddings.LayerNorm.weight": "qformer.layernorm.weight",
    "Qformer.bert.embeddings.LayerNorm.bias": "qformer.layernorm.bias",
}
ATTENTION = ("self.query", "self.key", "self.value", "output.dense", "output.LayerNorm")
FEED_FORWARD = ("intermediate_query.dense", "output_query.dense", "output_query.LayerNorm")
BRIDGE_UNUSED = (
    r"Qformer\.cls\..*",
    r"Qformer\.bert\.embeddings\.(position_ids|(word|position)_embeddings\.weight)",
    r"Qformer\.bert\.encoder\.layer\.\d+\.(intermediate|output)\..*",  # the text branch
    r"(t5_proj|opt_proj|vision_proj|text_proj|itm_head)\..*",  # BLIP-2's own heads
    r"temp",
)
LAYER = "Qformer.bert.encoder.layer"


@dataclass(frozen=True, slots=True)
class Files:
    """The three files that hold the image path."""

    eva: Path
    blip2: Path
    checkpoint: Path


@dataclass(frozen=True, slots=True)
class _Crossing:
    """Which of the Q-Former's layers look at the image."""

    layers: int
    every: int

    @classmethod
    def of(cls, blip2: Tensors) -> _Crossing:
        layers = count_blocks(blip2, rf"{LAYER}\.(\d+)\.")
        found = [n for n in range(layers) if f"{LAYER}.{n}.crossattention.self.query.weight" in blip2]
        every = found[1] if len(found) > 1 else max(layers, 1)
        if found != list(range(0, layers, every)):
            raise ExportRefused(f"The Q-Former looks at the image in layers {found}, at no steady distance.")
        return cls(layers, every)


class ReleasedVision(nn.Module):
    """image (batch, 3, size, size) → rows (batch, queries, n_embd), and what of the patches tells films apart."""

    def __init__(self, vision: Blip2VisionConfig, qformer: Blip2QFormerConfig, queries: int, n_embd: int) -> None:
        super().__init__()
        self.config = vision
        self.encoder = Blip2VisionModel(vision)
        self.encoder.post_layernorm.eps = LN_VISION_EPS
        self.query_tokens = nn.Parameter(torch.empty(1, queries, qformer.hidden_size))
        self.qformer = Blip2QFormerModel(qformer)
        self.projector = nn.Linear(qformer.hidden_size, n_embd)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Look at the image, let the learned queries ask, and speak the language model's width.

        Queries ask for what reports say, and pass over what makes a film unlike others: that is told beside the rows,
        as the mean and the standard deviation of the patches, (batch, 2 * width).
        """
        seen = self.encoder(pixel_values=image).last_hidden_state
        queries = self.query_tokens.expand(image.shape[0], -1, -1)
        answers = self.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        patches = seen[:, 1:]
        mean = patches.mean(dim=1, keepdim=True)
        deviation = (patches - mean).square().mean(dim=1).sqrt()
        return self.projector(answers), torch.cat([mean[:, 0], deviation], dim=1)


def load(files: Files, vision_depth: int | None = None) -> ImagePath:
    """Read the three files into the original image path, every tensor accounted for.

    vision_depth: how many EVA blocks to use; None takes 39 of the published width, else all.
    """
    eva, blip2 = load_tensors(files.eva), load_tensors(files.blip2)
    checkpoint = take(files.checkpoint.name, load_tensors(files.checkpoint), PROJECTOR, unused=())
    depth = _depth(eva, vision_depth)
    left_out = tuple(rf"blocks\.{n}\..*" for n in range(depth, count_blocks(eva, r"blocks\.(\d+)\.")))
    eye = take(files.eva.name, eva, eva_names(depth), (*EVA_UNUSED, *left_out))
    crossing = _Crossing.of(blip2)
    bridge = take(files.blip2.name, blip2, bridge_names(crossing.layers, crossing.every), BRIDGE_UNUSED)
    state = {**_fused_qkv_bias(eye.state, depth), **bridge.state, **checkpoint.state}
    module = _build(state, depth, crossing)
    fill(module, state)
    width, size_px = len(state["projector.bias"]), module.config.image_size
    notes = left_out_note(files.eva.name, eye.unused) + left_out_note(files.blip2.name, bridge.unused)
    recipe = ImageRecipe(size_px=size_px, fit="squash", mean=CLIP_MEAN, std=CLIP_STD)
    rows = state["query_tokens"].shape[1]
    return ImagePath(module, ImageFacts("released", recipe, rows, width, notes, UNROUNDED, OUTPUTS))


def _depth(eva: Tensors, wish: int | None) -> int:
    """How many blocks to use."""
    found = count_blocks(eva, r"blocks\.(\d+)\.")
    width = tensor_of("The EVA file", eva, "cls_token").shape[-1]
    depth = wish or (PUBLISHED_DEPTH if width == PUBLISHED_WIDTH else found)
    if depth > found:
        raise ExportRefused(f"The EVA file has {found} blocks, {depth} are needed.")
    return depth


def eva_names(depth: int) -> dict[str, str]:
    """Name in the EVA file → name in the module, but for q and v biases, which are fused later."""
    blocks = {
        f"blocks.{n}.{theirs}": f"encoder.encoder.layers.{n}.{ours}"
        for n in range(depth)
        for theirs, ours in EVA_BLOCK.items()
    }
    return {**EVA_STEM, **blocks}


def bridge_names(layers: int, every: int) -> dict[str, str]:
    """Name in the BLIP-2 file → name in the module.

    every: layers 0, every, 2 * every and so on have cross-attention.
    """
    names = dict(BRIDGE_STEM)
    for n in range(layers):
        attentions = ("attention", "crossattention") if n % every == 0 else ("attention",)
        parts = [f"{attention}.{part}" for attention in attentions for part in ATTENTION]
        for part in (*parts, *FEED_FORWARD):
            for value in ("weight", "bias"):
                ours = f"qformer.encoder.layer.{n}.{part}.{value}".replace(".self.", ".attention.")
                names[f"{LAYER}.{n}.{part}.{value}"] = ours
    return names


def _fused_qkv_bias(state: Tensors, depth: int) -> Tensors:
    """EVA has biases for q and v only; transformers wants one for q, k and v."""
    fused = dict(state)
    for n in range(depth):
        attention = f"encoder.encoder.layers.{n}.self_attn"
        q_bias, v_bias = fused.pop(f"{attention}.q_bias"), fused.pop(f"{attention}.v_bias")
        fused[f"{attention}.qkv.bias"] = torch.cat((q_bias, torch.zeros_like(q_bias), v_bias))
    return fused


def _build(state: Tensors, depth: int, crossing: _Crossing) -> ReleasedVision:
    """A module without memory, of the size that the tensors say."""
    patch = state["encoder.embeddings.patch_embedding.weight"]
    side = math.isqrt(state["encoder.embeddings.position_embedding"].shape[1] - 1)
    width = patch.shape[0]
    vision = Blip2VisionConfig(
        hidden_size=width,
        intermediate_size=state["encoder.encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=depth,
        num_attention_heads=_heads("EVA", width, EVA_HEAD),
        image_size=side * patch.shape[-1],
        patch_size=patch.shape[-1],
        attn_implementation="eager",
    )
    hidden = state["query_tokens"].shape[-1]
    qformer = Blip2QFormerConfig(
        hidden_size=hidden,
        num_hidden_layers=crossing.layers,
        num_attention_heads=_heads("Q-Former", hidden, QFORMER_HEAD),
        intermediate_size=state["qformer.encoder.layer.0.intermediate_query.dense.weight"].shape[0],
        cross_attention_frequency=crossing.every,
        encoder_hidden_size=width,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        return ReleasedVision(vision, qformer, state["query_tokens"].shape[1], len(state["projector.bias"]))


def _heads(what: str, width: int, head: int) -> int:
    if width % head:
        raise ExportRefused(f"{what}: width {width} is no multiple of its head size {head}.")
    return width // head
