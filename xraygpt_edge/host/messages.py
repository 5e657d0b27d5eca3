"""What a host and its model process say to each other: one JSON object a line, checked at both ends.

to the process     Load once, then Room, Task, Stop and Cancel in any order
from the process   Ready, again after each Room; Started, Text, Record, Cancelled, Heartbeat; Fatal before it ends
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.generation.prompt import Turn
from xraygpt_edge.generation.request import GREEDY, Sampling
from xraygpt_edge.imaging.images import DEFAULT, ReadOptions
from xraygpt_edge.loading import LoadOptions
from xraygpt_edge.records import TRUST, Answer, Failure, Source, TrustLevel

Kind = TypeVar("Kind")


class Load(msgspec.Struct, frozen=True, tag="load"):
    """What the process loads, and what all its tasks have in common."""

    bundle: str
    """The bundle's folder, absolute."""
    questions: tuple[str, ...]
    """Those that will be asked: the longest decides how much room a sequence has. None where nobody knows them yet:
    then room is made with each question."""
    options: LoadOptions = LoadOptions()
    template: str | None = None
    sampling: Sampling = GREEDY
    reading: ReadOptions = DEFAULT
    slots: int | None = None
    """Questions that are answered at the same time; None lets memory and cores decide."""
    slots_max: int | None = None
    """The most that can be of use, where memory and cores would allow more."""
    trust: TrustLevel = TRUST
    """How much is said of how far to trust each answer."""
    maps: bool = False
    """Draw maps as well."""
    remembers: int = 4096
    """Answers that are kept for whoever asks the same about the same pixels; about 3 kB each at 300 tokens, and 6 kB
    of trust."""


class Room(msgspec.Struct, frozen=True, tag="room"):
    """How many are answered at the same time from here on; the change is made once nothing is being answered."""

    questions: tuple[str, ...] = ()
    """Those that will be asked: the longest decides how much room each has, beside what others had before."""
    slots: int | None = None
    """None lets memory and cores decide."""
    slots_min: int = 1
    """So many in any case, where memory and cores decide."""
    slots_max: int | None = None
    """The most that can be of use."""


class View(msgspec.Struct, frozen=True):
    """A radiograph that the client has read already, as the model sees it."""

    pixels: bytes
    """(size_px, size_px) or (size_px, size_px, 3) uint8, row by row, 0 black."""
    source: Source
    read_s: float = 0.0

    def picture(self, size_px: int) -> NDArray[np.uint8]:
        """The pixels in their shape."""
        shape = (size_px, size_px) if len(self.pixels) == size_px**2 else (size_px, size_px, 3)
        return np.frombuffer(self.pixels, np.uint8).reshape(shape)


class Asking(msgspec.Struct, frozen=True):
    """How the questions of a task are asked, where that is not for all tasks the same."""

    sampling: Sampling
    history: tuple[Turn, ...] = ()
    """What was asked before about the radiograph; the oldest turns are left out where the context has no room."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer, beside the bundle's."""


class Task(msgspec.Struct, frozen=True, tag="task"):
    """One radiograph and what is to be asked about it."""

    number: int
    """Chosen by the client; a host is given each number once."""
    path: str
    """The file, absolute; bytes that are not UTF-8 are lone surrogates. Without meaning where there is a view."""
    questions: tuple[str, ...]
    """At least one, each once."""
    wants_text: bool = False
    """Have each answer's text told as it comes."""
    view: View | None = None
    asking: Asking | None = None
    """None asks as `Load` says."""
    maps_of: Answer | None = None
    """What was answered before: nothing is asked, maps are drawn of what it states, and the record has both."""


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Forget a task: at once if it waits, with the next token if it is in work. The others go on."""

    task: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End the answers of a task with the next token: what they have said is the answer. One that waits is cancelled."""

    task: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded, or has made room."""

    slots: int
    """Questions that are answered at the same time."""
    device: str = "cpu"
    threads: int = 1


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The process begins with a radiograph; should it die now, this one may be why."""

    task: int


class Text(msgspec.Struct, frozen=True, tag="text"):
    """More of an answer, for a task that wants it; a task that is tried again begins anew with its next Started."""

    task: int
    question: str
    text: str


class Record(msgspec.Struct, frozen=True, tag="record"):
    """The end of one question: an answer or a failure. The task has ended when each of its questions has one."""

    task: int
    question: str
    answer: Answer | None = None
    failure: Failure | None = None
    attempt: int = 1
    """How often a process was given the radiograph; the host counts."""
    n_prompt: int = 0
    """Positions of the prompt, those of the image among them."""
    forgotten: int = 0
    """Turns of the history that the context had no room for."""

    @classmethod
    def of(cls, task: int, question: str, result: Answer | Failure, n_prompt: int = 0, forgotten: int = 0) -> Record:
        """With the result in its place."""
        if isinstance(result, Answer):
            return cls(task, question, answer=result, n_prompt=n_prompt, forgotten=forgotten)
        return cls(task, question, failure=result)

    @property
    def result(self) -> Answer | Failure:
        """The answer or the failure."""
        result = self.answer or self.failure
        if result is None:
            raise ValueError("a record without a result")
        return result


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """The end of a task that was cancelled; questions that have no record get none."""

    task: int


@dataclass(slots=True)
class StageTimes:
    """Seconds of the model process by stage, as they add up. Reading runs beside the others."""

    load_s: float = 0.0
    read_s: float = 0.0
    vision_s: float = 0.0
    prompt_s: float = 0.0
    decode_s: float = 0.0
    tokens: int = 0

    def __add__(self, other: StageTimes) -> StageTimes:
        return StageTimes(
            self.load_s + other.load_s,
            self.read_s + other.read_s,
            self.vision_s + other.vision_s,
            self.prompt_s + other.prompt_s,
            self.decode_s + other.decode_s,
            self.tokens + other.tokens,
        )


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """A sign of life, every few seconds while native calls return, and before each record."""

    times: StageTimes
    """Since the process began."""


class Fatal(msgspec.Struct, frozen=True, tag="fatal"):
    """What ends the process, and with it every task."""

    error_id: str
    why: str
    code: int

    @classmethod
    def of(cls, error: XrayGPTError) -> Fatal:
        """As it is said."""
        return cls(error.error_id, error.why, int(error.code))

    @property
    def error(self) -> XrayGPTError:
        """The error, to be raised where somebody waits."""
        kinds = {int(kind.code): kind for kind in XrayGPTError.__subclasses__()}
        return kinds.get(self.code, XrayGPTError)(self.error_id, self.why)


Command: TypeAlias = Load | Room | Task | Stop | Cancel
Event: TypeAlias = Ready | Started | Text | Record | Cancelled | Heartbeat | Fatal


class Garbled(ValueError):
    """A line that is no message."""


def packed(message: msgspec.Struct) -> bytes:
    """One line; lone surrogates of a file name survive as escapes, which msgspec's own writer refuses."""
    return json.dumps(msgspec.to_builtins(message), ensure_ascii=True).encode("ascii") + b"\n"


def unpacked(line: bytes, kind: type[Kind] | Any) -> Kind:
    """The message of a line, checked against its type; raises Garbled, also for a line that was cut off."""
    if not line.endswith(b"\n"):
        raise Garbled("cut off")
    try:
        message: Kind = msgspec.convert(json.loads(line), kind)
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        raise Garbled(type(error).__name__) from error
    return message
