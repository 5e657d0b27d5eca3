"""The body of a chat completion, as OpenAI describes it, into one radiograph, a history and a question."""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from xraygpt_edge.bundle.manifest import Manifest, PromptRecipe
from xraygpt_edge.generation.prompt import Turn
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.host import Asking
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.records import DEMO_NOTICE, NOTICE, Answer
from xraygpt_edge.serve import asked
from xraygpt_edge.serve.bodies import decoded
from xraygpt_edge.serve.errors import Refused

STOPS_MAX = 4
ENDING = re.compile(rf"\n\n(?:[A-Z]-[A-Z]+-\d{{3}}: [^\n]*\n)*(?:{re.escape(DEMO_NOTICE)} )?{re.escape(NOTICE)}\s*\Z")
"""What `with_ending` puts behind an answer; chat programs send it back with the next turn."""
DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE | re.ASCII)
CANNOT = ("tools", "functions", "tool_choice", "function_call", "response_format", "audio", "modalities", "logprobs",
          "top_logprobs", "prediction", "web_search_options")  # fmt: skip
HARMLESS = {
    "tools": b"[]",
    "functions": b"[]",
    "tool_choice": b'"none"',
    "function_call": b'"none"',
    "response_format": b'{"type":"text"}',
    "modalities": b'["text"]',
    "logprobs": b"false",
    "top_logprobs": b"0",
}
"""Field of CANNOT → the value that asks for nothing."""


class ImageUrl(msgspec.Struct, frozen=True):
    """Where OpenAI's clients put a picture."""

    url: str


class FileData(msgspec.Struct, frozen=True):
    """Where they put a file."""

    file_data: str = ""


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Words."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image_url"):
    """A picture."""

    image_url: ImageUrl


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    """A file."""

    file: FileData


class AudioPart(msgspec.Struct, frozen=True, tag_field="type", tag="input_audio"):
    """Sound, which is refused."""


Part = TextPart | ImagePart | FilePart | AudioPart


class Message(msgspec.Struct, frozen=True):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def parts(self) -> list[Part]:
        """The content as parts."""
        if isinstance(self.content, str):
            return [TextPart(self.content)]
        return self.content or []


class Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What OpenAI's API has no field for."""

    profile: str | None = None
    frame: asked.Count | None = None
    force: bool = False
    notice: bool = True
    indication: str = ""
    """Why the exam was asked for; for every question of the conversation that has a place for it."""


class StreamOptions(msgspec.Struct, frozen=True):
    """Of a streamed answer."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """What is understood of the body."""

    model: str
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: asked.Count | None = None
    max_completion_tokens: asked.Count | None = None
    temperature: asked.Temperature | None = None
    top_p: asked.TopP | None = None
    seed: asked.Seed | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    user: str | None = None
    xraygpt: Extra = Extra()


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat completion that can be asked."""

    picture_param: str
    """Where the picture stands."""
    question: str
    asking: Asking
    reading: ReadOptions
    stream: bool
    usage: bool
    """Wanted at the end of a stream."""
    notice: bool
    ignored: tuple[str, ...]


def understood(body: bytes, manifest: Manifest, sampling: Sampling, reading: ReadOptions) -> tuple[Chat, bytes]:
    """The request and its picture; raises Refused, with the field that is wrong in `param`."""
    fields = decoded(body, dict[str, msgspec.Raw])
    _require_possible(fields)
    request = decoded(body, ChatRequest)
    if request.model != manifest.id:
        raise Refused.because("E-SRV-016", param="model")
    if request.n not in (None, 1):
        raise Refused.because("E-SRV-012", param="n")
    places = _picture_places(request)
    turns, question, left_out = _spoken(request, manifest.prompt)
    most = request.max_completion_tokens or request.max_tokens
    wanted = asked.sampling(sampling, most, request.temperature, request.top_p, request.seed)
    param, picture = _one_picture(places)
    extra = request.xraygpt
    unknown = [
        name for name, value in fields.items() if name not in ChatRequest.__struct_fields__ and not _is_null(value)
    ]
    harmless = [name for name in unknown if name not in CANNOT]
    chat = Chat(
        param,
        question,
        Asking(wanted, turns, _stops(request.stop)),
        asked.reading(reading, extra.profile, extra.frame, force=extra.force or None, param="xraygpt."),
        stream=bool(request.stream),
        usage=bool(request.stream_options and request.stream_options.include_usage),
        notice=extra.notice,
        ignored=(*left_out, *harmless),
    )
    return chat, picture


def ending(answer: Answer) -> str:
    """What stands behind an answer's text, since chat programs show nothing else of it."""
    warnings = (f"{each.id}: {each.message}\n" for each in answer.input.warnings)
    return f"\n\n{''.join(warnings)}{answer.notice}"


def _require_possible(fields: dict[str, msgspec.Raw]) -> None:
    for name in CANNOT:
        value = fields.get(name)
        if value is not None and not _is_null(value) and bytes(value).replace(b" ", b"") != HARMLESS.get(name):
            raise Refused.because("E-SRV-012", param=name)


def _is_null(value: msgspec.Raw) -> bool:
    return bytes(value) == b"null"


def _picture_places(request: ChatRequest) -> list[tuple[str, str]]:
    """Where pictures are, and their URLs. Raises Refused when there is none."""
    found = []
    for number, message in enumerate(request.messages):
        for place, part in enumerate(message.parts):
            param = f"messages[{number}].content[{place}]"
            match part:
                case AudioPart():
                    raise Refused.because("E-SRV-012", param=param)
                case ImagePart():
                    found.append((param, part.image_url.url))
                case FilePart():
                    found.append((param, part.file.file_data))
    if not found:
        raise Refused.because("E-SRV-009", param="messages")
    return found


def _one_picture(places: list[tuple[str, str]]) -> tuple[str, bytes]:
    """The first place, and the bytes of the picture in all of them."""
    first_param, first_url = places[0]
    picture = _bytes_of(first_url, first_param)
    for param, url in places[1:]:
        if url != first_url and _bytes_of(url, param) != picture:
            raise Refused.because("E-SRV-010", param=param)
    return first_param, picture


def _bytes_of(url: str, param: str) -> bytes:
    if not url[:5].lower() == "data:":
        raise Refused.because("E-SRV-011", param=param)
    head = DATA_URL.match(url)
    with suppress(binascii.Error, ValueError):
        if head is not None:
            return base64.b64decode(memoryview(url.encode("ascii"))[head.end() :], validate=True)
    raise Refused.because("E-SRV-008", "no data URL in base64", param)


def _spoken(request: ChatRequest, prompt: PromptRecipe) -> tuple[tuple[Turn, ...], str, list[str]]:
    """Earlier turns, the question, and which messages cannot be honoured."""
    said: list[tuple[str, str]] = []
    left_out = []
    for number, message in enumerate(request.messages):
        param = f"messages[{number}]"
        if message.role in {"tool", "function"}:
            raise Refused.because("E-SRV-012", param=f"{param}.role")
        text = "\n".join(part.text for part in message.parts if isinstance(part, TextPart))
        if message.role == "user":  # what the model said it may see again, whatever it was
            text = asked.clean(text, param)
        if message.role in {"system", "developer"} or (message.role == "assistant" and not said):
            left_out.append(param)
        elif said and said[-1][0] == message.role:
            said[-1] = (message.role, f"{said[-1][1]}\n{text}")
        else:
            said.append((message.role, text))
    if not said or said[-1][0] != "user":
        raise Refused.because("E-SRV-008", "the last message is the user's", "messages")
    *earlier, last = [text.strip() for _, text in said[::2]]
    param = f"messages[{len(request.messages) - 1}]"
    earlier, last = asked.conversation(prompt, earlier, last, param, request.xraygpt.indication)
    answers = (ENDING.sub("", text).strip() for _, text in said[1::2])
    return tuple(map(Turn, earlier, answers)), last, left_out


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    found = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if len(found) > STOPS_MAX or not all(found):
        raise Refused.because("E-SRV-008", f"at most {STOPS_MAX} texts, none of them empty", "stop")
    return found
