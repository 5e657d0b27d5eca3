"""What happens to a question, on its way into frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from xraygpt_edge.host import Cancelled, Fatal, Record
from xraygpt_edge.records import Answer
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.questions import Happening, Moved
from xraygpt_edge.serve.settings import NOTE_S


@dataclass(frozen=True, slots=True)
class Ended:
    """An answer, and how much of the conversation it has seen."""

    answer: Answer
    n_prompt: int
    forgotten: int


def ended(happening: Record | Cancelled | Fatal) -> Ended:
    """The answer at the end; raises Refused for every other end."""
    match happening:
        case Record(answer=Answer() as answer):
            return Ended(answer, happening.n_prompt, happening.forgotten)
        case Record(failure=failure) if failure is not None:
            raise Refused(failure)
        case Fatal():
            raise Refused.of(happening.error, status=503)
    raise Refused.because("E-SRV-020")


def told(answer: Answer, forgotten: int) -> dict[str, Any]:
    """An answer as every client gets it: the object of `ask --json`, what it rests on as `evidence`."""
    facts = answer.to_dict()
    evidence = facts.pop("trust", None)
    return {**facts, "forgotten": forgotten, "evidence": evidence}


async def with_notes(happenings: AsyncGenerator[Happening]) -> AsyncGenerator[Happening]:
    """What happens; a place in the queue every few seconds only, and as long as it is held."""
    clock = asyncio.get_running_loop().time
    place, note_at_s = None, clock() + NOTE_S
    coming = asyncio.ensure_future(_next(happenings))
    try:
        while True:
            await asyncio.wait((coming,), timeout=max(0.0, note_at_s - clock()) if place else None)
            if coming.done():
                happening = coming.result()
                if happening is None:
                    return
                place = happening if isinstance(happening, Moved) else None
                if place is None:
                    yield happening
                coming = asyncio.ensure_future(_next(happenings))
            if place and clock() >= note_at_s:
                note_at_s = clock() + NOTE_S
                yield place
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await happenings.aclose()


async def _next(happenings: AsyncGenerator[Happening]) -> Happening | None:
    return await anext(happenings, None)
