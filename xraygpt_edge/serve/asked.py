"""What a request asks for, in whatever API, as what the model is asked: checked, with the server's defaults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from xraygpt_edge.bundle import questions
from xraygpt_edge.bundle.manifest import PromptRecipe
from xraygpt_edge.errors import UsageError
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.imaging.images import PROFILES, ReadOptions
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.text import require_clean

Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
TopP = Annotated[float, msgspec.Meta(gt=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


def clean(text: str, param: str) -> str:
    """Text that a tokenizer takes as it is; raises Refused."""
    try:
        return require_clean(text.replace("\r\n", "\n").replace("\r", "\n"), param)
    except UsageError as error:
        raise Refused.of(error, param) from None


def question(prompt: PromptRecipe, text: str, param: str, indication: str = "") -> str:
    """The words of a question of at least one character, behind `@NAME` the bundle's own; raises Refused."""
    found = clean(text, param).strip()
    if not found:
        raise Refused.because("E-USE-004", param=param)
    try:
        return questions.asked(prompt, found, indication)
    except UsageError as error:
        raise Refused.of(error, param if error.error_id == "E-USE-010" else "indication") from None


def conversation(
    prompt: PromptRecipe, earlier: Sequence[str], last: str, param: str, indication: str
) -> tuple[list[str], str]:
    """The words of earlier questions about one radiograph, and of the one that is asked; raises Refused as `question`.

    The indication goes to each that has a place for it; where none has, the last one is refused. param: of that one.
    """
    fits = [questions.with_place(prompt, text) is not None for text in (*earlier, last)]
    words = [
        question(prompt, text, "messages", indication if has_place else "") if text else ""
        for text, has_place in zip(earlier, fits, strict=False)
    ]
    return words, question(prompt, last, param, indication if fits[-1] or not any(fits) else "")


def sampling(
    default: Sampling,
    max_tokens: int | None,
    temperature: float | None,
    top_p: float | None,
    seed: int | None,
    param: str = "max_tokens",
) -> Sampling:
    """The server's own, but for what is asked for; raises Refused for more tokens than it allows."""
    if max_tokens is not None and max_tokens > default.max_tokens:
        raise Refused.because("E-SRV-008", f"at most {default.max_tokens}", param)
    wanted: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    return replace(default, **{name: value for name, value in wanted.items() if value is not None})


def reading(
    default: ReadOptions, profile: str | None, frame: int | None, *, force: bool | None, param: str = ""
) -> ReadOptions:
    """The server's own, but for what is asked for; raises Refused for an unknown profile."""
    if profile is not None and profile not in PROFILES:
        raise Refused.because("E-SRV-008", f"one of {', '.join(PROFILES)}", f"{param}profile")
    wanted: dict[str, Any] = {"profile": profile, "frame": frame, "force": force}
    return replace(default, **{name: value for name, value in wanted.items() if value is not None})
