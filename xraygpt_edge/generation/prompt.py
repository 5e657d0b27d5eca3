"""Questions into prompts: text around image embeddings.

The words belong to the model: templates come from the bundle's manifest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.text import require_clean


@dataclass(frozen=True, slots=True)
class Template:
    """The words around the image for one way of asking."""

    before: str
    """Stands before the image; the beginning-of-sequence token is not part of it."""
    after: str
    """Stands behind the image; holds {question}."""
    follow_up: str
    """Follows `after` for each later turn; holds {answer} (the previous one) and {question}."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One question that was answered."""

    question: str
    answer: str


Segment: TypeAlias = str | tuple[int, ...] | NDArray[np.float32]
"""A run of plain text, a run of token ids, or image embeddings (n_image_tokens, n_embd)."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What the model is given, in order; each run of text is tokenised by itself.

    A prompt that begins with text gets the beginning-of-sequence token; token ids are taken as they stand.
    """

    segments: tuple[Segment, ...]


def around(template: Template, question: str, history: Sequence[Turn] = ()) -> tuple[str, str]:
    """The text before and after the image: the question, and what was said before it.

    Raises UsageError for a question with control or half characters: no tokenizer would take them as they are.
    """
    require_clean(question, "the question")
    questions = [*(turn.question for turn in history), question]
    after = _fill(template.after, question=questions[0])
    for turn, following in zip(history, questions[1:], strict=True):
        after += _fill(template.follow_up, answer=turn.answer, question=following)
    return template.before, after


def render(template: Template, image: NDArray[np.float32], question: str, history: Sequence[Turn] = ()) -> Prompt:
    """Place the question, and what was said before it, around the image embeddings."""
    before, after = around(template, question, history)
    return Prompt((before, image, after))


def _fill(text: str, **values: str) -> str:
    """Put values in their places in one pass, so that braces in a question stay plain text."""
    return re.sub(r"\{(answer|question)\}", lambda place: values[place[1]], text)
