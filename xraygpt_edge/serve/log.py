"""One line a request, of which nothing that was sent is a part: time, method, route, status, bytes, milliseconds."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xraygpt_edge.errors import OutputError

METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}
NONE = "-"
"""Stands for what is not ours: another method, an address without a route."""


def opened(path: Path) -> BinaryIO:
    """A log to write on at its end, for its owner alone; raises OutputError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0)
    except OSError as error:
        raise OutputError("E-OUT-001", error.strerror or type(error).__name__) from None


@dataclass(frozen=True, slots=True)
class Logged:
    """Wraps everything, what the guard refuses too."""

    app: ASGIApp
    routes: Iterable[BaseRoute]
    log: BinaryIO

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request and write its line; a full disk ends no request."""
        began_s, status, n_bytes = time.monotonic(), 0, 0

        async def counting(message: Message) -> None:
            nonlocal status, n_bytes
            status = message.get("status", status)
            n_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, counting)
        finally:
            took_ms = round((time.monotonic() - began_s) * 1000)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            method = scope["method"] if scope["method"] in METHODS else NONE
            line = f"{now} {method} {self._route(scope['path'])} {status} {n_bytes} {took_ms}\n"
            with contextlib.suppress(OSError):
                self.log.write(line.encode())

    def _route(self, path: str) -> str:
        own = (route for route in self.routes if isinstance(route, Route))
        return next((route.path for route in own if route.path_regex.match(path)), NONE)
