"""Radiographs of a session: sent once as raw bytes, looked at, read otherwise, forgotten."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import msgspec
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.serve import asked
from xraygpt_edge.serve.answers import finished
from xraygpt_edge.serve.bodies import body, decoded, small_json
from xraygpt_edge.serve.events import json_response
from xraygpt_edge.serve.held import Held
from xraygpt_edge.serve.leaving import until_left
from xraygpt_edge.serve.reading import SHOWN_PX
from xraygpt_edge.serve.service import Service, service_of, session_of

Kind = TypeVar("Kind")
Longest = Annotated[int, msgspec.Meta(ge=16, le=65_535)]
SAMPLES = "application/octet-stream"


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a file is to be read."""

    profile: str | None = None
    frame: asked.Count | None = None
    force: bool | None = None

    def options(self, default: ReadOptions) -> ReadOptions:
        """With the server's own; raises Refused."""
        return asked.reading(default, self.profile, self.frame, force=self.force)


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How large the samples may be."""

    max_px: Longest = SHOWN_PX


async def send(request: Request) -> Response:
    """`POST radiographs`: hold a file and say what it is."""
    service, session = service_of(request), session_of(request)
    options = _of_query(request, Wanted).options(service.settings.reading)
    async with body(request, session, service.settings.limits.upload_bytes, service.held) as data:
        seen, presentation = await until_left(request.receive, service.reading.look(session, data, options))
    held = service.held.add(session, data, seen, presentation, options)
    return json_response(facts(service, held), 201)


async def show(request: Request) -> Response:
    """`GET radiographs/{r}`: facts, and finished answers as their streams ended."""
    service, held = service_of(request), _held(request)
    answers = [finished(answer, kept) for answer, kept in held.answers.items()]
    return json_response({**facts(service, held), "answers": answers})


async def forget(request: Request) -> Response:
    """`DELETE radiographs/{r}`: free its memory at once."""
    service, held = service_of(request), _held(request)
    service.held.forget(held)
    service.reading.forget(held.session, held.seen.view.source.sha256)
    return Response(status_code=204)


async def read_otherwise(request: Request) -> Response:
    """`POST radiographs/{r}/reading`: the same bytes under another profile, another frame, or forced."""
    service, held = service_of(request), _held(request)
    wanted = await small_json(request, held.session, Wanted, service.held)
    options = wanted.options(service.settings.reading)
    looking = service.reading.look(held.session, held.data, options)
    held.seen, held.presentation = await until_left(request.receive, looking)
    held.options = options
    return json_response(facts(service, held))


async def view(request: Request) -> Response:
    """`GET radiographs/{r}/view`: a PNG of what the model sees."""
    service, held = service_of(request), _held(request)
    options = _of_query(request, Wanted).options(held.options)
    seen = await until_left(request.receive, service.reading.read(held.session, held.data, options))
    size_px = service.settings.bundle.manifest.image.size_px
    picture = io.BytesIO()
    Image.fromarray(seen.view.picture(size_px)).save(picture, "PNG")
    return Response(picture.getvalue(), media_type="image/png")


async def values(request: Request) -> Response:
    """`GET radiographs/{r}/values`: samples of 16 bits, little-endian, row by row, for a viewer."""
    service, held = service_of(request), _held(request)
    max_px = _of_query(request, Size).max_px
    digest = held.seen.view.source.sha256
    reading = service.reading.samples(held.session, digest, held.data, held.options, max_px)
    samples = await until_left(request.receive, reading)
    (rows, columns), scale = samples.shape, held.presentation.scale
    headers = {"x-rows": rows, "x-columns": columns, "x-low": scale.low, "x-high": scale.high}
    data = samples.astype("<u2", copy=False).data.cast("B")
    return Response(data, headers={name: str(n) for name, n in headers.items()}, media_type=SAMPLES)


def facts(service: Service, held: Held) -> dict[str, Any]:
    """What is told of a radiograph."""
    shown = held.presentation
    return {
        "id": held.id,
        "expires_s": service.settings.limits.forget_after_s,
        "input": asdict(held.seen.view.source),
        "steps": [asdict(step) for step in held.seen.steps],
        "side": shown.side,
        "values": {"rows": shown.rows, "columns": shown.columns, **asdict(shown.scale)},
        "notice": service.notice,
    }


def _held(request: Request) -> Held:
    return service_of(request).held.get(session_of(request), request.path_params["r"])


def _of_query(request: Request, kind: type[Kind]) -> Kind:
    """Query parameters as the same fields: numbers and true or false are JSON, anything else is text."""
    given = dict(request.query_params)
    fields = {name: value if name == "profile" else _value(value) for name, value in given.items()}
    return decoded(msgspec.json.encode(fields), kind)


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return text


ROUTES = (
    Route("/api/v1/radiographs", send, methods=["POST"]),
    Route("/api/v1/radiographs/{r}", show),
    Route("/api/v1/radiographs/{r}", forget, methods=["DELETE"]),
    Route("/api/v1/radiographs/{r}/reading", read_otherwise, methods=["POST"]),
    Route("/api/v1/radiographs/{r}/view", view),
    Route("/api/v1/radiographs/{r}/values", values),
)
