"""The paper's image path: MedCLIP's Swin transformer, its projection head, and a projector.

The names and numbers are those of RyanWangZf/MedCLIP @ 9c3396f.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import SwinConfig, SwinModel

from export.checkpoints import Tensors, count_blocks, fill, load_tensors, take, tensor_of
from export.errors import ExportRefused
from export.image_path import PROJECTOR, ImageFacts, ImagePath, left_out_note
from xraygpt_edge.bundle import ImageRecipe

IMAGE_PX = 224
GREY_MEAN = 0.5862785803043838
GREY_STD = 0.27950088968644304
PREFIX = "vision_model.model."
INDEX = "relative_position_index"
"""A table that follows from the window's size; some versions store it, some do not."""
UNUSED = (r"text_model\..*", r"logit_scale", rf".*\.{INDEX}")


@dataclass(frozen=True, slots=True)
class Files:
    """The two files that hold the image path."""

    medclip: Path
    checkpoint: Path


class MedClipVision(nn.Module):
    """image (batch, 3, 224, 224) → rows (batch, 1, n_embd)."""

    def __init__(self, config: SwinConfig, projected: int, n_embd: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = SwinModel(config)
        self.projection = nn.Linear(config.hidden_size, projected, bias=False)
        self.projector = nn.Linear(projected, n_embd)

    def forward(self, image: Tensor) -> Tensor:
        """Pool the whole image into one row of the language model's width."""
        pooled = self.encoder(pixel_values=image).pooler_output
        rows: Tensor = self.projector(self.projection(pooled))[:, None, :]
        return rows


def load(files: Files) -> ImagePath:
    """Read the two files into the image path, every tensor accounted for."""
    found = load_tensors(files.medclip)
    checkpoint = take(files.checkpoint.name, load_tensors(files.checkpoint), PROJECTOR, unused=())
    config = _config(found)
    with torch.device("meta"):
        module = MedClipVision(config, _projected(found), len(checkpoint.state["projector.bias"]))
    encoder = [name for name in module.encoder.state_dict() if not name.endswith(INDEX)]
    wanted = {f"{PREFIX}{name}": f"encoder.{name}" for name in encoder}
    wanted["vision_model.projection_head.weight"] = "projection.weight"
    part = take(files.medclip.name, found, wanted, UNUSED)
    fill(module, {**part.state, **checkpoint.state, **_position_indices(config, found)})
    left_out = tuple(name for name in part.unused if not name.endswith(INDEX))
    recipe = ImageRecipe(size_px=IMAGE_PX, fit="pad", mean=(GREY_MEAN,) * 3, std=(GREY_STD,) * 3)
    notes = left_out_note(files.medclip.name, left_out)
    width = len(checkpoint.state["projector.bias"])
    return ImagePath(module, ImageFacts("medclip", recipe, 1, width, notes))


def _config(found: Tensors) -> SwinConfig:
    """The Swin's dimensions, read from its tensors."""
    stages = count_blocks(found, rf"{re.escape(PREFIX)}encoder\.layers\.(\d+)\.")
    patch = tensor_of("The MedCLIP file", found, f"{PREFIX}embeddings.patch_embeddings.projection.weight")
    tables = [
        tensor_of("The MedCLIP file", found, f"{_block(stage)}.attention.self.relative_position_bias_table")
        for stage in range(stages)
    ]
    fc1 = tensor_of("The MedCLIP file", found, f"{_block(0)}.intermediate.dense.weight")
    return SwinConfig(
        image_size=IMAGE_PX,
        patch_size=patch.shape[-1],
        embed_dim=patch.shape[0],
        depths=[
            count_blocks(found, rf"{re.escape(PREFIX)}encoder\.layers\.{stage}\.blocks\.(\d+)\.")
            for stage in range(stages)
        ],
        num_heads=[table.shape[1] for table in tables],
        window_size=(math.isqrt(tables[0].shape[0]) + 1) // 2,
        mlp_ratio=fc1.shape[0] / fc1.shape[1],
        qkv_bias=f"{_block(0)}.attention.self.query.bias" in found,
        attn_implementation="eager",
    )


def _projected(found: Tensors) -> int:
    return tensor_of("The MedCLIP file", found, "vision_model.projection_head.weight").shape[0]


def _block(stage: int) -> str:
    return f"{PREFIX}encoder.layers.{stage}.blocks.0"


def _position_indices(config: SwinConfig, found: Tensors) -> Tensors:
    """The position tables, computed; a stored one that differs belongs to another architecture."""
    computed = {name: value for name, value in SwinModel(config).state_dict().items() if name.endswith(INDEX)}
    for name, value in computed.items():
        stored = found.get(f"{PREFIX}{name}")
        if stored is not None and not torch.equal(stored, value):
            raise ExportRefused(f"{PREFIX}{name} is not the table of a {config.window_size}-window Swin.")
    return {f"encoder.{name}": value for name, value in computed.items()}
