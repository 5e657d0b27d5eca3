"""Limits of a connection that uvicorn lacks: slow senders of a header, slow readers, bodies that nobody wants."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.events import refusal
from xraygpt_edge.serve.guard import HEADERS
from xraygpt_edge.serve.settings import HEADER_S, READER_STILL_S

LINGER_S, LINGER_BYTES = 2.0, 4 << 20
"""How much of what is still sent after a refusal is thrown away, so that the client reads why."""


class Wire(H11Protocol):
    """One connection."""

    _header_timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None
    _is_lingering = False
    _lingered_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a header."""
        super().connection_made(transport)
        self._await_header()

    def data_received(self, data: bytes) -> None:
        """Take bytes; from the first byte of a header on, it must be complete in time."""
        if self._is_lingering:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > LINGER_BYTES:
                self.transport.abort()
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            _cancel(self._header_timer)
            self._header_timer = None
        elif self._header_timer is None and not self.transport.is_closing():
            self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        _cancel(self._header_timer, self._reader_timer)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client takes less than it is sent: the connection ends unless that changes."""
        super().pause_writing()
        self._reader_timer = self._reader_timer or self.loop.call_later(READER_STILL_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken what was there."""
        _cancel(self._reader_timer)
        self._reader_timer = None
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Close what still sends a body that was refused: left alone, all of it would be taken."""
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._is_lingering = True
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.abort)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words say less
        """What is no HTTP gets a refusal of the usual form."""
        response = refusal(Refused.because("E-SRV-008", "no HTTP/1.1"))
        headers = [*response.raw_headers, *((name.encode(), value.encode()) for name, value in HEADERS.items())]
        head = h11.Response(status_code=400, headers=[*headers, (b"connection", b"close")])
        for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _await_header(self) -> None:
        self._header_timer = self.loop.call_later(HEADER_S, self.transport.abort)


def _cancel(*timers: asyncio.TimerHandle | None) -> None:
    for timer in filter(None, timers):
        timer.cancel()
