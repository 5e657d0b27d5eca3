"""The encoder of the demonstration in the released form: a small EVA-like ViT, and a Q-Former with 32 queries."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerConfig, Blip2VisionConfig

from export.released import CLIP_MEAN, CLIP_STD, EVA_HEAD, QFORMER_HEAD, ReleasedVision

from .pictures import PICTURE_PX
from .train_language import WIDTH
from .train_vision import Eye, Round

PATCH_PX, DEPTH, QUERIES = 14, 5, 32
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
_SPREAD = 0.02
_WEIGHTS = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 1.0, 2.0)
ROUNDS = (Round(7000, 8e-4, _WEIGHTS), Round(4000, 5e-4, _WEIGHTS))
"""A ViT has to learn what a Swin is built with, so it takes longer."""


class ReleasedEncoder(Eye):
    """EVA-like ViT and Q-Former, without a projector: the published layout but for names."""

    def __init__(self) -> None:
        super().__init__()
        self.path = ReleasedVision(EVA, QFORMER, QUERIES, WIDTH)
        nn.init.normal_(self.path.query_tokens, std=_SPREAD)
        self.rounds, self.n_features = ROUNDS, QUERIES * QFORMER.hidden_size
        self.grid_side, self.grid_width = PICTURE_PX // PATCH_PX, EVA.hidden_size

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pictures 0..255 (n, 224, 224) to the input (n, 3, 224, 224), as CLIP's recipe says."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
        return (pixels.float()[:, None] / 255 - mean) / std

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pictures (n, 3, 224, 224) to features (n, 32, 128) and the last grid (n, 256, 88)."""
        seen = self.path.encoder(pixel_values=pictures).last_hidden_state
        queries = self.path.query_tokens.expand(len(pictures), -1, -1)
        answers = self.path.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        return answers, seen[:, 1:]
