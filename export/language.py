"""What the export does with a language model, whichever kind it is of."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TypeAlias

from export import gemma_gguf, language_gguf
from export.gemma import Gemma
from export.reference_gemma import StreamedGemma
from export.reference_llama import Streamed, StreamedLlama
from export.staging import appearing
from export.vicuna import Vicuna

Language: TypeAlias = Vicuna | Gemma
"""An opened folder."""


def architecture(language: Language) -> str:
    """GGUF's name of its kind."""
    return (gemma_gguf if isinstance(language, Gemma) else language_gguf).ARCHITECTURE


def convert(language: Language, target: Path, precision: str, name: str, control: Collection[str]) -> None:
    """Write it as F16 or F32. control: texts of tokens that no text may become."""
    if isinstance(language, Gemma):
        gemma_gguf.convert(language, target, precision, name=name, control=control)
    else:
        language_gguf.convert(language, target, precision, name=name)


def copy(ready: Path, target: Path) -> None:
    """Take a file that somebody else has made; target appears whole or not at all."""
    with appearing(target) as unfinished:
        shutil.copyfile(ready, unfinished)


def require_same(ready: Path, language: Language, control: Collection[str]) -> None:
    """Raise ExportRefused for a ready file that is not of this model."""
    if isinstance(language, Gemma):
        gemma_gguf.require_same_model(ready, language, control)


def original(language: Language, ready: Path | None) -> Streamed:
    """The unquantized model, with logits of as many tokens as a ready file has: it may leave spare ones out."""
    if isinstance(language, Gemma):
        return StreamedGemma(language, gemma_gguf.token_count(ready) if ready else None)
    return StreamedLlama(language)
