"""The trained demo in the published file layouts, so that the exporter meets it as it meets XrayGPT."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from .train_language import Speaker, small_llama
from .train_vision import Encoder

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
    medclip, vicuna = folder / "medclip-vit", folder / "vicuna"
    for part in (medclip, vicuna):
        part.mkdir(parents=True, exist_ok=True)
    vision = {f"vision_model.{name}": value for name, value in encoder.state_dict().items()}
    torch.save(vision, medclip / "pytorch_model.bin")
    projector = {f"llama_proj.{name}": value for name, value in speaker.projector.state_dict().items()}
    torch.save({"model": projector, "epoch": 1}, folder / "xraygpt_checkpoint.pth")
    _write_language(speaker, vicuna)
    (vicuna / "tokenizer.model").write_bytes(vocabulary)


def _write_language(speaker: Speaker, folder: Path) -> None:
    weights = {name: value.half() for name, value in speaker.language.state_dict().items()}
    config = small_llama(speaker.vocabulary.get_piece_size()).to_dict()
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
