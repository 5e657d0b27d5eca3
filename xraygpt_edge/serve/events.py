"""Bodies: JSON whole, and server-sent events as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.leaving import until_left

STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}


def json_response(found: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An object as a whole body."""
    return Response(msgspec.json.encode(found), status, headers, media_type="application/json")


def refusal(refused: Refused) -> Response:
    """A refusal as a whole body."""
    return json_response(refused.to_dict(), refused.status, refused.headers)


def frame(found: Any, event: str = "") -> bytes:
    """One server-sent event; JSON has no line break of its own."""
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + msgspec.json.encode(found) + b"\n\n"


class Streamed(Response):
    """Frames as they come; when the client leaves, whatever makes them is closed."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes]) -> None:
        super().__init__(headers=STREAM_HEADERS)
        del self.headers["content-length"]
        self._first, self._rest = first, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send until the end, or until nobody listens any more."""
        try:
            await until_left(receive, self._send_all(send))
        finally:
            await self._rest.aclose()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self._first, "more_body": True})
        async for data in self._rest:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def streamed(frames: AsyncGenerator[bytes]) -> Streamed:
    """A stream whose first frame is there: what is refused before it is refused with its status."""
    try:
        return Streamed(await anext(frames), frames)
    except BaseException:
        await frames.aclose()
        raise
