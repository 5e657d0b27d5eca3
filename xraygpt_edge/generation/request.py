"""What is wanted of the language model: all that decides one answer travels in one object."""

from __future__ import annotations

from dataclasses import dataclass, field

from xraygpt_edge.generation.answer import PLAIN, Wording
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.native import Deadline


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
    """Decode drafts where an answer repeats known phrases: the same tokens, sooner. Only at temperature 0."""


GREEDY = Sampling()


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A prompt, and how it is to be answered."""

    prompt: Prompt
    sampling: Sampling = GREEDY
    wording: Wording = PLAIN
    deadline: Deadline = field(default_factory=Deadline)


@dataclass(frozen=True, slots=True)
class Piece:
    """One generated token, or text that was held back until the end."""

    text: str
    """What can now be shown; empty while a character or a stop string is incomplete."""
    token_id: int | None
