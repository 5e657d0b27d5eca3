"""A whole bundle of a few hundred kilobytes: random weights, real formats, every stage runs.

It knows nothing. It is for what goes wrong: parts that do not fit, NaN, answers that never end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gguf
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

N_EMBD, N_FF, N_HEAD, N_CTX = 64, 128, 2, 512
CONTROL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{value:02X}>" for value in range(256)]
LETTERS = ["\u2581", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ?.,:#</>"]
TOKENS = CONTROL + BYTES + LETTERS
NORMS = ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
TEMPLATES = {
    "demo": {
        "before": "Look.###Patient: <Img>",
        "after": "</Img> {question}###Doctor:",
        "follow_up": " {answer}###Patient: {question}###Doctor:",
    },
    "train": {
        "before": "###Patient: <Img>",
        "after": "</Img> {question} ###Doctor: ",
        "follow_up": "{answer}###Patient: {question} ###Doctor: ",
    },
}


def write_language(
    target: Path, *, width: int = N_EMBD, nan: bool = False, more: Mapping[str, np.ndarray] = MappingProxyType({})
) -> Path:
    """A llama model of one layer with random weights; more: further tensors by name."""
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(TOKENS)
    writer.add_token_scores([0.0] * len(TOKENS))
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    writer.add_token_types([*kinds, *[gguf.TokenType.NORMAL] * len(LETTERS)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    for name, shape in _matrices(width).items():
        writer.add_tensor(f"{name}.weight", (random.normal(size=shape) * 0.2).astype(np.float32))
    norms = {f"{norm}.weight": np.full(width, np.nan if nan else 1.0, np.float32) for norm in NORMS}
    for name, vector in {**norms, **more}.items():
        writer.add_tensor(name, vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _matrices(width: int) -> dict[str, tuple[int, int]]:
    ends = {name: (len(TOKENS), width) for name in ("token_embd", "output")}
    attention = {f"blk.0.{part}": (width, width) for part in ("attn_q", "attn_k", "attn_v", "attn_output")}
    mlp = {"blk.0.ffn_gate": (N_FF, width), "blk.0.ffn_up": (N_FF, width), "blk.0.ffn_down": (width, N_FF)}
    return {**ends, **attention, **mlp}


def rounded_frequencies(head_width: int = N_EMBD // N_HEAD) -> dict[str, np.ndarray]:
    """The tensor by which version 0.1.0 rounded rotary frequencies to float16, float32 (head_width / 2,)."""
    exact = (10000.0 ** -(np.arange(0, head_width, 2) / head_width)).astype(np.float32)
    return {"rope_freqs.weight": exact / exact.astype(np.float16).astype(np.float32)}


def write_encoder(target: Path, *, rows: int = 2, width: int = N_EMBD, nan: bool = False) -> Path:
    """An encoder whose rows depend on the picture's mean colour."""
    random = np.random.default_rng(11)
    weights = {
        "w": random.normal(size=(3, rows * width)).astype(np.float32),
        "b": np.full(rows * width, np.nan if nan else 0.1, np.float32),
        "axes": np.array([2, 3], np.int64),
        "shape": np.array([-1, rows, width], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["rows"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", rows, width])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, target)
    return target


def write_bundle(root: Path, *, rows: int = 2, width: int = N_EMBD, **edits: Any) -> Path:
    """The whole bundle. edits: encoder={...} and language={...} for the writers, and manifest fields."""
    root.mkdir(parents=True)
    encoder = write_encoder(root / "vision-fp32.onnx", **{"rows": rows, "width": width, **edits.pop("encoder", {})})
    language = write_language(root / "language-F32.gguf", **{"width": width, **edits.pop("language", {})})
    manifest = {
        "schema": 2,
        "id": "tiny",
        "kind": "medclip",
        "architecture": "llama",
        "n_image_tokens": rows,
        "n_embd": width,
        "image": {"size_px": 224, "fit": "pad", "mean": [0.5] * 3, "std": [0.25] * 3},
        "prompt": {"default": "demo", "stop": ["###"], "templates": TEMPLATES},
        "files": [_entry(encoder, "vision", "fp32"), _entry(language, "language", "F32")],
        **edits,
    }
    (root / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return root


def _entry(path: Path, role: str, precision: str) -> dict[str, Any]:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return {"path": path.name, "role": role, "precision": precision, "size": len(data), "sha256": digest}
