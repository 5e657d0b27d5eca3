"""What all routes share: the model, the queue, the readers, the files held. For one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from xraygpt_edge.host import Asking, Fatal, Load, ModelHost, Ready, Task
from xraygpt_edge.records import Answer, notice
from xraygpt_edge.sandbox import NetworkCut
from xraygpt_edge.serve.codes import Codes, new_key
from xraygpt_edge.serve.held import HeldFiles
from xraygpt_edge.serve.passwords import Guesses
from xraygpt_edge.serve.questions import Happening, Question, Questions
from xraygpt_edge.serve.reading import Reading, Seen
from xraygpt_edge.serve.runs.registry import Runs
from xraygpt_edge.serve.sessions import Sessions
from xraygpt_edge.serve.settings import Settings


@dataclass(slots=True, eq=False)
class Service:
    """One server's state."""

    settings: Settings
    network: NetworkCut | None
    """How the kernel keeps this process from the network."""
    sessions: Sessions = field(init=False)
    guesses: Guesses = field(default_factory=Guesses)
    held: HeldFiles = field(init=False)
    questions: Questions = field(init=False)
    reading: Reading = field(init=False)
    runs: Runs = field(init=False)
    host: ModelHost = field(init=False)
    under_way: dict[str, tuple[str, Question]] = field(default_factory=dict)
    """Answer of the native API → its session, and its question, as long as it has not ended."""
    fatal: Fatal | None = None
    """Why there will be no more answers."""
    checks: asyncio.Future[list[Any]] | None = None
    """What `doctor` has found; asked once."""
    seen_at_s: float = field(default_factory=time.monotonic)
    """When the latest request came."""
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    one_body: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Large bodies are understood one after another: several at once would keep everybody else from being answered."""
    on_ready: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        limits = self.settings.limits
        self.sessions = Sessions(filter(None, {self.settings.token, self.settings.link_token}), Codes(new_key()))
        self.held = HeldFiles(limits.held_bytes, limits.forget_after_s)
        self.questions = Questions(limits.waiting)
        self.reading = Reading(self.settings.bundle.manifest.image)
        self.runs = Runs(self.settings, self.questions)

    def start(self) -> None:
        """Begin to load the model and to import the decoders; returns at once."""
        loop = asyncio.get_running_loop()
        load = Load(
            bundle=str(self.settings.bundle.root.absolute()),
            questions=(),
            options=self.settings.loading,
            template=self.settings.template,
            sampling=self.settings.sampling,
            slots=1,
            trust=self.settings.trust,
            remembers=0,
        )

        def watch(event: Ready | Fatal) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._hear, event)

        self.host = ModelHost(load, ahead=0, tries=1, watch=watch)
        self.questions.attach(self.host, loop)
        self.runs.attach(self.host, loop)
        self.host.__enter__()
        self.reading.start()

    def forget(self, session: str) -> None:
        """Let go of all that a session has: radiographs, what was said about them, runs."""
        self.held.forget_session(session)
        self.runs.forget_session(session)
        self.reading.forget(session)

    def end_questions(self) -> None:
        """Say to everybody who waits that there are no more answers."""
        self.questions.end_all(self.fatal)

    def close(self) -> None:
        """End the model process and the readers at once."""
        self.host.close()
        self.reading.close()
        self.runs.close()

    def ask(
        self, session: str, seen: Seen, question: str, asking: Asking, told: Callable[[Question], None] | None = None
    ) -> AsyncGenerator[Happening]:
        """A question about a radiograph, as `Questions.ask`."""
        task = Task(0, "", (question,), wants_text=True, view=seen.view, asking=asking)
        return self.questions.ask(session, task, told)

    def draw(
        self, session: str, seen: Seen, answer: Answer, told: Callable[[Question], None] | None = None
    ) -> AsyncGenerator[Happening]:
        """Maps of what an answer about a radiograph states, as `Questions.ask`; the record is the answer with them."""
        return self.questions.ask(session, Task(0, "", (answer.question,), view=seen.view, maps_of=answer), told)

    @property
    def notice(self) -> str:
        """What must stand beside every answer."""
        return notice(demo=self.settings.bundle.manifest.demo)

    def _hear(self, event: Ready | Fatal) -> None:
        if isinstance(event, Fatal):
            self.fatal = event
            self.end_questions()
            self.runs.broken(event)
            if not self.settings.waits_when_broken or self.questions.ready:
                self.ending.set()
            return
        first, self.questions.ready = self.questions.ready is None, event
        self.runs.go_on()
        if first:
            self.on_ready()


def service_of(request: Request) -> Service:
    """The service behind a request."""
    service: Service = request.scope["service"]
    return service


def session_of(request: Request) -> str:
    """The id of the session that asks."""
    return str(request.scope["session"].id)
