"""The server process from its start to its end: bind, leave the network, serve, stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from xraygpt_edge import sandbox
from xraygpt_edge.errors import ExitCode, Locked, NotOffline, UsageError
from xraygpt_edge.sandbox import NetworkCut
from xraygpt_edge.serve.addresses import HERE
from xraygpt_edge.serve.app import application
from xraygpt_edge.serve.running import Running, announced
from xraygpt_edge.serve.service import Service
from xraygpt_edge.serve.settings import HEADER_S, Settings
from xraygpt_edge.serve.wire import Wire

SIGNALS = {int(signal.SIGINT): ExitCode.INTERRUPTED, int(signal.SIGTERM): ExitCode.TERMINATED}
GRACE_S = 1
"""For open streams to say their last word."""
LOOK_S = 1.0
UNSEEN_S = 15.0
"""Without a request: an open page asks for the state more often."""
BACKLOG = 256


class Server(uvicorn.Server):
    """Without uvicorn's own handlers: what a signal means is decided here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own, with limits for who begins or ends TLS and does not go on."""
        context, loop = self.config.ssl, asyncio.get_running_loop()
        begin_s, end_s = (HEADER_S, GRACE_S) if context else (None, None)

        def connection() -> Wire:
            return Wire(self.config, self.server_state, self.lifespan.state)

        self.servers = [
            await loop.create_server(
                connection,
                sock=each,
                ssl=context,
                backlog=BACKLOG,
                ssl_handshake_timeout=begin_s,
                ssl_shutdown_timeout=end_s,
            )
            for each in sockets or ()
        ]
        self.started = True


def bound(port: int, host: str = HERE) -> list[socket.socket]:
    """A socket on an address; for 127.0.0.1 one on ::1 too where there is one, so that nobody else is `localhost`.

    Raises Locked E-SRV-001 for a port that is taken on either, UsageError for an address of another computer.
    """
    try:
        first = _bound(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError("E-USE-001", "--host is not an address of this computer") from None
        raise Locked("E-SRV-001", error.strerror or "") from None
    if host != HERE:
        return [first]
    try:
        return [first, _bound(socket.AF_INET6, "::1", first.getsockname()[1])]
    except OSError as error:
        if _has_ipv6():
            first.close()
            raise Locked("E-SRV-001", error.strerror or "") from None
        return [first]


def run(settings: Settings, sockets: list[socket.socket], listening: Callable[[Service], None]) -> ExitCode:
    """Serve until somebody ends it; returns how.

    listening: told once requests are taken. Raises NotOffline under `strict`, and what has ended the model.
    """
    network = sandbox.leave_network()
    if settings.strict and not network:
        for each in sockets:
            each.close()
        raise NotOffline("E-RUN-021")
    for name in ("uvicorn", "asyncio"):  # their words may quote a request
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    return asyncio.run(_serve(settings, network, sockets, listening))


async def _serve(
    settings: Settings, network: NetworkCut | None, sockets: list[socket.socket], listening: Callable[[Service], None]
) -> ExitCode:
    service, heard = Service(settings, network), list[ExitCode]()
    announcing = contextlib.nullcontext() if settings.api_only or settings.ward else announced(_as_running(service))
    with _signals(service, heard), announcing:
        service.start()
        try:
            await _until_ended(service, sockets, listening)
        finally:
            service.close()
    if service.fatal is not None:
        raise service.fatal.error
    return heard[0] if heard else ExitCode.DONE


async def _until_ended(service: Service, sockets: list[socket.socket], listening: Callable[[Service], None]) -> None:
    server = Server(_config(service))
    serving = asyncio.ensure_future(server.serve(sockets))
    watching = asyncio.ensure_future(_end_when_unused(service))
    listening(service)
    await asyncio.wait((serving, asyncio.ensure_future(service.ending.wait())), return_when="FIRST_COMPLETED")
    service.end_questions()
    server.should_exit = True
    await serving
    watching.cancel()


def _as_running(service: Service) -> Running:
    settings = service.settings
    return Running(os.getpid(), settings.port, settings.bundle.manifest_sha256, service.sessions.codes.key)


def _config(service: Service) -> uvicorn.Config:
    ward = service.settings.ward
    return uvicorn.Config(
        application(service),
        loop="asyncio",
        http=Wire,
        ssl_context_factory=(lambda _config, _default: ward.context) if ward else None,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_S,
    )


@contextlib.contextmanager
def _signals(service: Service, heard: list[ExitCode]) -> Iterator[None]:
    """SIGINT and SIGTERM end the server in an orderly way; those that are ignored stay so."""
    loop = asyncio.get_running_loop()

    def end(number: int, _frame: FrameType | None) -> None:
        heard.append(SIGNALS[number])
        loop.call_soon_threadsafe(service.ending.set)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    wanted = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in wanted:
            signal.signal(number, end)
        yield
    finally:
        for number in wanted:
            signal.signal(number, before[number])


async def _end_when_unused(service: Service) -> None:
    """Nobody has asked for so long, or nobody looks any more at why there are no answers."""
    idle_s, questions = service.settings.limits.idle_s, service.questions
    while True:
        await asyncio.sleep(min(LOOK_S, idle_s or LOOK_S))
        service.held.forget_old()
        for session in service.sessions.forget_ended():
            service.forget(session)
        unseen_s, unused_s = (time.monotonic() - at_s for at_s in (service.seen_at_s, questions.used_at_s))
        is_idle = idle_s is not None and questions.ready and not questions.is_busy and unused_s > idle_s
        if is_idle or (service.fatal and unseen_s > UNSEEN_S):
            service.ending.set()
            return


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if os.name == "nt":
            listening.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE"), 1)  # noqa: B009 - there only
        elif sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a server that was killed
        listening.bind((address, port))
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _has_ipv6() -> bool:
    """Whether this computer has ::1 at all."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True
