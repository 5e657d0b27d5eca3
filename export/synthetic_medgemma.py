"""Random weights in the layout of MedGemma."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import SiglipVisionConfig

from export import gemma, medgemma, siglip
from export.gemma import FULL, SLIDING, GemmaShape
from export.pipeline import Source
from export.prompts import MEDGEMMA
from export.synthetic import ADVICE, SPREAD, Scale, Shapes, remove, tokenizer, write_shards
from export.terms import RANDOM
from xraygpt_edge.generation.prompt import control_tokens

PATCH_PX = 14
WHITE = ("\n", "\n\n", "\n\n\n", "\n\n\n\n", "\u2581" * 4)
OLD = "language_model."
"""What the published files have before the language model's names."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one model."""

    image_px: int
    width: int
    """Of the vision transformer."""
    depth: int
    heads: int
    mlp_width: int
    image_tokens: int
    gemma: GemmaShape


def _layers(count: int) -> tuple[bool, ...]:
    return tuple(bool((n + 1) % gemma.SLIDING_TO_FULL) for n in range(count))


GEMMA = GemmaShape(
    layers=34,
    width=2560,
    heads=8,
    kv_heads=4,
    head_width=256,
    mlp_width=10240,
    vocabulary=262208,
    context=131072,
    window=1024,
    query_scale=256,
    norm_eps=1e-6,
    rope_base=1e6,
    rope_factor=8.0,
    window_rope_base=1e4,
    has_window=_layers(34),
)
FULL_SIZES = Sizes(896, 1152, 27, 16, 4304, 256, GEMMA)
SMALL: dict[str, Any] = {"layers": 12, "width": 1536, "heads": 4, "kv_heads": 2, "mlp_width": 6144}
TINY: dict[str, Any] = {"layers": 6, "width": 256, "heads": 4, "kv_heads": 2, "head_width": 64, "mlp_width": 512}
SIZES: dict[Scale, Sizes] = {
    "full": FULL_SIZES,
    "small": replace(FULL_SIZES, depth=6, gemma=replace(GEMMA, **SMALL, has_window=_layers(12))),
    "tiny": Sizes(
        *(112, 64, 2, 4, 128, 16),
        replace(GEMMA, **TINY, query_scale=64, vocabulary=700, context=8192, has_window=_layers(6)),
    ),
}


def make(sizes: Sizes, seed: int, folder: Path) -> Source:
    """Write a checkpoint of random numbers to folder, unless an earlier run has done so."""
    done = folder / f"medgemma-{sizes.image_px}-{sizes.gemma.layers}-{sizes.gemma.width}-{seed}.done"
    if not done.is_file():
        remove(folder)
        folder.mkdir(parents=True)
        write(sizes, folder / "medgemma", torch.Generator().manual_seed(seed))
        done.touch()
    return replace(medgemma.source(folder / "medgemma"), terms=RANDOM, notes=(ADVICE,))


def write(sizes: Sizes, folder: Path, random: torch.Generator) -> None:
    """Write the folder, as transformers wrote it until 4.51."""
    folder.mkdir()
    shape = sizes.gemma
    language = {f"{OLD}{name}": gemma.expected_shape(name, shape) for name in gemma.wanted_names(shape)}
    write_shards({**language, **_image_shapes(sizes)}, folder, lambda name, each: _drawn(name, each, random))
    (folder / "config.json").write_text(json.dumps(_config(sizes)))
    (folder / "tokenizer.model").write_bytes(vocabulary(shape.vocabulary))


def vocabulary(count: int) -> bytes:
    """A SentencePiece model with Gemma's rules: no space before a text, runs of white space in one piece."""
    first = [("<pad>", 3), ("<eos>", 3), ("<bos>", 3), ("<unk>", 2)]
    named = (*control_tokens(MEDGEMMA.templates.values()), *(MEDGEMMA.thinking or ()))
    proto = tokenizer(count, [*first, *((text, 4) for text in (*named, *WHITE))])
    proto.normalizer_spec.add_dummy_prefix = False
    spec = proto.trainer_spec
    spec.pad_piece, spec.eos_piece, spec.bos_piece, spec.unk_piece = (text for text, _ in first)
    return bytes(proto.SerializeToString())


def _image_shapes(sizes: Sizes) -> Shapes:
    config = SiglipVisionConfig(
        hidden_size=sizes.width,
        intermediate_size=sizes.mlp_width,
        num_hidden_layers=sizes.depth,
        num_attention_heads=sizes.heads,
        image_size=sizes.image_px,
        patch_size=PATCH_PX,
        vision_use_head=False,
    )
    with torch.device("meta"):
        module = siglip.MedGemmaVision(config, sizes.image_tokens, sizes.gemma.width)
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    return {theirs: shapes[ours] for theirs, ours in siglip.names(sizes.depth).items()}


def _drawn(name: str, shape: tuple[int, ...], random: torch.Generator) -> torch.Tensor:
    """bfloat16 weights; a norm's factors are one, of which Gemma's files leave out the one."""
    is_vector = len(shape) == 1 and name.endswith("weight")
    if is_vector:
        return (torch.zeros if "norm.weight" in name and "vision" not in name else torch.ones)(shape).bfloat16()
    return (torch.randn(shape, generator=random) * SPREAD).bfloat16()


def _config(sizes: Sizes) -> dict[str, Any]:
    shape = sizes.gemma
    counts = {theirs: asdict(shape)[ours] for ours, theirs in gemma.COUNTS.items()}
    return {
        "model_type": "gemma3",
        "mm_tokens_per_image": sizes.image_tokens,
        "text_config": {
            "model_type": "gemma3_text",
            **counts,
            "query_pre_attn_scalar": shape.query_scale,
            "rms_norm_eps": shape.norm_eps,
            "rope_theta": shape.rope_base,
            "rope_scaling": {"rope_type": "linear", "factor": shape.rope_factor},
            "rope_local_base_freq": shape.window_rope_base,
            "layer_types": [SLIDING if has_window else FULL for has_window in shape.has_window],
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": sizes.width,
            "intermediate_size": sizes.mlp_width,
            "num_hidden_layers": sizes.depth,
            "num_attention_heads": sizes.heads,
            "image_size": sizes.image_px,
            "patch_size": PATCH_PX,
        },
    }
