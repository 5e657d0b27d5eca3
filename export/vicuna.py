"""A Hugging Face LLaMA folder: its configuration, its shards, and each tensor exactly once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from export.checkpoints import Tensors, load_tensors, value_problems
from export.errors import ExportRefused

STEM = ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")
LAYER = (
    "input_layernorm.weight",
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "post_attention_layernorm.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
)
MODEL_TYPES = ("llama", "llava", "llava_mistral")
"""Names under which such a model is published: a LLaMA, or one with an image path around it."""
MUST_BE_OFF = ("rope_scaling", "sliding_window", "attention_bias", "mlp_bias")
UNUSED_END = ".rotary_emb.inv_freq"
"""Follows from rope_theta. Early versions stored it, often in float16; the published program computes it anew."""
MAPPED_MAX_BYTES = 1 << 30
"""Pages of a mapped shard count as memory once touched; map it anew after this much."""
WHOLE_NORM_MIN = 0.1
"""A trained model's last norm is around 1; that of a difference between two models is around 0."""
DELTA_ADVICE = (
    "These weights are a difference (a delta) to LLaMA, not a model.",
    "Add them to LLaMA's own weights first, with the apply_delta script of the project that published them.",
)


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The language model's dimensions, from config.json."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    mlp_width: int
    vocabulary: int
    context: int
    norm_eps: float
    rope_base: float
    tied: bool
    """The output matrix is the embedding matrix."""

    def rotary_frequencies(self) -> Tensor:
        """Radians a position for each rotated pair, float32 (head_width / 2,).

        Exact whatever type the weights have: the published program makes its tables of cosines and sines
        once, in float32, before it is cast to float16.
        """
        steps = torch.arange(0, self.head_width, 2, dtype=torch.int64).float()
        return 1.0 / (self.rope_base ** (steps / self.head_width))


class Added(Protocol):
    """What is added to weights while they are read."""

    def merged(self, name: str, weight: Tensor) -> Tensor:
        """The weight of this name with its part; any other as it is."""


@dataclass(frozen=True, slots=True)
class Vicuna:
    """An opened folder; no weight has been read yet."""

    folder: Path
    config: Mapping[str, Any]
    shape: LlamaShape
    homes: Mapping[str, Path]
    """Which shard holds which wanted tensor."""
    added: Added | None = None

    def tensors(self, names: Iterator[str] | list[str]) -> Iterator[tuple[str, Tensor]]:
        """The named tensors, one after the other; at most about 1 GiB of a shard stays mapped."""
        for name, tensor in streamed(self.homes, names):
            yield name, self.added.merged(name, tensor) if self.added else tensor


def streamed(homes: Mapping[str, Path], names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """The named tensors, one after the other; at most about 1 GiB of a shard stays mapped.

    homes: which shard holds which tensor.
    """
    shard: Path | None = None
    content: Tensors = {}
    touched_bytes = 0
    for name in names:
        if homes[name] != shard or touched_bytes > MAPPED_MAX_BYTES:
            shard, touched_bytes = homes[name], 0
            content = {}  # unmap before mapping again
            content = load_tensors(shard)
        tensor = content[name]
        touched_bytes += tensor.nbytes
        yield name, tensor


def open_vicuna(folder: Path, beside: Sequence[str] = ()) -> Vicuna:
    """Read configuration and index, and account for every tensor of every shard.

    beside: what the names of tensors begin with that are not the language model's.
    """
    config = read_config(folder)
    problems = language_problems(config)
    if problems:
        raise ExportRefused(f"{folder.name}/config.json describes another model than Vicuna's LLaMA.", problems)
    shape = _shape(config)
    shards = find_shards(folder)
    homes = {name: shard for shard in shards for name in load_tensors(shard)}
    wanted = wanted_names(shape)
    problems = [f"missing: {name}" for name in wanted if name not in homes]
    known = {*wanted, "lm_head.weight"}  # a tied model may store its output matrix all the same
    others = (name for name in sorted(homes) if name not in known and not name.startswith(tuple(beside)))
    strangers = (name for name in others if not name.endswith(UNUSED_END))
    problems += [f"unexpected: {name}" for name in strangers]
    if problems:
        raise ExportRefused(f"{folder.name} is not a LLaMA in Hugging Face's layout.", problems[:20])
    vicuna = Vicuna(folder, config, shape, {name: homes[name] for name in wanted})
    _refuse_delta(vicuna)
    return vicuna


def wanted_names(shape: LlamaShape) -> list[str]:
    """Every tensor that such a model has, in the order in which it computes."""
    layers = [f"model.layers.{n}.{part}" for n in range(shape.layers) for part in LAYER]
    stem = STEM[:2] if shape.tied else STEM
    return [stem[0], *layers, *stem[1:]]


def expected_shape(name: str, shape: LlamaShape) -> tuple[int, ...]:
    """The shape that config.json promises for a tensor."""
    width, kv = shape.width, shape.kv_heads * shape.head_width
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens": (shape.vocabulary, width),
        "lm_head": (shape.vocabulary, width),
        "q_proj": (shape.heads * shape.head_width, width),
        "k_proj": (kv, width),
        "v_proj": (kv, width),
        "o_proj": (width, shape.heads * shape.head_width),
        "gate_proj": (shape.mlp_width, width),
        "up_proj": (shape.mlp_width, width),
        "down_proj": (width, shape.mlp_width),
    }
    return shapes.get(name.split(".")[-2], (width,))


def checked(name: str, tensor: Tensor, shape: LlamaShape) -> Tensor:
    """The tensor, if its shape, type and values are those of a usable weight."""
    problems = value_problems(name, tensor)
    if tuple(tensor.shape) != expected_shape(name, shape):
        problems.append(f"{name} has shape {tuple(tensor.shape)}, config.json says {expected_shape(name, shape)}")
    if problems:
        raise ExportRefused("The language model has an unusable weight.", problems)
    return tensor


def find_shards(folder: Path) -> list[Path]:
    """The weight files of a folder, in order; safetensors before pickles."""
    for stem, end in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = folder / f"{stem}.{end}.index.json"
        if index.is_file():
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
            absent = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
            if absent:
                raise ExportRefused(f"{folder.name}: shards named by {index.name} are missing.", absent)
            return [folder / name for name in names]
        if (folder / f"{stem}.{end}").is_file():
            return [folder / f"{stem}.{end}"]
    raise ExportRefused(f"{folder} holds no model.safetensors and no pytorch_model.bin, whole or in shards.")


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json; raises ExportRefused when there is none, or for a difference between models."""
    path = folder / "config.json"
    if not path.is_file():
        raise ExportRefused(f"{folder} has no config.json: not a Hugging Face model folder.")
    config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    origin = f"{folder.name} {config.get('_name_or_path', '')}".lower()
    if "delta" in origin:
        raise ExportRefused(*_delta_refusal("the folder or its config.json says delta"))
    return config


def language_problems(config: Mapping[str, Any]) -> list[str]:
    """What makes the language model of a config.json another than one that is computed as LLaMA is."""
    problems = [
        f"{key} is {config.get(key)!r}"
        for key, wanted in (("model_type", MODEL_TYPES), ("hidden_act", ("silu",)))
        if config.get(key) not in wanted
    ]
    return problems + [f"{key} is {config[key]!r}" for key in MUST_BE_OFF if config.get(key)]


def _shape(config: Mapping[str, Any]) -> LlamaShape:
    needed = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size")
    missing = [key for key in (*needed, "rms_norm_eps") if key not in config]
    if missing:
        raise ExportRefused("config.json leaves out what a LLaMA needs.", missing)
    heads, width = config["num_attention_heads"], config["hidden_size"]
    return LlamaShape(
        layers=config["num_hidden_layers"],
        width=width,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_width=config.get("head_dim") or width // heads,
        mlp_width=config["intermediate_size"],
        vocabulary=config["vocab_size"],
        context=config.get("max_position_embeddings") or config.get("max_sequence_length") or 2048,
        norm_eps=config["rms_norm_eps"],
        rope_base=config.get("rope_theta") or 10000.0,
        tied=bool(config.get("tie_word_embeddings")),
    )


def _refuse_delta(vicuna: Vicuna) -> None:
    ((_, norm),) = vicuna.tensors(["model.norm.weight"])
    mean = float(norm.float().abs().mean())
    if mean < WHOLE_NORM_MIN:
        raise ExportRefused(*_delta_refusal(f"model.norm.weight is about {mean:.4f}, a whole model's is about 1"))


def _delta_refusal(reason: str) -> tuple[str, list[str]]:
    return DELTA_ADVICE[0], [f"sign of it: {reason}", DELTA_ADVICE[1]]
