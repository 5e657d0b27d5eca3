"""The tensor table of a GGUF file, read by ggml's own functions; no weight is loaded."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xraygpt_edge.errors import BundleIncompatible
from xraygpt_edge.generation.llama import KV_NUMBER_BYTES
from xraygpt_edge.generation.llama_library import import_ggml

FLOAT32 = 0
"""GGML_TYPE_F32, which needs no conversion."""
ROTARY_FACTORS = "rope_freqs.weight"
"""What llama.cpp divides its rotary frequencies by; without this tensor they are exact."""
NUMBER, STRING = 4, 8
"""GGUF_TYPE_UINT32 and _STRING: ggml aborts the process where a value is asked for as another type."""

ToFloat = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class _InitParams(ctypes.Structure):
    """gguf_init_params."""

    _fields_ = (("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p))


class _TypeTraits(ctypes.Structure):
    """The beginning of ggml_type_traits."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ToFloat),
    )


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies in its file, and how its numbers are written."""

    kind: int
    """A ggml_type."""
    start_bytes: int
    """From the beginning of the file."""
    size_bytes: int


def find_tensor(path: Path, name: str) -> StoredTensor | None:
    """The tensor of that name in a GGUF file, or None; raises BundleIncompatible for a file that is no GGUF."""
    ggml = ggml_functions()
    gguf = ggml.gguf_init_from_file(os.fsencode(path), _InitParams(no_alloc=True, ctx=None))
    if not gguf:
        raise BundleIncompatible("E-BND-023", path.name)
    try:
        number = ggml.gguf_find_tensor(gguf, name.encode())
        if number < 0:
            return None
        start_bytes = ggml.gguf_get_data_offset(gguf) + ggml.gguf_get_tensor_offset(gguf, number)
        kind, size_bytes = ggml.gguf_get_tensor_type(gguf, number), ggml.gguf_get_tensor_size(gguf, number)
        return StoredTensor(kind, start_bytes, size_bytes)
    finally:
        ggml.gguf_free(gguf)


def cache_bytes(path: Path) -> int:
    """Bytes of keys and values per position, by a GGUF file's header; raises BundleIncompatible for no GGUF."""
    ggml = ggml_functions()
    gguf = ggml.gguf_init_from_file(os.fsencode(path), _InitParams(no_alloc=True, ctx=None))
    if not gguf:
        raise BundleIncompatible("E-BND-023", path.name)
    try:
        facts = partial(_number, ggml, gguf, _architecture(ggml, gguf))
        heads = max(1, facts("attention.head_count"))
        usual = facts("embedding_length") // heads
        lengths = sum(facts(f"attention.{of}_length") or usual for of in ("key", "value"))
        return KV_NUMBER_BYTES * facts("block_count") * (facts("attention.head_count_kv") or heads) * lengths
    finally:
        ggml.gguf_free(gguf)


def _architecture(ggml: Any, gguf: Any) -> str:
    """What the keys of a header begin with; empty where it does not say."""
    place = ggml.gguf_find_key(gguf, b"general.architecture")
    is_text = place >= 0 and ggml.gguf_get_kv_type(gguf, place) == STRING
    return ggml.gguf_get_val_str(gguf, place).decode("utf-8", "replace") if is_text else ""


def _number(ggml: Any, gguf: Any, architecture: str, key: str) -> int:
    """A number of the header; 0 where it is not there."""
    place = ggml.gguf_find_key(gguf, f"{architecture}.{key}".encode())
    is_number = place >= 0 and ggml.gguf_get_kv_type(gguf, place) == NUMBER
    return int(ggml.gguf_get_val_u32(gguf, place)) if is_number else 0


def changes_rotary_frequencies(path: Path) -> bool:
    """Whether a GGUF file tells llama.cpp to turn positions by other frequencies than those of their base."""
    stored = find_tensor(path, ROTARY_FACTORS)
    if stored is None:
        return False
    if stored.kind != FLOAT32:
        return True
    with path.open("rb") as file:
        file.seek(stored.start_bytes)
        factors = np.frombuffer(file.read(stored.size_bytes), np.float32)
    return bool((factors != 1).any())


def ggml_functions() -> Any:
    """The library below llama.cpp, with the types of what is called here and in `embedding_table`."""
    ggml = import_ggml()
    handle, size = ctypes.c_void_p, ctypes.c_size_t
    types: dict[str, tuple[Any, list[Any]]] = {
        "gguf_init_from_file": (handle, [ctypes.c_char_p, _InitParams]),
        "gguf_free": (None, [handle]),
        "gguf_find_key": (ctypes.c_int64, [handle, ctypes.c_char_p]),
        "gguf_get_kv_type": (ctypes.c_int, [handle, ctypes.c_int64]),
        "gguf_get_val_u32": (ctypes.c_uint32, [handle, ctypes.c_int64]),
        "gguf_get_val_str": (ctypes.c_char_p, [handle, ctypes.c_int64]),
        "gguf_find_tensor": (ctypes.c_int64, [handle, ctypes.c_char_p]),
        "gguf_get_tensor_type": (ctypes.c_int, [handle, ctypes.c_int64]),
        "gguf_get_tensor_offset": (size, [handle, ctypes.c_int64]),
        "gguf_get_tensor_size": (size, [handle, ctypes.c_int64]),
        "gguf_get_data_offset": (size, [handle]),
        "ggml_row_size": (size, [ctypes.c_int, ctypes.c_int64]),
        "ggml_get_type_traits": (ctypes.POINTER(_TypeTraits), [ctypes.c_int]),
    }
    for name, (result, arguments) in types.items():
        function = getattr(ggml, name)
        function.restype, function.argtypes = result, arguments
    return ggml
