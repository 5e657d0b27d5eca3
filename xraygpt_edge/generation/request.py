"""What is wanted of the language model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen."""

    temperature: float = 0.0
    """0 takes the likeliest token, so the answer repeats; above 0 draws."""
    top_p: float = 0.9
    """Draw only from the likeliest tokens that together have this probability."""
    max_tokens: int = 300
    """Most tokens to generate; the prompt is not counted."""
    seed: int = 0
    """Of the draws; without effect at temperature 0."""
    timeout_s: float | None = None
    """Give up this long after the call, reading and encoding counted in; None waits."""
    draft: bool = True
    """Guess words ahead where an answer repeats known phrases: the same words, sooner. Only at temperature 0."""


GREEDY = Sampling()


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token."""

    id: int
    piece: bytes
    """Its UTF-8 bytes, which may be part of a character."""
    is_end: bool
    """The model ended its answer with it."""
