"""A Gemma 3 in Hugging Face's layout: its configuration, its shards, and each tensor exactly once.

Tensors have one name here (`model.layers.0.…`), whatever a release of transformers puts before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import Gemma3TextConfig

from export.checkpoints import load_tensors, shortened, value_problems
from export.errors import ExportRefused
from export.vicuna import find_shards, read_config, streamed

EMBEDDINGS, NORM, HEAD = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"
LAYER = (
    "input_layernorm.weight",
    "self_attn.q_proj.weight",
    "self_attn.q_norm.weight",
    "self_attn.k_proj.weight",
    "self_attn.k_norm.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "post_attention_layernorm.weight",
    "pre_feedforward_layernorm.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
    "post_feedforward_layernorm.weight",
)
LANGUAGE = ("language_model.model.", "model.language_model.")
"""What transformers puts before the language model's names: until 4.51, and since."""
UNUSED_HEADS = (HEAD, f"language_model.{HEAD}")
"""The embedding matrix again, where a file stores it twice."""
IMAGE = ("vision_tower.", "multi_modal_projector.")
BESIDE = (*IMAGE, *(f"model.{beginning}" for beginning in IMAGE))
"""What the image path's names begin with."""
SLIDING, FULL = "sliding_attention", "full_attention"
SLIDING_TO_FULL = 6
"""The last of so many layers looks at all positions, where a configuration does not say."""
SCALED_BY_WIDTH = 62
"""Layers of the one size (27B) whose attention llama.cpp scales by the model's width instead of the heads'."""
WANTED = {
    "hidden_activation": "gelu_pytorch_tanh",
    "tie_word_embeddings": True,
    "attention_bias": False,
    "use_bidirectional_attention": False,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
}
"""What llama.cpp computes."""
COUNTS = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_width": "head_dim",
    "mlp_width": "intermediate_size",
    "vocabulary": "vocab_size",
    "context": "max_position_embeddings",
    "window": "sliding_window",
}


@dataclass(frozen=True, slots=True)
class GemmaShape:
    """The language model's dimensions, from config.json."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    mlp_width: int
    vocabulary: int
    context: int
    window: int
    """Positions that a layer with a window looks back at, its own included."""
    query_scale: int
    """Queries are divided by its root."""
    norm_eps: float
    rope_base: float
    """Of layers that look at all positions."""
    rope_factor: float
    """What positions are divided by there."""
    window_rope_base: float
    """Of layers with a window."""
    has_window: tuple[bool, ...]
    """Of each layer."""


@dataclass(frozen=True, slots=True)
class Gemma:
    """An opened folder; no weight has been read yet."""

    folder: Path
    config: Mapping[str, Any]
    """Of the language model alone."""
    shape: GemmaShape
    homes: Mapping[str, Path]
    """Which shard holds which tensor, by its name there."""
    stored: Mapping[str, str]
    """Our name of each wanted tensor → its name there."""

    def tensors(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """The named tensors, one after the other; at most about 1 GiB of a shard stays mapped."""
        found = streamed(self.homes, [self.stored[name] for name in names])
        yield from ((name, tensor) for name, (_, tensor) in zip(names, found, strict=True))


def open_gemma(folder: Path) -> Gemma:
    """Read configuration and shards, and account for every tensor but the image path's; all that is wrong is named."""
    facts = language_facts(read_config(folder))
    problems = language_problems(facts)
    if problems:
        raise ExportRefused(f"{folder.name}/config.json describes a language model that cannot be exported.", problems)
    shape = _shape(facts)
    homes, shapes, stored, problems = {}, {}, dict[str, str](), list[str]()
    for shard in find_shards(folder):
        for theirs, tensor in load_tensors(shard).items():
            if theirs.startswith(BESIDE) or theirs in UNUSED_HEADS:
                continue
            name = _own_name(theirs)
            problems += [f"twice: {name}"] if name in stored else []
            homes[theirs], shapes[name], stored[name] = shard, tuple(tensor.shape), theirs
    wanted = wanted_names(shape)
    problems += [f"missing: {name}" for name in wanted if name not in stored]
    problems += [f"unexpected: {stored[name]}" for name in sorted(stored.keys() - wanted)]
    problems += [p for name in wanted if name in stored for p in _shape_problems(name, shapes[name], shape)]
    if problems:
        raise ExportRefused(f"{folder.name} holds no Gemma 3 as its config.json describes it.", shortened(problems))
    return Gemma(folder, facts, shape, homes, stored)


def language_facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config.json says of the language model; what it leaves out is what transformers takes then."""
    stated = config.get("text_config") or {}
    layers = stated.get("layer_types") or _usual_layers(stated)
    return {**Gemma3TextConfig().to_dict(), **stated, "layer_types": layers}


def language_problems(facts: Mapping[str, Any]) -> list[str]:
    """What makes a language model another than one that llama.cpp computes as transformers does."""
    problems = [
        f"{key} is {facts.get(key)!r}, {wanted!r} is needed"
        for key, wanted in WANTED.items()
        if (facts.get(key) or None) != (wanted or None)  # what is off may be left out, null or false
    ]
    problems += [f"{key} is {facts[key]!r}" for key in COUNTS.values() if type(facts[key]) is not int or facts[key] < 1]
    return problems or [*_layer_problems(facts), *_rope_problems(facts)]


def _layer_problems(facts: Mapping[str, Any]) -> Iterator[str]:
    types, scale, layers = facts["layer_types"], facts["query_pre_attn_scalar"], facts["num_hidden_layers"]
    if len(types) != layers or not {*types} <= {SLIDING, FULL}:
        yield f"layer_types is {types!r}"
    by_width = layers == SCALED_BY_WIDTH
    wanted = facts["hidden_size"] // facts["num_attention_heads"] if by_width else facts["head_dim"]
    if scale != wanted:
        yield f"query_pre_attn_scalar is {scale!r}, {wanted} is needed"


def _rope_problems(facts: Mapping[str, Any]) -> Iterator[str]:
    newer = facts.get("rope_parameters")
    if newer and {*newer} != {FULL, SLIDING}:
        yield f"rope_parameters is {newer!r}"
        return
    for where, rope, known in zip((FULL, SLIDING), _rope(facts), (("default", "linear"), ("default",)), strict=True):
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind not in known:
            yield f"rope_type of {where} is {kind!r}"


def wanted_names(shape: GemmaShape) -> list[str]:
    """Every tensor that such a model has, in the order in which it computes."""
    return [EMBEDDINGS, *(f"model.layers.{n}.{part}" for n in range(shape.layers) for part in LAYER), NORM]


def expected_shape(name: str, shape: GemmaShape) -> tuple[int, ...]:
    """The shape that config.json promises for a tensor."""
    width, heads, kv_heads = shape.width, shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens": (shape.vocabulary, width),
        "q_proj": (heads, width),
        "k_proj": (kv_heads, width),
        "v_proj": (kv_heads, width),
        "o_proj": (width, heads),
        "q_norm": (shape.head_width,),
        "k_norm": (shape.head_width,),
        "gate_proj": (shape.mlp_width, width),
        "up_proj": (shape.mlp_width, width),
        "down_proj": (width, shape.mlp_width),
    }
    return shapes.get(name.split(".")[-2], (width,))


def usable(name: str, tensor: Tensor) -> Tensor:
    """The tensor, if its type and values are those of a weight."""
    if problems := value_problems(name, tensor):
        raise ExportRefused("The language model has an unusable weight.", problems)
    return tensor


def _own_name(theirs: str) -> str:
    for beginning in LANGUAGE:
        if theirs.startswith(beginning):
            return f"model.{theirs.removeprefix(beginning)}"
    return theirs


def _usual_layers(stated: Mapping[str, Any]) -> list[str]:
    """Which layers have a window, where a configuration says so by a number, or not at all."""
    count = stated.get("num_hidden_layers", Gemma3TextConfig().num_hidden_layers)
    pattern = stated.get("sliding_window_pattern", SLIDING_TO_FULL)
    if type(count) is not int or type(pattern) is not int or pattern < 1:
        return []
    return [SLIDING if (n + 1) % pattern else FULL for n in range(count)]


def _rope(facts: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Rotary positions of layers without a window and with one, as older and newer transformers write them."""
    newer = facts.get("rope_parameters") or {}
    full = newer.get(FULL) or {"rope_theta": facts["rope_theta"], **(facts["rope_scaling"] or {})}
    return full, newer.get(SLIDING) or {"rope_theta": facts["rope_local_base_freq"]}


def _shape(facts: Mapping[str, Any]) -> GemmaShape:
    full, window = _rope(facts)
    return GemmaShape(
        **{ours: facts[theirs] for ours, theirs in COUNTS.items()},
        query_scale=facts["query_pre_attn_scalar"],
        norm_eps=facts["rms_norm_eps"],
        rope_base=full["rope_theta"],
        rope_factor=full.get("factor", 1.0),
        window_rope_base=window["rope_theta"],
        has_window=tuple(kind == SLIDING for kind in facts["layer_types"]),
    )


def _shape_problems(name: str, found: tuple[int, ...], shape: GemmaShape) -> Iterator[str]:
    wanted = expected_shape(name, shape)
    if found != wanted:
        yield f"{name} has shape {found}, config.json says {wanted}"
