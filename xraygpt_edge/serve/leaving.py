"""Clients that leave: whatever was done for them is cancelled, streamed or not.

Starlette notices this for streams alone, and only under one version of ASGI; so it is watched here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

Found = TypeVar("Found")


class Left(Exception):
    """The client has closed its connection."""


async def until_left(receive: Receive, work: Coroutine[Any, Any, Found]) -> Found:
    """What the work gives; once the request's body is read. Raises Left when the client leaves before."""
    doing, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Left
        return doing.result()
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
