"""A Gemma 3 of a few hundred kilobytes, and a whole bundle of it: random weights, windows, an image seen at once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests import tiny
from tests.tiny import N_CTX

WIDTH, N_FF, N_HEAD, N_KV, HEAD = 48, 96, 3, 1, 32
LAYERS, PATTERN = 4, 2
"""Every second layer looks at all positions."""
WINDOW = 16
NAMED = ["<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<unused94>", "<unused95>"]
TOKENS = [*tiny.TOKENS, *NAMED]
NORMS = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
SIZES = {"attn_q_norm": 4.0, "post_ffw_norm": 0.3}
"""Norms that let attention decide, so that answers do not stand still."""
_TURN = "{token:<end_of_turn>}\n{token:<start_of_turn>}"
TEMPLATE = {
    "before": "{token:<start_of_turn>}user\n\n\n{token:<start_of_image>}",
    "after": "{token:<end_of_image>}\n\n{question}" + _TURN + "model\n",
    "follow_up": "{answer}" + _TURN + "user\n{question}" + _TURN + "model\n",
}
THINKING = ["<unused94>", "<unused95>"]


def write_language(target: Path, *, window: int = WINDOW) -> Path:
    """A gemma3 of four layers with random weights; its tokens are the tiny LLaMA's and Gemma's own behind them."""
    random = np.random.default_rng(5)
    writer = gguf.GGUFWriter(target, "gemma3")
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv(N_KV)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_sliding_window(window)
    writer.add_sliding_window_pattern(PATTERN)
    _add_vocabulary(writer)
    for name, shape in _matrices().items():
        spread = 0.05 if name == "token_embd" else 0.2  # larger ones would let it say the last token again
        writer.add_tensor(f"{name}.weight", (random.normal(size=shape) * spread).astype(np.float32))
    for name, width in _vectors().items():
        usual = next((size for norm, size in SIZES.items() if norm in name), 1.0)
        writer.add_tensor(f"{name}.weight", (usual + random.normal(size=width) * 0.1).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    letters, control = [gguf.TokenType.NORMAL] * len(tiny.LETTERS), [gguf.TokenType.CONTROL]
    kinds = [gguf.TokenType.UNKNOWN, *control * 2, *[gguf.TokenType.BYTE] * 256, *letters, *control * len(NAMED)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(TOKENS)
    writer.add_token_scores([0.0] * len(TOKENS))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)


def _matrices() -> dict[str, tuple[int, int]]:
    heads, kv = N_HEAD * HEAD, N_KV * HEAD
    layer = {
        "attn_q": (heads, WIDTH),
        "attn_k": (kv, WIDTH),
        "attn_v": (kv, WIDTH),
        "attn_output": (WIDTH, heads),
        "ffn_gate": (N_FF, WIDTH),
        "ffn_up": (N_FF, WIDTH),
        "ffn_down": (WIDTH, N_FF),
    }
    layers = {f"blk.{n}.{name}": shape for n in range(LAYERS) for name, shape in layer.items()}
    return {"token_embd": (len(TOKENS), WIDTH), **layers}


def _vectors() -> dict[str, int]:
    norms = {f"blk.{n}.{name}": WIDTH for n in range(LAYERS) for name in NORMS}
    heads = {f"blk.{n}.attn_{of}_norm": HEAD for n in range(LAYERS) for of in "qk"}
    return {"output_norm": WIDTH, **norms, **heads}


def write_bundle(root: Path, *, rows: int = 9, **edits: Any) -> Path:
    """The whole bundle; edits as in `tiny.write_bundle`."""
    prompt = {"default": "plain", "stop": ["<end_of_turn>"], "templates": {"plain": TEMPLATE}, "thinking": THINKING}
    image = {"size_px": 224, "fit": "squash", "mean": [0.5] * 3, "std": [0.5] * 3, "resample": "bilinear"}
    facts = {"kind": "medgemma", "architecture": "gemma3", "image": image, "prompt": prompt}
    tiny.write_bundle(root, rows=rows, width=WIDTH, language={"width": 64}, **{**facts, **edits})
    data = write_language(root / "language-F32.gguf").read_bytes()
    manifest = json.loads((root / "manifest.json").read_text("utf-8"))
    (entry,) = (entry for entry in manifest["files"] if entry["role"] == "language")
    entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (root / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return root
