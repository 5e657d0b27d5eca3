"""Tokens of an answer into the bytes that people see."""

from __future__ import annotations

from xraygpt_edge.generation.llama import LlamaModel


class Spelling:
    """The bytes of an answer's tokens, one after the other.

    A token that ends the answer has none, nor has what the model thinks aloud between its two tokens for that: such
    tokens are generated and counted like others.
    """

    def __init__(self, model: LlamaModel) -> None:
        self._model, self._is_thinking = model, False

    def piece(self, token: int) -> bytes:
        """Take the next token; return what it adds to the text, which may be half a character."""
        if token in self._model.thinking:
            self._is_thinking = token == self._model.thinking[0]
            return b""
        return b"" if self._is_thinking or self._model.is_end(token) else self._model.piece(token)
