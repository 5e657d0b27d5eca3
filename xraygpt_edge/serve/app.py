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

WORDS = """xraygpt-edge answers questions about chest radiographs for programs.

{notice}

OpenAI's API     {origin}/v1      api_key: {token}
Its own API      {origin}/api/v1  header: Authorization: Bearer TOKEN

GET /v1/models names the model. docs/serve.md describes everything else.
"""


async def front(request: Request) -> Response:
    """`GET /`: what this is, for whoever comes by."""
    service = service_of(request)
    token = "that of --token-file" if service.settings.ward else "the token that was printed at the start"
    return PlainTextResponse(WORDS.format(notice=service.notice, origin=service.settings.origins[0], token=token))


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

    guarded = Guard(with_service, frozenset(settings.origins), service.sessions, has_password=settings.ward is not None)
    return Logged(guarded, routes, settings.log) if settings.log else guarded
