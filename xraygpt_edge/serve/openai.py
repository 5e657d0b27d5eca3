"""`/v1`: what programs that speak OpenAI's API see."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from xraygpt_edge import devices
from xraygpt_edge.host import Cancelled, Fatal, Record, Text
from xraygpt_edge.serve import settings
from xraygpt_edge.serve.bodies import body
from xraygpt_edge.serve.chat_request import Chat, ending, understood
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.events import frame, json_response, streamed
from xraygpt_edge.serve.leaving import until_left
from xraygpt_edge.serve.questions import Happening, Moved
from xraygpt_edge.serve.reading import Seen
from xraygpt_edge.serve.service import Service, service_of, session_of
from xraygpt_edge.serve.telling import Ended, ended, told, with_notes

DONE = b"data: [DONE]\n\n"
FINISH = {"stop": "stop", "length": "length", "timeout": "length", "cancelled": "stop"}


async def models(request: Request) -> Response:
    """`GET /v1/models`: the one bundle."""
    return json_response({"object": "list", "data": [_model(service_of(request))]})


async def model(request: Request) -> Response:
    """`GET /v1/models/{id}`."""
    found = _model(service_of(request))
    if request.path_params["id"] != found["id"]:
        raise Refused.because("E-SRV-016")
    return json_response(found)


async def chat_completions(request: Request) -> Response:
    """`POST /v1/chat/completions`, streamed or whole."""
    chat, seen = await _received(request)
    devices.trim_memory()  # the allocator would keep what a large file has left
    return await until_left(request.receive, _answer(service_of(request), session_of(request), chat, seen))


async def _received(request: Request) -> tuple[Chat, Seen]:
    """What is asked, about what; the bytes of both are gone behind this, however long the question waits."""
    service, session = service_of(request), session_of(request)
    upload_bytes = service.settings.limits.upload_bytes
    async with body(request, session, upload_bytes * 4 // 3 + settings.JSON_BYTES, service.held) as data:
        if service.questions.ready is None:
            raise Refused.because("E-SRV-014")
        async with service.one_body:
            chat, picture = await asyncio.to_thread(_understood, data, service)
        if len(picture) > upload_bytes:
            raise Refused.because("E-SRV-006", f"at most {upload_bytes >> 20} MB", chat.picture_param)
        try:
            seen = await until_left(request.receive, service.reading.read(session, picture, chat.reading))
        except Refused as refused:
            refused.param = chat.picture_param
            raise
    return chat, seen


def _understood(data: bytes, service: Service) -> tuple[Chat, bytes]:
    chosen = service.settings
    return understood(data, chosen.bundle.manifest, chosen.sampling, chosen.reading)


async def _answer(service: Service, session: str, chat: Chat, seen: Seen) -> Response:
    happenings = service.ask(session, seen, chat.question, chat.asking)
    completion = Completion(
        chat, service.settings.bundle.manifest.id, f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
    )
    if chat.stream:
        return await streamed(completion.frames(happenings))
    async with aclosing(happenings):
        async for happening in happenings:
            if isinstance(happening, Record | Cancelled | Fatal):
                return json_response(completion.whole(ended(happening)))
    raise RuntimeError("a question without an end")


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer in OpenAI's words."""

    chat: Chat
    model: str
    id: str
    created: int

    def whole(self, end: Ended) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        answer = end.answer
        text = answer.text + (ending(answer) if self.chat.notice else "")
        message = {"role": "assistant", "content": text}
        finish = FINISH[answer.finish_reason]
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": _usage(end),
            "xraygpt": self._details(end),
        }

    async def frames(self, happenings: AsyncGenerator[Happening]) -> AsyncGenerator[bytes]:
        """The frames of a streamed answer; raises Refused where nothing was said yet."""
        role = self._chunk({"role": "assistant", "content": ""})
        async with aclosing(with_notes(happenings)) as told:
            async for happening in told:
                match happening:
                    case Moved():
                        place = {"position": happening.position, "wait_s": happening.wait_s}
                        yield role + self._chunk({"content": ""}, xraygpt={"queue": place})
                        role = b""
                    case Text():
                        yield role + self._chunk({"content": happening.text})
                        role = b""
                    case Record() | Cancelled() | Fatal():
                        try:
                            yield role + self._last(ended(happening))
                        except Refused as refused:
                            if role:
                                raise
                            yield frame(refused.to_dict())
                            return

    def _last(self, end: Ended) -> bytes:
        notice = self._chunk({"content": ending(end.answer)}) if self.chat.notice else b""
        finish = self._chunk({}, FINISH[end.answer.finish_reason], xraygpt=self._details(end))
        usage = frame({**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(end)})
        return notice + finish + (usage if self.chat.usage else b"") + DONE

    def _chunk(self, delta: dict[str, str], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return frame({**self._head("chat.completion.chunk"), "choices": [choice], **more})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _details(self, end: Ended) -> dict[str, Any]:
        return {**told(end.answer, end.forgotten), "ignored": self.chat.ignored}


def _usage(end: Ended) -> dict[str, int]:
    n_answer = len(end.answer.token_ids)
    return {
        "prompt_tokens": end.n_prompt,
        "completion_tokens": n_answer,
        "total_tokens": end.n_prompt + n_answer,
    }


def _model(service: Service) -> dict[str, Any]:
    plan, manifest = service.settings.bundle, service.settings.bundle.manifest
    files: dict[str, Any] = {
        entry.role: entry.precision for entry in manifest.files if entry.role in {"vision", "language"}
    }
    facts: dict[str, Any] = {
        "kind": manifest.kind,
        "demo": manifest.demo,
        **files,
        "n_ctx": manifest.n_ctx,
        "license": manifest.licence,
    }
    created = int((plan.root / "manifest.json").stat().st_mtime)
    return {"id": manifest.id, "object": "model", "created": created, "owned_by": "local", "xraygpt": facts}
