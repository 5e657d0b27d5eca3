"""A Gemma 3 to GGUF, tensor by tensor; and whether a GGUF that somebody else wrote is of the same model."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_VERSION, GGUFReader, GGUFWriter, LlamaFileType, RopeScalingType, TokenType
from numpy.typing import NDArray
from torch import Tensor

from export.checkpoints import shortened
from export.errors import ExportRefused
from export.gemma import EMBEDDINGS, NORM, SLIDING_TO_FULL, Gemma, expected_shape, usable, wanted_names
from export.language_gguf import FLOAT_TYPES, DType, opened, rounded, write, write_shape
from export.quantize import TYPES
from export.staging import appearing
from export.vocabulary import SPACE, Vocabulary, read_vocabulary, write_vocabulary

ARCHITECTURE = "gemma3"
STEM = {EMBEDDINGS: "token_embd.weight", NORM: "output_norm.weight"}
LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_proj": "attn_k",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_feedforward_layernorm": "post_ffw_norm",
}
TOKENS = "tokenizer.ggml.tokens"
FLOAT_DIGITS = 1e-6
"""Relative; GGUF keeps numbers of 32 bits."""


def convert(gemma: Gemma, target: Path, precision: str = "F16", *, name: str, control: Collection[str] = ()) -> None:
    """Write the model as F16 or F32; target appears whole or not at all.

    control: texts of tokens that no text may become. Raises ExportRefused for a weight that F16 cannot hold.
    """
    dtype, file_type = FLOAT_TYPES[precision]
    names = wanted_names(gemma.shape)
    shapes = {gguf_name(theirs): expected_shape(theirs, gemma.shape) for theirs in names}
    with appearing(target) as partial, opened(partial, ARCHITECTURE) as writer:
        writer.add_name(name)
        writer.add_file_type(file_type)
        writer.add_quantization_version(GGML_QUANT_VERSION)
        _write_header(writer, gemma)
        write_vocabulary(writer, _vocabulary(gemma, control))
        weights = (converted(theirs, tensor, dtype) for theirs, tensor in gemma.tensors(names))
        write(writer, target.name, dtype, shapes, weights)


def converted(name: str, tensor: Tensor, dtype: DType) -> NDArray[np.generic]:
    """One tensor as GGUF stores it: norms with the 1 that transformers adds when it computes."""
    weight = usable(name, tensor)
    return rounded(name, 1 + weight.float() if name.endswith("norm.weight") else weight, dtype)


def gguf_name(name: str) -> str:
    """Our name of a tensor as GGUF's."""
    if name in STEM:
        return STEM[name]
    _, _, number, part = name.split(".", 3)
    return f"blk.{number}.{LAYER[part.removesuffix('.weight')]}.weight"


def precision_of(gguf: Path) -> str:
    """The precision of a ready file; raises ExportRefused for no GGUF, and for a type that is not known here."""
    kind = _facts(_reader(gguf)).get("general.file_type")
    known = {int(number): name for name, number in TYPES.items()}
    known |= {int(number): name for name, (_, number) in FLOAT_TYPES.items()}
    if kind not in known:
        names = ", ".join(known.values())
        found = next((member.name for member in LlamaFileType if member == kind), f"number {kind}")
        raise ExportRefused(f"{gguf.name} has a type that is not measured here.", [f"{found}; known are {names}"])
    return known[kind]


def token_count(gguf: Path) -> int:
    """How many tokens a ready file has."""
    return len(_facts(_reader(gguf))[TOKENS])


def require_same_model(gguf: Path, gemma: Gemma, control: Collection[str]) -> None:
    """Hold a ready file's header and vocabulary against the folder that it is to be of.

    What its weights are shows when it is compared with the original. Raises ExportRefused with all that differs.
    """
    reader = _reader(gguf)
    facts = _facts(reader)
    problems = list(_differences(facts, gemma))
    found = {tensor.name: tuple(reversed(tensor.shape.tolist())) for tensor in reader.tensors}
    wanted = {gguf_name(name): expected_shape(name, gemma.shape) for name in wanted_names(gemma.shape)}
    wanted[STEM[EMBEDDINGS]] = (len(facts.get(TOKENS, ())), gemma.shape.width)
    problems += [f"missing: {name}" for name in wanted if name not in found]
    problems += [f"unexpected: {name}" for name in found if name not in wanted]
    problems += [
        f"{name} has shape {found[name]}, {shape} is needed"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    problems += _vocabulary_problems(facts, _vocabulary(gemma, control), control)
    if problems:
        raise ExportRefused(f"{gguf.name} is not of the model in {gemma.folder.name}.", shortened(problems))


def _vocabulary(gemma: Gemma, control: Collection[str]) -> Vocabulary:
    return read_vocabulary(gemma.folder, gemma.shape.vocabulary, gemma.config, control)


def _write_header(writer: GGUFWriter, gemma: Gemma) -> None:
    shape = gemma.shape
    write_shape(writer, shape)
    if shape.rope_factor != 1:
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(shape.rope_factor)
    if any(shape.has_window):
        writer.add_sliding_window(shape.window)
        writer.add_sliding_window_pattern(shape.has_window)
        writer.add_rope_freq_base_swa(shape.window_rope_base)


def _reader(gguf: Path) -> GGUFReader:
    try:
        return GGUFReader(gguf)
    except (ValueError, OSError, IndexError, KeyError) as error:
        raise ExportRefused(f"{gguf.name} is no GGUF file that can be read.", [str(error)]) from error


def _facts(reader: GGUFReader) -> dict[str, Any]:
    return {name: field.contents() for name, field in reader.fields.items()}


def _differences(facts: dict[str, Any], gemma: Gemma) -> Iterator[str]:
    """What a header says otherwise than the folder; a key that it leaves out is what llama.cpp takes then."""
    architecture = facts.get("general.architecture")
    if architecture != ARCHITECTURE:
        yield f"general.architecture is {architecture!r}, {ARCHITECTURE!r} is needed"
        return
    for key, (wanted, left_out) in _header(gemma).items():
        found = facts.get(f"{ARCHITECTURE}.{key}", left_out)
        if not _is_equal(found, wanted):
            yield f"{key} is {found!r}, the folder says {wanted!r}"
    pattern = facts.get(f"{ARCHITECTURE}.attention.sliding_window_pattern", SLIDING_TO_FULL)
    layers = range(gemma.shape.layers)
    windows = [bool((n + 1) % pattern) for n in layers] if isinstance(pattern, int) else list(map(bool, pattern))
    if any(gemma.shape.has_window) and windows != list(gemma.shape.has_window):
        yield f"attention.sliding_window_pattern is {pattern!r}, the folder says otherwise"


def _header(gemma: Gemma) -> dict[str, tuple[Any, Any]]:
    """Key → what it must say, and what it means where it is left out."""
    shape = gemma.shape
    return {
        "block_count": (shape.layers, None),
        "embedding_length": (shape.width, None),
        "feed_forward_length": (shape.mlp_width, None),
        "attention.head_count": (shape.heads, None),
        "attention.head_count_kv": (shape.kv_heads, shape.heads),
        "attention.key_length": (shape.head_width, shape.width // shape.heads),
        "attention.value_length": (shape.head_width, shape.width // shape.heads),
        "attention.layer_norm_rms_epsilon": (shape.norm_eps, None),
        "attention.sliding_window": (shape.window if any(shape.has_window) else 0, 0),
        "rope.freq_base": (shape.rope_base, 10000.0),
        "rope.freq_base_swa": (shape.window_rope_base, 10000.0),
        "rope.scaling.factor": (shape.rope_factor, 1.0),
        **({"rope.scaling.type": ("linear", "linear")} if shape.rope_factor != 1 else {}),
        "final_logit_softcapping": (0.0, 0.0),
    }


def _is_equal(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, (int, float)):
        return math.isclose(found, wanted, rel_tol=FLOAT_DIGITS)
    return bool(found == wanted)


def _vocabulary_problems(facts: dict[str, Any], ours: Vocabulary, control: Collection[str]) -> Iterator[str]:
    """Where a ready file's tokens are others; it may leave out added and spare ones at the end."""
    tokens, types = facts.get(TOKENS, []), facts.get("tokenizer.ggml.token_type", [])
    texts = [text.decode("utf-8", "replace") for text in ours.texts]
    if not ours.learned <= len(tokens) <= len(texts) or len(types) != len(tokens):
        yield f"it has {len(tokens)} tokens with {len(types)} types, the model {len(texts)}"
        return
    pairs = zip(tokens, texts[: ours.known], strict=False)
    others = [n for n, (one, other) in enumerate(pairs) if one.replace(SPACE, " ") != other.replace(SPACE, " ")]
    if others:
        yield f"token {others[0]} is {tokens[others[0]]!r}, the folder says {texts[others[0]]!r}; {len(others)} differ"
    for text in control:
        number = texts.index(text) if text in texts else len(types)
        if number >= len(types) or types[number] != TokenType.CONTROL:
            yield f"{text} is no control token"
