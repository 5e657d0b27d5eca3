"""Questions into prompts: text around image embeddings.

The words belong to the model: templates come from the bundle's manifest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.text import require_clean

TOKEN = re.compile(r"\{token:([^{}]+)\}")
"""How a template names a control token."""
PLACE = re.compile(r"\{(answer|question)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """The words around the image for one way of asking.

    `{token:</s>}` stands for the control token of exactly that text; only a template can name one.
    """

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


@dataclass(frozen=True, slots=True)
class ControlToken:
    """A token that no text becomes: it is named, never spelt."""

    text: str
    """Its whole text in the vocabulary."""


@dataclass(frozen=True, slots=True)
class MarkedText:
    """Text with control tokens in it; each run of plain text between them is tokenised by itself."""

    runs: tuple[str | ControlToken, ...]


Text: TypeAlias = str | MarkedText
Segment: TypeAlias = Text | tuple[int, ...] | NDArray[np.float32]
"""Text, a run of token ids, or image embeddings (n_image_tokens, n_embd)."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What the model is given, in order; each run of text is tokenised by itself.

    A prompt that begins with text gets the beginning-of-sequence token; token ids are taken as they stand.
    """

    segments: tuple[Segment, ...]


def around(template: Template, question: str, history: Sequence[Turn] = ()) -> tuple[Text, Text]:
    """The text before and after the image: the question, and what was said before it.

    Raises UsageError for a question with control or half characters: no tokenizer would take them as they are.
    """
    require_clean(question, "the question")
    questions = [*(turn.question for turn in history), question]
    after = _runs(template.after, question=questions[0])
    for turn, following in zip(history, questions[1:], strict=True):
        after += _runs(template.follow_up, answer=turn.answer, question=following)
    return _joined(_runs(template.before)), _joined(after)


def render(template: Template, image: NDArray[np.float32], question: str, history: Sequence[Turn] = ()) -> Prompt:
    """Place the question, and what was said before it, around the image embeddings."""
    before, after = around(template, question, history)
    return Prompt((before, image, after))


def control_tokens(templates: Iterable[Template]) -> tuple[str, ...]:
    """Texts of the control tokens that templates name, each once."""
    texts = (text for template in templates for text in (template.before, template.after, template.follow_up))
    return tuple(dict.fromkeys(found for text in texts for found in TOKEN.findall(text)))


def _runs(text: str, **values: str) -> list[str | ControlToken]:
    """Cut a template's text at its control tokens, then fill the places of each run: no value is ever cut.

    Each run is filled in one pass, so that braces in a question stay plain text.
    """
    return [
        ControlToken(run) if number % 2 else PLACE.sub(lambda place: values.get(place[1], place[0]), run)
        for number, run in enumerate(TOKEN.split(text))
    ]


def _joined(runs: Sequence[str | ControlToken]) -> Text:
    """Neighbouring runs of plain text as one: plain text alone stays a str."""
    joined: list[str | ControlToken] = [""]
    for run in runs:
        if isinstance(run, str) and isinstance(joined[-1], str):
            joined[-1] += run
        else:
            joined.append(run)
    return joined[0] if len(joined) == 1 and isinstance(joined[0], str) else MarkedText(tuple(joined))
