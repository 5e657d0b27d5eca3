"""Bodies of requests: counted while they come, cut at their limit, never on a disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import TypeVar

import msgspec
from starlette.requests import Request

from xraygpt_edge.serve import settings
from xraygpt_edge.serve.errors import Refused, of_invalid
from xraygpt_edge.serve.held import HeldFiles
from xraygpt_edge.serve.leaving import Left

Kind = TypeVar("Kind")


@asynccontextmanager
async def body(request: Request, session: str, most_bytes: int, held: HeldFiles) -> AsyncIterator[bytes]:
    """The whole body, counted as held until the end. Raises Refused E-SRV-006, -007, -018, or Left."""
    if int(request.headers.get("content-length", 0)) > most_bytes:
        raise Refused.because("E-SRV-006", f"at most {most_bytes >> 20} MB")
    came, taken = BytesIO(), 0
    ends_s = asyncio.get_running_loop().time() + settings.BODY_S
    try:
        more = True
        while more:
            chunk, more = await _chunk(request, ends_s)
            held.take(session, len(chunk))
            taken += len(chunk)
            if taken > most_bytes:
                raise Refused.because("E-SRV-006", f"at most {most_bytes >> 20} MB")
            came.write(chunk)
        yield came.getvalue()  # shares its memory
    finally:
        came.close()
        held.give_back(taken)


async def passed_over(request: Request, most_bytes: int) -> None:
    """Read a body that nobody needs, so that its sender hears the answer. Raises Refused E-SRV-006, -007, or Left."""
    passed, more = 0, True
    ends_s = asyncio.get_running_loop().time() + settings.BODY_S
    while more:
        chunk, more = await _chunk(request, ends_s)
        passed += len(chunk)
        if passed > most_bytes:
            raise Refused.because("E-SRV-006", f"at most {most_bytes >> 20} MB")


async def small_json(
    request: Request, session: str, kind: type[Kind], held: HeldFiles, most_bytes: int = settings.JSON_BYTES
) -> Kind:
    """A body of a few fields; raises Refused, E-SRV-008 for what is not of this kind."""
    async with body(request, session, most_bytes, held) as data:
        return decoded(data or b"{}", kind)


def decoded(data: bytes, kind: type[Kind]) -> Kind:
    """JSON as a type; raises Refused E-SRV-008, which names the field and never its value."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise of_invalid(error) from None
    except (UnicodeDecodeError, RecursionError):
        raise Refused.because("E-SRV-008", "no JSON") from None


async def _chunk(request: Request, ends_s: float) -> tuple[bytes, bool]:
    """What has come, and whether there is more."""
    still_until_s = asyncio.get_running_loop().time() + settings.BODY_STILL_S
    try:
        async with asyncio.timeout_at(min(ends_s, still_until_s)):
            message = await request.receive()
    except TimeoutError:
        raise Refused.because("E-SRV-007") from None
    if message["type"] == "http.disconnect":
        raise Left
    return message.get("body", b""), message.get("more_body", False)
