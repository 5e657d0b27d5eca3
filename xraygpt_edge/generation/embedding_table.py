"""Embeddings of a GGUF's token embedding, so that words can stand in one batch with image rows.

llama.cpp takes token ids or rows in a batch, never both. Looking a token up is only reading its row of
`token_embd.weight` and undoing its quantization, which is done here by ggml's own functions: the rows
are equal to the last bit to those that llama.cpp would have looked up.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import BundleIncompatible
from xraygpt_edge.generation.llama import import_ggml

TENSOR = b"token_embd.weight"
FLOAT32 = 0
"""GGML_TYPE_F32, which needs no conversion."""

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


class EmbeddingTable:
    """Token ids into rows; reads only the rows that are asked for."""

    def __init__(self, path: Path, n_embd: int) -> None:
        """Find the tensor in a GGUF file that llama.cpp has loaded; raises BundleIncompatible without it."""
        ggml = _functions(import_ggml())
        gguf = ggml.gguf_init_from_file(os.fsencode(path), _InitParams(no_alloc=True, ctx=None))
        if not gguf:
            raise BundleIncompatible("E-BND-023", path.name)
        try:
            number = ggml.gguf_find_tensor(gguf, TENSOR)
            if number < 0:
                raise BundleIncompatible("E-BND-023", f"{path.name} has no token embedding")
            kind = ggml.gguf_get_tensor_type(gguf, number)
            self._start: int = ggml.gguf_get_data_offset(gguf) + ggml.gguf_get_tensor_offset(gguf, number)
            self.size_bytes: int = ggml.gguf_get_tensor_size(gguf, number)
        finally:
            ggml.gguf_free(gguf)
        self._row_bytes: int = ggml.ggml_row_size(kind, n_embd)
        self._count, self._n_embd = self.size_bytes // self._row_bytes, n_embd
        self._to_float = None if kind == FLOAT32 else ggml.ggml_get_type_traits(kind).contents.to_float
        self._path = path

    def of(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Rows (len(ids), n_embd)."""
        with self._path.open("rb") as file:
            rows = [self._row(file, token) for token in ids]
        return np.stack(rows) if rows else np.empty((0, self._n_embd), np.float32)

    def _row(self, file: BinaryIO, token: int) -> NDArray[np.float32]:
        if not 0 <= token < self._count:
            raise ValueError(f"token {token} of {self._count}")
        file.seek(self._start + token * self._row_bytes)
        stored = file.read(self._row_bytes)
        if len(stored) != self._row_bytes:
            raise BundleIncompatible("E-BND-023", "the token embedding is cut off")
        if self._to_float is None:
            return np.frombuffer(stored, np.float32)
        row = np.empty(self._n_embd, np.float32)
        self._to_float(stored, row.ctypes.data, self._n_embd)
        return row


def _functions(ggml: Any) -> Any:
    """The library with the types of what is called here."""
    handle, size = ctypes.c_void_p, ctypes.c_size_t
    types: dict[str, tuple[Any, list[Any]]] = {
        "gguf_init_from_file": (handle, [ctypes.c_char_p, _InitParams]),
        "gguf_free": (None, [handle]),
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
