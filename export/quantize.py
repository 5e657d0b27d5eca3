"""llama.cpp's own quantizer: an F16 or F32 GGUF into a smaller one."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from gguf import LlamaFileType

from export.errors import ExportRefused
from export.staging import appearing
from xraygpt_edge.generation.llama_library import import_llama

TYPES = {
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q6_K": LlamaFileType.MOSTLY_Q6_K,
    "Q5_K_M": LlamaFileType.MOSTLY_Q5_K_M,
    "Q5_K_S": LlamaFileType.MOSTLY_Q5_K_S,
    "Q4_K_M": LlamaFileType.MOSTLY_Q4_K_M,
    "Q4_K_S": LlamaFileType.MOSTLY_Q4_K_S,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
    "Q3_K_M": LlamaFileType.MOSTLY_Q3_K_M,
    "Q2_K": LlamaFileType.MOSTLY_Q2_K,
}
BUFFER_BYTES = 1 << 30
"""Rows that the quantizer holds at once; its default of 8 GiB is more than some machines have."""


def quantize(source: Path, target: Path, precision: str, threads: int) -> None:
    """Write source in the given precision; target appears whole or not at all."""
    lib = import_llama()
    params = lib.llama_model_quantize_default_params()
    params.ftype = int(TYPES[precision])
    params.nthread = threads
    params.max_buf_size = BUFFER_BYTES
    with appearing(target) as partial:
        status = lib.llama_model_quantize(os.fsencode(source), os.fsencode(partial), ctypes.byref(params))
        if status != 0:
            raise ExportRefused(f"llama.cpp could not quantize {source.name} to {precision} (status {status}).")
