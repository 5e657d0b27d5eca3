"""The trained demo in the published file layouts, so that the exporter meets it as it meets XrayGPT."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from export import released

from .released_encoder import DEPTH, QFORMER, ReleasedEncoder
from .train_language import Speaker
from .train_vision import Encoder

MEDCLIP_FILE, EVA_FILE, BLIP2_FILE = "medclip-vit/pytorch_model.bin", "eva_vit_g.pth", "blip2_pretrained.pth"
CHECKPOINT, LANGUAGE = "xraygpt_checkpoint.pth", "vicuna"
RELEASED = "released"
"""Folder of the released form's files, beside the paper form's, whose language model it has."""
SHARDS = 2
CONFIG = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "tie_word_embeddings",
    "hidden_act",
)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
TOKENIZER = {"add_bos_token": True, "add_eos_token": False, "tokenizer_class": "LlamaTokenizer", "legacy": True}


def write(encoder: Encoder, speaker: Speaker, vocabulary: bytes, folder: Path) -> None:
    """Write MedCLIP's file, XrayGPT's checkpoint and the language model's folder, weights as fp32 and fp16."""
    (folder / MEDCLIP_FILE).parent.mkdir(parents=True, exist_ok=True)
    torch.save({f"vision_model.{name}": value for name, value in encoder.state_dict().items()}, folder / MEDCLIP_FILE)
    _write_projector(speaker.projector.state_dict(), folder)
    write_language(speaker.language, vocabulary, folder / LANGUAGE)


def write_released(encoder: ReleasedEncoder, folder: Path) -> None:
    """Write EVA's file, BLIP-2's and XrayGPT's checkpoint, all weights as fp16; no language model belongs to them."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half() for name, value in encoder.path.state_dict().items()}
    bridge = released.bridge_names(QFORMER.num_hidden_layers, QFORMER.cross_attention_frequency)
    torch.save(_named(_split_biases(state), released.eva_names(DEPTH)), folder / EVA_FILE)
    torch.save({"model": _named(state, bridge)}, folder / BLIP2_FILE)
    _write_projector({end: state[f"projector.{end}"] for end in ("weight", "bias")}, folder)


def _write_projector(state: dict[str, Tensor], folder: Path) -> None:
    projector = {f"llama_proj.{name}": value for name, value in state.items()}
    torch.save({"model": projector, "epoch": 1}, folder / CHECKPOINT)


def _split_biases(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """With EVA's biases for q and v. One for k moves all of a token's attention alike, and so not at all."""
    split = dict(state)
    for n in range(DEPTH):
        attention = f"encoder.encoder.layers.{n}.self_attn"
        q_bias, _, v_bias = split.pop(f"{attention}.qkv.bias").chunk(3)
        split |= {f"{attention}.q_bias": q_bias, f"{attention}.v_bias": v_bias}
    return split


def _named(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """Tensors by their published names."""
    return {theirs: state[ours].clone() for theirs, ours in names.items()}


def write_language(language: LlamaForCausalLM, vocabulary: bytes, folder: Path) -> None:
    """Write a language model as Hugging Face's folders have it, weights as fp16, with its vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(vocabulary)
    weights = {name: value.half() for name, value in language.state_dict().items()}
    config = language.config.to_dict()
    facts = {name: config[name] for name in CONFIG}
    facts |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float16"}
    _write_json(folder / "config.json", facts)
    _write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    _write_json(folder / "special_tokens_map.json", TOKENS)
    _write_json(folder / "tokenizer_config.json", {**TOKENS, **TOKENIZER})
    _write_shards(weights, folder)


def _write_shards(weights: dict[str, Tensor], folder: Path) -> None:
    """Sharded pickles with an index, as the published language model has them."""
    names = list(weights)
    index: dict[str, str] = {}
    for number in range(SHARDS):
        shard = f"pytorch_model-{number + 1:05}-of-{SHARDS:05}.bin"
        chosen = names[number * len(names) // SHARDS : (number + 1) * len(names) // SHARDS]
        torch.save({name: weights[name] for name in chosen}, folder / shard)
        index |= dict.fromkeys(chosen, shard)
    total = sum(value.numel() * value.element_size() for value in weights.values())
    _write_json(folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": total}, "weight_map": index})


def _write_json(path: Path, facts: object) -> None:
    path.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
