"""`/api/v1`: the state of the server, who may use it, what an id means."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.serve import about, answers, radiographs
from xraygpt_edge.serve import status as statuses
from xraygpt_edge.serve.addresses import HERE
from xraygpt_edge.serve.bodies import small_json
from xraygpt_edge.serve.codes import CODE_S
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.events import json_response
from xraygpt_edge.serve.runs import routes as runs
from xraygpt_edge.serve.service import service_of, session_of
from xraygpt_edge.serve.sessions import SESSION_IDLE_S
from xraygpt_edge.serve.settings import SECRET_BYTES

NOBODY = "nobody"
"""Who asks for a session has none yet."""


class Credentials(msgspec.Struct, frozen=True):
    """What opens a session: a code that works once, or the password of a ward."""

    code: str | None = None
    password: str | None = None


async def status(request: Request) -> Response:
    """`GET status`: model, queue, limits, questions, defaults, protections."""
    return json_response(statuses.status(service_of(request)))


async def open_session(request: Request) -> Response:
    """`POST session`: a token for a code that works once, or for the password of a ward."""
    service = service_of(request)
    given = await small_json(request, NOBODY, Credentials, service.held, SECRET_BYTES)
    if given.code is not None:
        if not service.sessions.codes.redeem(given.code):
            raise Refused.because("E-SRV-004", "the code was used, or is too old")
    elif given.password is not None and service.settings.ward:
        address = request.client.host if request.client else HERE
        await service.guesses.check(service.settings.ward.password, given.password, address)
    else:
        raise Refused.because("E-SRV-008", param="password" if service.settings.ward else "code")
    return json_response({"token": service.sessions.open(), "expires_s": SESSION_IDLE_S})


async def close_session(request: Request) -> Response:
    """`DELETE session`: forget the session's radiographs, and the session unless it is that of the programs."""
    service = service_of(request)
    service.forget(session_of(request))
    service.sessions.close(request.scope["session"])
    return Response(status_code=204)


async def session_code(request: Request) -> Response:
    """`POST session/code`: a code for another browser."""
    return json_response({"code": service_of(request).sessions.codes.new(), "expires_s": CODE_S}, 201)


async def explain(request: Request) -> Response:
    """`GET explain/{id}`: the catalogue's entry."""
    asked_id = request.path_params["id"].upper()
    entry = CATALOGUE.get(asked_id)
    if entry is None:
        raise Refused.because("E-USE-002")
    return json_response({"schema": 1, "id": asked_id, **msgspec.to_builtins(entry)})


async def end(request: Request) -> Response:
    """`POST quit`: end the server, unless it is a ward's, which many use."""
    if service_of(request).settings.ward:
        raise Refused.because("E-SRV-013")
    service_of(request).ending.set()
    return Response(status_code=202)


ROUTES = (
    Route("/api/v1/status", status),
    Route("/api/v1/session", open_session, methods=["POST"]),
    Route("/api/v1/session", close_session, methods=["DELETE"]),
    Route("/api/v1/session/code", session_code, methods=["POST"]),
    Route("/api/v1/explain/{id}", explain),
    Route("/api/v1/quit", end, methods=["POST"]),
    *about.ROUTES,
    *radiographs.ROUTES,
    *answers.ROUTES,
    *runs.ROUTES,
)
