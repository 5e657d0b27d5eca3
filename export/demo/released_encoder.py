"""The encoder of the demonstration in the released form: a small EVA-like ViT, and a Q-Former with 32 queries.

A ViT begins without any idea of what lies beside what. So its first weights are no noise alone: patches are seen as
waves, each token knows its place and attends to its neighbours, and each query looks at a place of its own. All of it
may be unlearnt.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerConfig, Blip2VisionConfig

from export.released import CLIP_MEAN, CLIP_STD, EVA_HEAD, QFORMER_HEAD, ReleasedVision

from .pictures import PICTURE_PX
from .train_language import WIDTH
from .train_vision import Eye

GRID, DEPTH = 7, 4
PATCH_PX = PICTURE_PX // GRID
"""A patch is a cell of the Swin's last grid: so few tokens are trained in minutes, and are told what it sees there."""
QUERY_ROWS, QUERY_COLUMNS = 8, 4
QUERIES = QUERY_ROWS * QUERY_COLUMNS
EVA = Blip2VisionConfig(
    hidden_size=EVA_HEAD,
    intermediate_size=4 * EVA_HEAD,
    num_hidden_layers=DEPTH,
    num_attention_heads=1,
    image_size=PICTURE_PX,
    patch_size=PATCH_PX,
    attn_implementation="eager",
)
QFORMER = Blip2QFormerConfig(
    hidden_size=2 * QFORMER_HEAD,
    intermediate_size=4 * QFORMER_HEAD,
    num_hidden_layers=2,
    num_attention_heads=2,
    cross_attention_frequency=1,
    encoder_hidden_size=EVA_HEAD,
    attention_probs_dropout_prob=0.0,
    hidden_dropout_prob=0.0,
    attn_implementation="eager",
)
WAVES = 8
"""Of a patch in each direction: details of 4 pixels."""
OCTAVES = 6
PLACE_WIDTH = 4 * OCTAVES
"""Sine and cosine of each octave, down and across; with 64 waves just the width of a token."""
_NEAR_GAIN, _LOOK_GAIN, _SPREAD, _CONTENT = 1.2, 1.2, 0.02, 0.7


class ReleasedEncoder(Eye):
    """EVA-like ViT, Q-Former and projector: the published layout but for names."""

    def __init__(self) -> None:
        super().__init__()
        self.path = ReleasedVision(EVA, QFORMER, QUERIES, WIDTH)
        self.n_features = QUERIES * QFORMER.hidden_size
        self.grid_side, self.grid_width = GRID, EVA.hidden_size

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pictures 0..255 (n, 224, 224) to the input (n, 3, 224, 224), as CLIP's recipe says."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
        return (pixels.float()[:, None] / 255 - mean) / std

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pictures (n, 3, 224, 224) to features (n, 32, 128) and the last grid (n, 49, 88)."""
        seen = self.path.encoder(pixel_values=pictures).last_hidden_state
        queries = self.path.query_tokens.expand(len(pictures), -1, -1)
        answers = self.path.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        return answers, seen[:, 1:]


@torch.no_grad()
def begin(encoder: ReleasedEncoder, pixels: Tensor) -> None:
    """Give an encoder its first weights; pixels: uint8 (n, 224, 224), pictures that patches are scaled by."""
    for module in encoder.modules():
        if isinstance(module, nn.Linear):  # transformers' own begin at 1e-10 for a ViT: nothing would be learnt
            nn.init.normal_(module.weight, std=_CONTENT / math.sqrt(module.in_features))
            nn.init.zeros_(module.bias)
    vision: Any = encoder.path.encoder  # transformers' modules tell no types of their parts
    _see_waves(vision.embeddings.patch_embedding, encoder.normalise(pixels))
    _know_places(vision)
    for block in vision.encoder.layers:
        _attend_to_neighbours(block.self_attn.qkv)
    _look_at_places(encoder.path)


def _see_waves(patches: Any, pictures: Tensor) -> None:
    """A patch's slow cosines, those that are weaker in pictures made stronger; the other channels see nothing."""
    at = (torch.arange(PATCH_PX) + 0.5) * math.pi / PATCH_PX
    cosines = torch.cos(torch.arange(WAVES)[:, None] * at)
    waves = torch.einsum("ai,bj->abij", cosines, cosines).reshape(WAVES**2, 1, PATCH_PX, PATCH_PX)
    kernels = waves.expand(-1, 3, -1, -1)
    found = nn.functional.conv2d(pictures, kernels, stride=PATCH_PX)
    strength = found.std(dim=(0, 2, 3))
    scale = _CONTENT / strength
    scale *= (strength / strength.max()) ** 0.15  # the weakest are mostly noise
    patches.weight.zero_()
    patches.bias.zero_()
    patches.weight[: WAVES**2] = kernels * scale[:, None, None, None]
    patches.bias[: WAVES**2] = -found.mean(dim=(0, 2, 3)) * scale


def place_code(points: Tensor) -> Tensor:
    """Points (n, 2) of 0..1 as waves (n, 24): near points have similar ones."""
    phases = points[:, :, None] * math.pi * torch.arange(1, OCTAVES + 1)
    return torch.cat([phases.sin(), phases.cos()], dim=2).flatten(1)


def grid_points(rows: int, columns: int) -> Tensor:
    """Centres of a grid's cells, (rows * columns, 2): down, across; each 0..1."""
    axes = ((torch.arange(count) + 0.5) / count for count in (rows, columns))
    return torch.cartesian_prod(*axes)


def _know_places(vision: Any) -> None:
    embeddings = vision.embeddings
    embeddings.position_embedding.zero_()
    embeddings.position_embedding[0, 1:, -PLACE_WIDTH:] = place_code(grid_points(GRID, GRID))
    nn.init.normal_(embeddings.class_embedding, std=_CONTENT)


def _attend_to_neighbours(qkv: nn.Linear) -> None:
    """Queries and keys that hold a token's place and little else."""
    width = qkv.in_features
    nn.init.normal_(qkv.weight[: 2 * width], std=_SPREAD)
    for first in (0, width):
        _add_places(qkv.weight[first : first + width], width - PLACE_WIDTH, width - PLACE_WIDTH, _NEAR_GAIN)


def _look_at_places(path: ReleasedVision) -> None:
    nn.init.normal_(path.query_tokens, std=0.5)
    path.query_tokens[0, :, :PLACE_WIDTH] = place_code(grid_points(QUERY_ROWS, QUERY_COLUMNS))
    first: Any = path.qformer.encoder.layer[0]
    looking = first.crossattention.attention
    for head in range(QFORMER.num_attention_heads):
        _add_places(looking.query.weight, head * QFORMER_HEAD, 0, _LOOK_GAIN)
        _add_places(looking.key.weight, head * QFORMER_HEAD, EVA_HEAD - PLACE_WIDTH, _LOOK_GAIN)


def _add_places(weight: Tensor, to: int, source: int, gain: float) -> None:
    """Let channels from `to` on hold the place that the input has in its channels from `source` on."""
    weight[to : to + PLACE_WIDTH] = 0
    weight[to : to + PLACE_WIDTH, source : source + PLACE_WIDTH] = gain * torch.eye(PLACE_WIDTH)
