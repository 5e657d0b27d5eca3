"""What is computed once and used again, beside computing it anew: a conversation, one image, the start of a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks import child
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.reused import QUESTION_TOKENS, SPOKEN_TOKENS, START_TOKENS
from benchmarks.task import Task

QUESTIONS = 15
"""As many as the model was trained with."""


def contests(task: Task) -> Iterator[Contest]:
    """One for each thing that is kept."""
    turn, questions, word = (partial(_measured, task, f"reused.{name}") for name in ("turn", "questions", "first_word"))
    yield Contest(
        "reuse, a conversation",
        (_seconds("first word of a turn"),),
        (
            Side(f"with {SPOKEN_TOKENS} tokens behind the image", partial(turn, spoken=True)),
            Side("first turn", partial(turn, spoken=False)),
        ),
        (f"{QUESTION_TOKENS} new tokens each; what was said before is kept",),
    )
    yield Contest(
        "reuse, one image",
        (_seconds(f"prompts of {QUESTIONS} questions"),),
        (
            Side("behind one image", partial(questions, count=QUESTIONS, together=True)),
            Side("each alone", partial(questions, count=QUESTIONS, together=False)),
        ),
        (f"start of {START_TOKENS} tokens, image, {QUESTION_TOKENS} tokens of each question",),
    )
    yield Contest(
        "reuse, the start",
        (_seconds("first prompt of a process"),),
        (Side("start saved", partial(word, saved=True)), Side("nothing saved", partial(word, saved=False))),
        (f"start of {START_TOKENS} tokens, image, question of {QUESTION_TOKENS}; the file is read and hashed",),
    )


def _seconds(title: str) -> Metric:
    return Metric("seconds", title, "s", higher_is_better=False)


def _measured(task: Task, function: str, **arguments: object) -> Raw:
    found: Raw = child.call(
        function,
        language=str(task.language_path),
        threads=task.threads,
        n_rows=task.opened.manifest.n_image_tokens,
        **arguments,
    )
    return found
