"""Every address that there is, behind the guard."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from xraygpt_edge.serve import described, native, openai, page_files
from xraygpt_edge.serve.guard import Guard
from xraygpt_edge.serve.log import Logged
from xraygpt_edge.serve.service import Service, service_of
from xraygpt_edge.serve.settings import HOSTS

WORDS = """xraygpt-edge answers questions about chest radiographs for programs on this computer.

{notice}

OpenAI's API     http://127.0.0.1:{port}/v1      api_key: the token that was printed at the start
Its own API      http://127.0.0.1:{port}/api/v1  header: Authorization: Bearer TOKEN

GET /v1/models names the model. docs/serve.md describes everything else.
"""


async def front(request: Request) -> Response:
    """`GET /`: what this is, for whoever comes by."""
    service = service_of(request)
    return PlainTextResponse(WORDS.format(notice=service.notice, port=service.settings.port))


async def health(_request: Request) -> Response:
    """`GET /healthz`: the server is there."""
    return PlainTextResponse("ok\n")


ROUTES = (
    Route("/healthz", health),
    Route("/v1/models", openai.models),
    Route("/v1/models/{id}", openai.model),
    Route("/v1/chat/completions", openai.chat_completions, methods=["POST"]),
    *native.ROUTES,
    *described.ROUTES,
)


def application(service: Service) -> ASGIApp:
    """The routes of one server."""
    settings = service.settings
    entrance = [Route("/", front)] if settings.api_only else [*page_files.routes()]
    routes = [*entrance, *ROUTES]
    router = Router(routes, redirect_slashes=False)

    async def with_service(scope: Scope, receive: Receive, send: Send) -> None:
        service.seen_at_s = time.monotonic()
        await router({**scope, "service": service}, receive, send)

    hosts = {f"{host}:{settings.port}" for host in HOSTS}
    guarded = Guard(with_service, frozenset(hosts), service.sessions)
    return Logged(guarded, routes, settings.log) if settings.log else guarded
