"""What a request asks for, in whatever API, as what the model is asked: checked, with the server's defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import msgspec

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


def question(text: str, param: str) -> str:
    """A question of at least one character; raises Refused."""
    found = clean(text, param).strip()
    if not found:
        raise Refused.because("E-USE-004", param=param)
    return found


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
