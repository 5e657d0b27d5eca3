"""The child process of `llama_wheel prove`: loads a GGUF file, decodes a few tokens, says what it was.

It may die with a signal: that is what its parent wants to know.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import llama_cpp
import numpy as np

from export.tiny_gguf import write_tiny_gguf

N_CTX = 64
PROMPT_TOKENS = 40
"""Enough for the matrix-by-matrix path; the token after it takes the matrix-by-vector path."""


def decode(model: Path) -> str:
    """Decode a prompt and one more token.

    Returns words for the user. Raises ValueError when the logits are not finite or all alike.
    """
    llama = llama_cpp.Llama(str(model), n_ctx=N_CTX, n_batch=N_CTX, n_threads=1, verbose=False)
    n_vocab = llama.n_vocab()
    llama.eval([1 + i % (n_vocab - 1) for i in range(PROMPT_TOKENS)])
    llama.eval([1])
    logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llama.ctx, -1), shape=(n_vocab,))
    if not np.isfinite(logits).all() or np.ptp(logits) == 0:
        raise ValueError(f"{model.name}: the logits are not finite, or are all alike")
    return f"{PROMPT_TOKENS + 1} tokens decoded with {model.name}"


def main() -> None:
    """Decode with the file that was named, or with a tiny one made here."""
    if len(sys.argv) > 1:
        print(decode(Path(sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(decode(write_tiny_gguf(Path(folder) / "tiny.gguf")))


if __name__ == "__main__":
    main()
