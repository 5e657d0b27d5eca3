"""The interfaces in OpenAPI's words, for programs that read descriptions: `GET /api/v1/openapi.json`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xraygpt_edge.serve.answers import Asked, Export
from xraygpt_edge.serve.chat_request import ChatRequest
from xraygpt_edge.serve.events import json_response
from xraygpt_edge.serve.native import Credentials
from xraygpt_edge.serve.radiographs import SAMPLES, Size, Wanted
from xraygpt_edge.serve.runs.look import Heads
from xraygpt_edge.serve.runs.routes import Begin, Opened, Since
from xraygpt_edge.version import __version__

JSON, EVENTS, ANY_BYTES = "application/json", "text/event-stream", "application/octet-stream"
BODIES = (Asked, Begin, ChatRequest, Credentials, Export, Heads, Opened, Since, Size, Wanted)
DIGEST = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
REFUSAL: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code", "xraygpt"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "pattern": "^E-[A-Z]{3}-[0-9]{3}$"},
                "xraygpt": {"type": "object", "required": ["exit_code", "can_force"]},
            },
        }
    },
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One call."""

    method: str
    path: str
    summary: str
    status: int = 200
    gives: tuple[str, ...] = (JSON,)
    """Media types of what it answers; none where the body is empty."""
    body: type | str | None = None
    """Fields of a JSON body, or the media type of raw bytes."""
    query: type | None = None
    headers: tuple[str, ...] = ()
    """Those that must be there, each a SHA-256."""
    also: int | None = None
    """Another status that is no refusal."""
    is_open: bool = False
    """Needs no token."""


HERE = "/api/v1"
ONE = f"{HERE}/radiographs/{{r}}"
RUN = f"{HERE}/runs/{{u}}"
FILE = f"{RUN}/files/{{n}}"
OPERATIONS = (
    Operation("get", f"{HERE}/status", "Model, queue, limits, questions, defaults, protections."),
    Operation("get", f"{HERE}/about", "Versions, licences, and what doctor says."),
    Operation("get", f"{HERE}/openapi.json", "This description."),
    Operation(
        "post", f"{HERE}/session", "A session of its own for a code or a password.", body=Credentials, is_open=True
    ),
    Operation("delete", f"{HERE}/session", "Forget the session and its radiographs.", 204, ()),
    Operation("post", f"{HERE}/session/code", "A code that opens one session, within a minute.", 201),
    Operation("get", f"{HERE}/explain/{{id}}", "What an id means."),
    Operation("post", f"{HERE}/quit", "End the server; on a ward nobody can.", 202, ()),
    Operation("post", f"{HERE}/radiographs", "Hold a file and say what it is.", 201, body=ANY_BYTES, query=Wanted),
    Operation("get", ONE, "Facts and finished answers."),
    Operation("delete", ONE, "Forget a radiograph.", 204, ()),
    Operation("post", f"{ONE}/reading", "Read the same bytes otherwise.", body=Wanted),
    Operation("get", f"{ONE}/view", "What the model sees.", gives=("image/png",), query=Wanted),
    Operation("get", f"{ONE}/values", "Samples for a viewer.", gives=(SAMPLES,), query=Size),
    Operation("post", f"{ONE}/answers", "Ask; events until done or failed.", gives=(EVENTS,), body=Asked),
    Operation("delete", f"{HERE}/answers/{{a}}", "Stop an answer.", 202, ()),
    Operation("post", f"{HERE}/answers/{{a}}/export", "An answer as a file.", gives=("*/*",), body=Export),
    Operation("post", f"{HERE}/answers/{{a}}/maps", "Draw maps; events as of a question.", gives=(EVENTS,)),
    Operation("post", f"{HERE}/looks", "Why files of a folder are left out.", body=Heads),
    Operation("get", f"{HERE}/runs", "The session's folder runs."),
    Operation("post", f"{HERE}/runs", "Begin a folder run.", 201, body=Begin),
    Operation("get", RUN, "A run, and the films that have changed.", query=Since),
    Operation("post", f"{RUN}/pause", "Begin no further film."),
    Operation("post", f"{RUN}/resume", "Go on."),
    Operation("post", f"{RUN}/export", "A run as files.", gives=("*/*",), body=Export),
    Operation("put", FILE, "A film; 200 when it is done.", 202, body=ANY_BYTES, headers=("x-sha256",), also=200),
    Operation("post", f"{FILE}/open", "What was said of a film, about a held radiograph.", body=Opened),
    Operation("delete", RUN, "Forget a run.", 204, ()),
    Operation("get", "/v1/models", "The one bundle."),
    Operation("get", "/v1/models/{id}", "The one bundle."),
    Operation("post", "/v1/chat/completions", "OpenAI's chat completion.", gives=(JSON, EVENTS), body=ChatRequest),
    Operation("get", "/healthz", "The server is there.", gives=("text/plain",), is_open=True),
)


async def described(_request: Request) -> Response:
    """`GET openapi.json`."""
    return json_response(document())


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    _, schemas = msgspec.json.schema_components(BODIES, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "xraygpt-edge serve", "version": __version__},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**schemas, "Refusal": REFUSAL},
        },
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {} for media_type in operation.gives}
    done = {"description": "Done.", **({"content": content} if content else {})}
    found: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": [
            *_in_path(operation.path),
            *_in_query(operation.query, schemas),
            *({"name": name, "in": "header", "required": True, "schema": DIGEST} for name in operation.headers),
        ],
        "responses": {
            **{str(status): done for status in (operation.status, operation.also) if status},
            "default": {"description": "Refused.", "content": {JSON: {"schema": _ref("Refusal")}}},
        },
    }
    if operation.is_open:
        found["security"] = []
    if isinstance(operation.body, str):
        found["requestBody"] = {"required": True, "content": {operation.body: {"schema": {}}}}
    elif operation.body is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": _ref(operation.body.__name__)}}}
    return found


def _in_path(path: str) -> list[dict[str, Any]]:
    names = [part.partition("}")[0] for part in path.split("{")[1:]]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _in_query(kind: type | None, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    fields = schemas[kind.__name__]["properties"] if kind else {}
    return [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


ROUTES = (Route(f"{HERE}/openapi.json", described),)
