"""`/api/v1/runs`: a folder, film after film."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xraygpt_edge.ledger import Answered
from xraygpt_edge.serve import asked
from xraygpt_edge.serve.answers import Export, finished
from xraygpt_edge.serve.bodies import body, decoded, passed_over, small_json
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.events import json_response
from xraygpt_edge.serve.exports import Kept
from xraygpt_edge.serve.held import new_id
from xraygpt_edge.serve.leaving import Left, until_left
from xraygpt_edge.serve.runs import exports, look
from xraygpt_edge.serve.runs.run import Asked, Film, Run, answer_of, row
from xraygpt_edge.serve.service import Service, service_of, session_of

FILES_MAX = 100_000
QUESTIONS_MAX = 15
SHA256 = re.compile(r"[0-9a-f]{64}")
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked of every film of a folder."""

    questions: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=QUESTIONS_MAX)]
    files: Annotated[int, msgspec.Meta(ge=1, le=FILES_MAX)]
    """How many will be sent."""
    profile: str | None = None
    left_out: Annotated[dict[Reason, asked.Count], msgspec.Meta(max_length=64)] = {}
    """How many were left out, by reason."""


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known already."""

    after: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0


class Opened(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The radiograph that a row is opened as."""

    radiograph: str


async def begin(request: Request) -> Response:
    """`POST runs`: a run that waits for its films."""
    service, session = service_of(request), session_of(request)
    wanted = await small_json(request, session, Begin, service.held)
    prompt = service.settings.bundle.manifest.prompt
    questions = tuple(dict.fromkeys(asked.question(prompt, each, "questions") for each in wanted.questions))
    reading = asked.reading(service.settings.reading, wanted.profile, None, force=None)
    left_out = {asked.clean(reason, "left_out"): count for reason, count in wanted.left_out.items()}
    run = await service.runs.begin(session, Asked(questions, reading), wanted.files, left_out)
    return json_response(_told(service, run), 201)


async def runs(request: Request) -> Response:
    """`GET runs`: those of the session, without their films."""
    service = service_of(request)
    found = service.runs.of(session_of(request))
    return json_response({"runs": [_told(service, run, run.change) for run in found]})


async def show(request: Request) -> Response:
    """`GET runs/{u}?after=N`: the run, and the films that have changed since."""
    since = decoded(msgspec.json.encode(_numbers(request)), Since)
    return json_response(_told(service_of(request), _run(request), since.after))


async def put(request: Request) -> Response:
    """`PUT runs/{u}/files/{n}`: a film, or without a body the question whether it must be sent."""
    service, session, run = service_of(request), session_of(request), _run(request)
    number, digest, name = _number(request, run), _digest(request), _name(request)
    film = _there(run, number, digest)
    if film is None and (known := service.runs.known(run, digest)):
        film = service.runs.film(run, number, digest, name)
        await service.runs.recall(run, film, known)
    if film is not None:
        await passed_over(request, service.settings.limits.upload_bytes)
        return _film(service, run, film)
    if not _has_body(request):
        return json_response({"n": number, "state": "wanted", "room": service.runs.room_for(run)}, 202)
    if not service.runs.room_for(run):
        raise Refused.because("E-SRV-021")
    film = service.runs.film(run, number, digest, name)
    try:
        await _read(request, service, session, run, film)
    except (Refused, Left):
        run.drop(film)
        raise
    return _film(service, run, film)


def _there(run: Run, number: int, digest: str) -> Film | None:
    """A film that need not be sent; one that has failed may be, and is tried again."""
    film = run.films.get(number)
    is_done = film is not None and film.sha256 == digest and film.state in {"ok", "left out"}
    return film if film is not None and (is_done or not film.has_ended) else None


async def _read(request: Request, service: Service, session: str, run: Run, film: Film) -> None:
    """Take a film's bytes and read them; a file without a picture is a film that has failed."""
    async with body(request, session, service.settings.limits.upload_bytes, service.held) as data:
        if await asyncio.to_thread(lambda: sha256(data).hexdigest()) != film.sha256:
            raise Refused.because("E-SRV-008", "the bytes have another hash", "x-sha256")
        try:
            seen = await until_left(request.receive, service.reading.film(data, run.asked.reading))
        except Refused as refused:
            await service.runs.refuse(run, film, refused.failure)
            return
    service.runs.take(run, film, seen)


async def pause(request: Request) -> Response:
    """`POST runs/{u}/pause`: begin no further film."""
    service, run = service_of(request), _run(request)
    service.runs.pause(run)
    return json_response(_told(service, run, run.change))


async def resume(request: Request) -> Response:
    """`POST runs/{u}/resume`: go on."""
    service, run = service_of(request), _run(request)
    service.runs.resume(run)
    return json_response(_told(service, run, run.change))


async def forget(request: Request) -> Response:
    """`DELETE runs/{u}`: forget it; what `--keep` has written stays."""
    service_of(request).runs.forget(_run(request))
    return Response(status_code=204)


async def export(request: Request) -> Response:
    """`POST runs/{u}/export`: what there is by now, as files."""
    service, session, run = service_of(request), session_of(request), _run(request)
    wanted = (await small_json(request, session, Export, service.held)).format
    if wanted not in exports.FORMATS:
        raise Refused.because("E-SRV-008", f"one of {', '.join(exports.FORMATS)}", "format")
    form, found = exports.FORMATS[wanted], exports.taken(run)
    data = await until_left(request.receive, asyncio.to_thread(form.write, found))
    name = f"run-{wanted}.{form.ending}" if form.ending == "zip" else f"run.{form.ending}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(data, headers=headers, media_type=form.media_type)


async def open_row(request: Request) -> Response:
    """`POST runs/{u}/files/{n}/open`: what was said of a film becomes a conversation about a held radiograph."""
    service, session, run = service_of(request), session_of(request), _run(request)
    wanted = await small_json(request, session, Opened, service.held)
    film, held = run.films.get(_number(request, run)), service.held.get(session, wanted.radiograph)
    if film is None or film.sha256 != held.seen.view.source.sha256:
        raise Refused.because("E-SRV-013", param="radiograph")
    conversation = new_id("c")
    found = [answer_of(line) for line in run.records_of(film) if isinstance(row(line), Answered)]
    answers = {new_id("a"): Kept(answer, datetime.now(UTC), conversation, 0) for answer in found}
    held.answers.update(answers)
    return json_response({"answers": [finished(name, kept) for name, kept in answers.items()]})


async def looks(request: Request) -> Response:
    """`POST looks`: why files are left out, from their beginnings."""
    service, session = service_of(request), session_of(request)
    return json_response({"reasons": look.reasons(await small_json(request, session, look.Heads, service.held))})


def _told(service: Service, run: Run, after: int = 0) -> dict[str, Any]:
    return {**run.told(service.runs.room_for(run), after, names=service.runs.keeps), "notice": service.notice}


def _film(service: Service, run: Run, film: Film) -> Response:
    """200 for one that is done, 202 for one that was taken."""
    told = run.told_film(film, names=service.runs.keeps)
    return json_response({**told, "room": service.runs.room_for(run)}, 200 if film.has_ended else 202)


def _run(request: Request) -> Run:
    return service_of(request).runs.get(session_of(request), request.path_params["u"])


def _number(request: Request, run: Run) -> int:
    """Raises Refused E-SRV-013 for a file that the run does not have."""
    given = request.path_params["n"]
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= run.n_files and len(given) < 9):
        raise Refused.because("E-SRV-013", param="n")
    return int(given)


def _digest(request: Request) -> str:
    given = request.headers.get("x-sha256", "").lower()
    if not SHA256.fullmatch(given):
        raise Refused.because("E-SRV-008", "64 hexadecimal digits", "x-sha256")
    return given


def _name(request: Request) -> str:
    """The file's name below the folder that was dropped, in base64; where nothing is kept, none is wanted."""
    try:
        name = base64.b64decode(request.headers.get("x-name", ""), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Refused.because("E-SRV-008", "a name in UTF-8, as base64", "x-name") from None
    return name if service_of(request).runs.keeps else ""


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _numbers(request: Request) -> dict[str, Any]:
    return {
        name: int(value) if value.isascii() and value.isdigit() else value
        for name, value in request.query_params.items()
    }


ROUTES = (
    Route("/api/v1/looks", looks, methods=["POST"]),
    Route("/api/v1/runs", begin, methods=["POST"]),
    Route("/api/v1/runs", runs),
    Route("/api/v1/runs/{u}", show),
    Route("/api/v1/runs/{u}", forget, methods=["DELETE"]),
    Route("/api/v1/runs/{u}/pause", pause, methods=["POST"]),
    Route("/api/v1/runs/{u}/resume", resume, methods=["POST"]),
    Route("/api/v1/runs/{u}/export", export, methods=["POST"]),
    Route("/api/v1/runs/{u}/files/{n}", put, methods=["PUT"]),
    Route("/api/v1/runs/{u}/files/{n}/open", open_row, methods=["POST"]),
)
