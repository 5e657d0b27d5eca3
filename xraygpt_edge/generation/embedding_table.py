"""Embeddings of a GGUF's token embedding, so that words can stand in one batch with image embeddings.

llama.cpp takes token ids or rows in a batch, never both. Looking a token up is only reading its row of
`token_embd.weight` and undoing its quantization, which is done here by ggml's own functions: the rows
are equal to the last bit to those that llama.cpp would have looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import BundleIncompatible
from xraygpt_edge.generation.gguf_file import FLOAT32, find_tensor, ggml_functions

TENSOR = "token_embd.weight"


class EmbeddingTable:
    """Token ids into rows; reads only the rows that are asked for."""

    def __init__(self, path: Path, n_embd: int, scale: float = 1.0) -> None:
        """Find the tensor in a GGUF file that llama.cpp has loaded; raises BundleIncompatible without it.

        scale: what llama.cpp multiplies a token id's row by, and leaves to us for a row that it is given.
        """
        stored = find_tensor(path, TENSOR)
        if stored is None:
            raise BundleIncompatible("E-BND-023", f"{path.name} has no token embedding")
        ggml = ggml_functions()
        self._start, self.size_bytes = stored.start_bytes, stored.size_bytes
        self._row_bytes: int = ggml.ggml_row_size(stored.kind, n_embd)
        self._count, self._n_embd = self.size_bytes // self._row_bytes, n_embd
        self._scale = np.float32(scale)
        self._to_float = None if stored.kind == FLOAT32 else ggml.ggml_get_type_traits(stored.kind).contents.to_float
        self._path = path

    def of(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Rows (len(ids), n_embd)."""
        with self._path.open("rb") as file:
            rows = [self._row(file, token) for token in ids]
        return np.stack(rows) * self._scale if rows else np.empty((0, self._n_embd), np.float32)

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
