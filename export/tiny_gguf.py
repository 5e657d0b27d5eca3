"""A language model of a few kilobytes in a GGUF file: meaningless words, every quantized code path.

The weights are Q8_0, because a build of llama.cpp that dies does so in quantized arithmetic. Written
by hand with `struct`, so that it needs no library: the format is GGUF version 3.
"""

from __future__ import annotations

import struct
from pathlib import Path

N_VOCAB, N_EMBD, N_FFN, N_HEAD, N_CTX = 64, 64, 128, 2, 128
ALIGNMENT_BYTES = 32
BLOCK = 32
"""Weights that share one scale in Q8_0."""
U32, F32, STRING = 4, 6, 8
"""Value types in GGUF metadata."""
TENSOR_F32, TENSOR_Q8_0 = 0, 8

METADATA: dict[str, str | int | float] = {
    "general.architecture": "llama",
    "general.name": "tiny",
    "llama.context_length": N_CTX,
    "llama.embedding_length": N_EMBD,
    "llama.block_count": 1,
    "llama.feed_forward_length": N_FFN,
    "llama.attention.head_count": N_HEAD,
    "llama.attention.layer_norm_rms_epsilon": 1e-6,
    "llama.vocab_size": N_VOCAB,
    "tokenizer.ggml.model": "no_vocab",
}

VECTORS = ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm")
"""One weight for each channel, fp32."""

MATRICES = {
    "token_embd": (N_EMBD, N_VOCAB),
    "output": (N_EMBD, N_VOCAB),
    "blk.0.attn_q": (N_EMBD, N_EMBD),
    "blk.0.attn_k": (N_EMBD, N_EMBD),
    "blk.0.attn_v": (N_EMBD, N_EMBD),
    "blk.0.attn_output": (N_EMBD, N_EMBD),
    "blk.0.ffn_gate": (N_EMBD, N_FFN),
    "blk.0.ffn_up": (N_EMBD, N_FFN),
    "blk.0.ffn_down": (N_FFN, N_EMBD),
}
"""Name → (inputs, outputs), Q8_0."""


def text(words: str) -> bytes:
    """A string as GGUF writes it."""
    return struct.pack("<Q", len(words)) + words.encode()


def value(of: str | float) -> bytes:
    """A metadata value with its type before it."""
    if isinstance(of, str):
        return struct.pack("<I", STRING) + text(of)
    return struct.pack("<II", U32, of) if isinstance(of, int) else struct.pack("<If", F32, of)


def q8_0(inputs: int, outputs: int) -> bytes:
    """Weights that repeat every 251, scaled by 0.01: varied, small, the same every time."""
    n_blocks = inputs * outputs // BLOCK
    quants = [(i * 37 % 251) - 125 for i in range(n_blocks * BLOCK)]
    blocks = (struct.pack("<e32b", 0.01, *quants[i * BLOCK : (i + 1) * BLOCK]) for i in range(n_blocks))
    return b"".join(blocks)


def tensors() -> list[tuple[str, tuple[int, ...], int, bytes]]:
    """(name, shape, type, data) of each tensor."""
    norms = [(name, (N_EMBD,), TENSOR_F32, struct.pack(f"<{N_EMBD}f", *[1.0] * N_EMBD)) for name in VECTORS]
    return [*norms, *((name, shape, TENSOR_Q8_0, q8_0(*shape)) for name, shape in MATRICES.items())]


def write_tiny_gguf(target: Path) -> Path:
    """Write the model, about 60 kB, and return where it lies."""
    parts = tensors()
    head = b"GGUF" + struct.pack("<IQQ", 3, len(parts), len(METADATA))
    head += b"".join(text(key) + value(of) for key, of in METADATA.items())
    body = b""
    for name, shape, kind, data in parts:
        body += bytes(-len(body) % ALIGNMENT_BYTES)
        place = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(body))
        head += text(f"{name}.weight") + place
        body += data
    target.write_bytes(head + bytes(-len(head) % ALIGNMENT_BYTES) + body)
    return target
