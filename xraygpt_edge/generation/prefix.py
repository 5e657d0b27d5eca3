"""The beginning of a prompt that stays in the cache, to be forked as often as wanted."""

from __future__ import annotations

from typing import Self

from xraygpt_edge.generation.context_tokens import ContextTokens, tokenise
from xraygpt_edge.generation.llama import LlamaModel
from xraygpt_edge.generation.prompt import Prompt


class Prefix:
    """A prompt's beginning, computed when it is first needed; a context manager that gives it up.

    May be shared by threads. It is a promise of speed alone: where its place in the cache was needed for others, it is
    computed again. Once nobody has it any more, it is forgotten.
    """

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self.tokens: ContextTokens | None = None
        """What it stands for; None until the scheduler has met it."""
        self.closed = False

    def prepare(self, model: LlamaModel) -> ContextTokens:
        """Tokenise it, on the scheduler's thread; raises what `tokenise` raises."""
        if self.tokens is None:
            self.tokens = tokenise(model, self._prompt)
        return self.tokens

    def __len__(self) -> int:
        """Count the positions; 0 before the scheduler has met it."""
        return len(self.tokens) if self.tokens else 0

    def close(self) -> None:
        """Let the cache forget it when it needs the place."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
