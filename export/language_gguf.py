"""A LLaMA to GGUF, tensor by tensor: memory stays at one tensor, whatever the model's size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGML_QUANT_VERSION, GGUFWriter, LlamaFileType
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from export.errors import ExportRefused
from export.gemma import GemmaShape
from export.staging import appearing
from export.vicuna import LlamaShape, Vicuna, checked, expected_shape
from export.vocabulary import read_vocabulary, write_vocabulary

DType = np.dtype[Any]

ARCHITECTURE = "llama"
HALF_BYTES = 2
STEM = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
FLOAT_TYPES: dict[str, tuple[DType, LlamaFileType]] = {
    "F16": (np.dtype(np.float16), LlamaFileType.MOSTLY_F16),
    "F32": (np.dtype(np.float32), LlamaFileType.ALL_F32),
}


def convert(vicuna: Vicuna, target: Path, precision: str = "F16", *, name: str = "XrayGPT language model") -> None:
    """Write the model as F16 or F32; target appears whole or not at all.

    Norms are kept as F32 in both. Rotary frequencies are not stored: llama.cpp computes them from their base,
    exactly as the published program does. Raises ExportRefused for a weight that F16 cannot hold.
    """
    dtype, file_type = FLOAT_TYPES[precision]
    names = list(vicuna.homes)
    shapes = {gguf_name(theirs): expected_shape(theirs, vicuna.shape) for theirs in names}
    with appearing(target) as partial, opened(partial, ARCHITECTURE) as writer:
        _write_header(writer, vicuna, file_type, name)
        weights = (converted(theirs, tensor, vicuna.shape, dtype) for theirs, tensor in vicuna.tensors(names))
        write(writer, target.name, dtype, shapes, weights)


def write(
    writer: GGUFWriter,
    label: str,
    dtype: DType,
    shapes: Mapping[str, tuple[int, ...]],
    weights: Iterable[NDArray[np.generic]],
) -> None:
    """Finish a file whose header is set: tensors by their names there, then their weights in that order.

    label: what is shown while they are written.
    """
    for name, shape in shapes.items():
        stored = _stored_type(shape, dtype)
        writer.add_tensor_info(name, shape, stored, stored.itemsize * math.prod(shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for weight in track(weights, label, len(shapes), console=Console(stderr=True), transient=True):
        writer.write_tensor_data(weight)


def converted(name: str, tensor: Tensor, shape: LlamaShape, dtype: DType) -> NDArray[np.generic]:
    """One tensor as GGUF stores it; q and k in the order that llama.cpp rotates."""
    weight = checked(name, tensor, shape)
    if name.endswith(("q_proj.weight", "k_proj.weight")):
        weight = rotary_order(weight, shape.heads if "q_proj" in name else shape.kv_heads)
    return rounded(name, weight, dtype)


def rounded(name: str, weight: Tensor, dtype: DType) -> NDArray[np.generic]:
    """A weight as a file of that type stores it; raises ExportRefused for one that F16 cannot hold."""
    is_half = _stored_type(tuple(weight.shape), dtype).itemsize == HALF_BYTES
    stored = weight.to(torch.float16 if is_half else torch.float32)
    if not bool(torch.isfinite(stored).all()):
        raise ExportRefused("F16 cannot hold a weight of this model; use F32.", [name])
    return stored.contiguous().numpy()


def rotary_order(weight: Tensor, heads: int) -> Tensor:
    """Rows of q or k from Hugging Face's order to llama.cpp's.

    Both rotate pairs of a head's components: Hugging Face pairs component i with i + half,
    llama.cpp pairs neighbours. weight: (heads * head_width, width), the result too.
    """
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).transpose(1, 2).reshape(rows, width)


def gguf_name(name: str) -> str:
    """Hugging Face's name of a tensor as GGUF's."""
    if name in STEM:
        return STEM[name]
    _, _, number, part = name.split(".", 3)
    return f"blk.{number}.{LAYER[part.removesuffix('.weight')]}.weight"


def _stored_type(shape: tuple[int, ...], dtype: DType) -> DType:
    """Norms are vectors; llama.cpp wants them in full precision."""
    return np.dtype(np.float32) if len(shape) == 1 else dtype


@contextmanager
def opened(partial: Path, architecture: str) -> Iterator[GGUFWriter]:
    """A file to write a header and tensors to; it is closed whatever happens."""
    writer = GGUFWriter(partial, architecture)
    try:
        yield writer
    finally:
        if writer.fout is not None:  # also when the disk is full
            writer.close()


def write_shape(writer: GGUFWriter, shape: LlamaShape | GemmaShape) -> None:
    """The dimensions that a header of every kind has."""
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.mlp_width)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_vocab_size(shape.vocabulary)


def _write_header(writer: GGUFWriter, vicuna: Vicuna, file_type: LlamaFileType, name: str) -> None:
    writer.add_name(name)
    write_shape(writer, vicuna.shape)
    writer.add_file_type(file_type)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    write_vocabulary(writer, read_vocabulary(vicuna.folder, vicuna.shape.vocabulary, vicuna.config))
