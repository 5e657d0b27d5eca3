"""Random weights in the layouts of LLaVA-Rad and LLaVA-Med."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import CLIPVisionConfig, Dinov2Config

from export import llava, low_rank, vit
from export.pipeline import Source
from export.synthetic import ADVICE, Scale, Shapes, language_config, random_tensor, remove, write_language
from export.terms import RANDOM
from export.vicuna import LAYER, LlamaShape, expected_shape, wanted_names

LlavaKind = Literal["llava-rad", "llava-med"]

RANK = 64
PATCH_PX = 14
MM_FACTS = {**llava.PUBLISHED, "use_mm_proj": True}


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one model."""

    image_px: int
    width: int
    """Of the vision transformer."""
    depth: int
    """Its layers, the last one included, which nobody uses."""
    llama: LlamaShape
    rank: int = RANK


RAD = LlamaShape(32, 4096, 32, 32, 128, 11008, 32000, 4096, 1e-5, 10000.0, tied=False)
MED = LlamaShape(32, 4096, 32, 8, 128, 14336, 32000, 32768, 1e-5, 1e6, tied=False)
FULL_RAD, FULL_MED = Sizes(518, 768, 12, RAD), Sizes(336, 1024, 24, MED)
SMALL: dict[str, Any] = {"layers": 19, "width": 2048, "heads": 16, "mlp_width": 5632}
TINY: dict[str, Any] = {"layers": 3, "width": 256, "heads": 4, "kv_heads": 2, "head_width": 64, "mlp_width": 512}
SIZES: dict[str, dict[Scale, Sizes]] = {
    "llava-rad": {
        "full": FULL_RAD,
        "small": replace(FULL_RAD, llama=replace(RAD, **SMALL, kv_heads=16)),
        "tiny": Sizes(518, 64, 3, replace(RAD, **TINY, vocabulary=600), rank=4),
    },
    "llava-med": {
        "full": FULL_MED,
        "small": replace(FULL_MED, llama=replace(MED, **SMALL, kv_heads=4)),
        "tiny": Sizes(336, 64, 3, replace(MED, **TINY, vocabulary=600)),
    },
}


def make(kind: LlavaKind, sizes: Sizes, seed: int, folder: Path) -> Source:
    """Write checkpoints of random numbers to folder, unless an earlier run has done so."""
    done = folder / f"{kind}-{sizes.image_px}-{sizes.llama.layers}-{sizes.llama.width}-{seed}.done"
    if not done.is_file():
        remove(folder)
        folder.mkdir(parents=True)
        write = write_rad if kind == "llava-rad" else write_med
        write(sizes, folder, torch.Generator().manual_seed(seed))
        done.touch()
    source = (
        llava.rad(folder / "llava-rad", folder / "vicuna") if kind == "llava-rad" else llava.med(folder / "llava-med")
    )
    return replace(source, terms=RANDOM, notes=(ADVICE,))


def write_rad(sizes: Sizes, folder: Path, random: torch.Generator) -> None:
    """Write `llava-rad` and `vicuna` into folder."""
    rad = folder / "llava-rad"
    rad.mkdir()
    write_language(sizes.llama, folder / "vicuna", random)
    facts = {"model_type": "llava", "image_aspect_ratio": "square", **MM_FACTS}
    _write_json(rad / "config.json", {**language_config(sizes.llama), **facts})
    vision = {"timm_model_name": "vit_random_patch14_dinov2", "image_size": sizes.image_px}
    _write_json(rad / llava.RAD_TOWER_CONFIG, {"vision_cfg": vision})
    tower = {name: random_tensor(name, shape, random).float() for name, shape in _dino_shapes(sizes).items()}
    torch.save({"epoch": 0, "name": "random", "state_dict": tower}, rad / llava.RAD_TOWER)
    torch.save(_drawn(_projector_shapes(llava.RAD_PREFIX, sizes), random), rad / llava.RAD_PROJECTOR)
    targets = [part.split(".")[1] for part in LAYER if "_proj." in part]
    settings = {"peft_type": "LORA", "bias": "none", "r": sizes.rank, "lora_alpha": 2 * sizes.rank}
    _write_json(rad / low_rank.CONFIG, {**settings, "fan_in_fan_out": False, "target_modules": targets})
    torch.save(_drawn(_adapter_shapes(sizes), random), rad / "adapter_model.bin")


def write_med(sizes: Sizes, folder: Path, random: torch.Generator) -> None:
    """Write `llava-med` into folder."""
    facts = {"model_type": "llava_mistral", "image_aspect_ratio": "pad", "sliding_window": None, **MM_FACTS}
    beside = {**_clip_shapes(sizes), **_projector_shapes(llava.MED_PREFIX, sizes)}
    write_language(sizes.llama, folder / "llava-med", random, facts, beside)


def _dino_shapes(sizes: Sizes) -> Shapes:
    config = Dinov2Config(
        hidden_size=sizes.width,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.width // vit.HEAD,
        image_size=sizes.image_px,
        patch_size=PATCH_PX,
    )
    with torch.device("meta"):
        shapes = _shapes(vit.Dino(config))
    triple = {"weight": (3 * sizes.width, sizes.width), "bias": (3 * sizes.width,)}
    names = vit.dino_names(sizes.depth)
    found = {
        theirs: triple[ours.rsplit(".", 1)[1]] if ".qkv." in ours else shapes[ours] for theirs, ours in names.items()
    }
    return {**found, **{f"{vit.DINO}norm.{end}": (sizes.width,) for end in vit.ENDS}}


def _clip_shapes(sizes: Sizes) -> Shapes:
    config = CLIPVisionConfig(
        hidden_size=sizes.width,
        intermediate_size=4 * sizes.width,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.width // vit.HEAD,
        image_size=sizes.image_px,
        patch_size=PATCH_PX,
    )
    with torch.device("meta"):
        shapes = _shapes(vit.Clip(config))
    found = {theirs: shapes[ours] for theirs, ours in vit.clip_names(llava.MED_CLIP, sizes.depth).items()}
    return {**found, **{f"{llava.MED_CLIP}post_layernorm.{end}": (sizes.width,) for end in vit.ENDS}}


def _projector_shapes(prefix: str, sizes: Sizes) -> Shapes:
    n_embd = sizes.llama.width
    layers = {"0": sizes.width, "2": n_embd}
    weights: Shapes = {f"{prefix}{layer}.weight": (n_embd, inputs) for layer, inputs in layers.items()}
    return {**weights, **{f"{prefix}{layer}.bias": (n_embd,) for layer in layers}}


def _adapter_shapes(sizes: Sizes) -> Shapes:
    found: Shapes = {}
    for name in (name for name in wanted_names(sizes.llama) if "_proj." in name):
        outputs, inputs = expected_shape(name, sizes.llama)
        stem = f"{low_rank.PREFIX}{name.removesuffix('.weight')}"
        found |= {f"{stem}.lora_A.weight": (sizes.rank, inputs), f"{stem}.lora_B.weight": (outputs, sizes.rank)}
    return found


def _shapes(module: nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def _drawn(shapes: Shapes, random: torch.Generator) -> dict[str, torch.Tensor]:
    return {name: random_tensor(name, shape, random).bfloat16() for name, shape in shapes.items()}


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content))
