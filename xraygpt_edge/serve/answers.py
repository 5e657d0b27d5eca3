"""Questions about a held radiograph, and their answers as events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xraygpt_edge.errors import UsageError
from xraygpt_edge.host import Asking, Cancelled, Fatal, Record, Started, Text
from xraygpt_edge.serve import asked
from xraygpt_edge.serve.bodies import small_json
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.events import frame, streamed
from xraygpt_edge.serve.exports import FORMATS, Format, Kept
from xraygpt_edge.serve.held import Held, new_id
from xraygpt_edge.serve.leaving import until_left
from xraygpt_edge.serve.marked import marked
from xraygpt_edge.serve.questions import Happening, Moved, Question
from xraygpt_edge.serve.service import Service, service_of, session_of
from xraygpt_edge.serve.telling import ended, told
from xraygpt_edge.trust.measured import require_measured


class Sampled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the answer is chosen."""

    max_tokens: asked.Count | None = None
    temperature: asked.Temperature | None = None
    top_p: asked.TopP | None = None
    seed: asked.Seed | None = None


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question; without a conversation it begins one."""

    question: str
    """`@NAME` stands for the bundle's own of that name."""
    indication: str = ""
    """Why the exam was asked for, where the question has a place for it."""
    conversation: str | None = None
    sampling: Sampled = Sampled()


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The kind of file that is wanted."""

    format: str


@dataclass(slots=True, eq=False)
class Turning:
    """A turn of a conversation while it is answered."""

    service: Service
    held: Held
    answer: str
    conversation: str
    before: Kept | None = None
    """The answer as it was told, where maps of it are drawn."""

    async def frames(self, happenings: AsyncGenerator[Happening]) -> AsyncGenerator[bytes]:
        """What happens, until the answer; it is held from then on."""
        try:
            async with aclosing(happenings):
                async for happening in happenings:
                    yield self._frame(happening)
        finally:
            self.service.under_way.pop(self.answer, None)

    def has_place(self, question: Question) -> None:
        """It can be stopped from here on."""
        self.service.under_way[self.answer] = (self.held.session, question)

    def _frame(self, happening: Happening) -> bytes:
        names = {"answer": self.answer, "conversation": self.conversation}
        match happening:
            case Moved():
                place = {"position": happening.position, "wait_s": happening.wait_s}
                return frame({"answer": self.answer, **place}, "queued")
            case Started():
                return frame(names, "started")
            case Text():
                return frame({"text": happening.text}, "text")
            case Record() | Cancelled() | Fatal():
                try:
                    end = ended(happening)
                except Refused as refused:
                    return frame(refused.to_dict(), "failed")
                kept = Kept(end.answer, datetime.now(UTC), self.conversation, end.forgotten)
                kept = replace(self.before, answer=end.answer) if self.before else kept
                self.held.answers[self.answer] = kept  # later turns see it
                return frame(finished(self.answer, kept), "done")


def finished(answer_id: str, kept: Kept) -> dict[str, Any]:
    """The object that a stream of events ends with."""
    names = {"answer": answer_id, "conversation": kept.conversation}
    return {**told(kept.answer, kept.forgotten), **names, "marked": marked(kept.answer)}


async def ask(request: Request) -> Response:
    """`POST radiographs/{r}/answers`: an answer as it comes; ends when the client leaves."""
    service, session = service_of(request), session_of(request)
    held = service.held.get(session, request.path_params["r"])
    wanted = await small_json(request, session, Asked, service.held)
    chosen = wanted.sampling
    sampling = asked.sampling(
        service.settings.sampling,
        chosen.max_tokens,
        chosen.temperature,
        chosen.top_p,
        chosen.seed,
        "sampling.max_tokens",
    )
    history = held.turns(wanted.conversation) if wanted.conversation is not None else ()
    prompt = service.settings.bundle.manifest.prompt
    question = asked.question(prompt, wanted.question, "question", wanted.indication)
    conversation = wanted.conversation or new_id("c")
    turning = Turning(service, held, new_id("a"), conversation)
    happenings = service.ask(session, held.seen, question, Asking(sampling, history), turning.has_place)
    return await until_left(request.receive, streamed(turning.frames(happenings)))


async def draw(request: Request) -> Response:
    """`POST answers/{a}/maps`: the same answer with maps of what it states; events as of a question."""
    service, session, name = service_of(request), session_of(request), request.path_params["a"]
    held, kept = service.held.answer(session, name)
    trust = kept.answer.trust
    if trust is None or trust.profile is None:
        raise Refused.because("E-TRU-006")
    try:
        require_measured(service.settings.bundle.manifest.n_image_tokens)
    except UsageError as error:
        raise Refused.of(error) from None
    source = kept.answer.input
    options = replace(held.options, profile=source.profile, frame=source.frame, force=source.forced)
    seen = await until_left(request.receive, service.reading.read(session, held.data, options))
    turning = Turning(service, held, name, kept.conversation, kept)
    happenings = service.draw(session, seen, kept.answer, turning.has_place)
    return await until_left(request.receive, streamed(turning.frames(happenings)))


async def stop(request: Request) -> Response:
    """`DELETE answers/{a}`: end an answer; what was said stays."""
    service = service_of(request)
    session, question = service.under_way.get(request.path_params["a"], ("", None))
    if question is None or session != session_of(request):
        raise Refused.because("E-SRV-013")
    service.questions.stop(question)
    return Response(status_code=202)


async def export(request: Request) -> Response:
    """`POST answers/{a}/export`: the answer as a file."""
    service, session = service_of(request), session_of(request)
    held, kept = service.held.answer(session, request.path_params["a"])
    wanted = (await small_json(request, session, Export, service.held)).format
    if wanted not in FORMATS:
        raise Refused.because("E-SRV-008", f"one of {', '.join(FORMATS)}", "format")
    return await until_left(request.receive, _exported(service, held, kept, FORMATS[wanted]))


async def _exported(service: Service, held: Held, kept: Kept, form: Format) -> Response:
    is_dicom = kept.answer.input.format == "dicom"
    identity = await service.reading.identify(held.data) if form.wants_identity and is_dicom else None
    data = await asyncio.to_thread(form.write, kept, identity)
    name = f"answer-{kept.digits}.{form.ending}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(data, headers=headers, media_type=form.media_type)


ROUTES: tuple[Any, ...] = (
    Route("/api/v1/radiographs/{r}/answers", ask, methods=["POST"]),
    Route("/api/v1/answers/{a}", stop, methods=["DELETE"]),
    Route("/api/v1/answers/{a}/export", export, methods=["POST"]),
    Route("/api/v1/answers/{a}/maps", draw, methods=["POST"]),
)
