"""What the model process says about its tasks: text, records, ends, and that it lives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from xraygpt_edge.errors import InputRefused, OutOfTime, UnusableOutput, UsageError, XrayGPTError
from xraygpt_edge.findings import Finding
from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.host.messages import Asking, Cancelled, Event, Heartbeat, Record, StageTimes, Started, Task, Text
from xraygpt_edge.provenance import answer_of
from xraygpt_edge.records import Answer, BundleFacts, EngineFacts, Failure, Source, Timing, Trust
from xraygpt_edge.trust import assess

Say: TypeAlias = Callable[[Event], None]
HEARTBEAT_S = 5.0
"""A sign of life at least so often, as long as llama.cpp returns."""
ONE_TASK = (InputRefused, OutOfTime, UnusableOutput, UsageError)
"""Errors that concern one task; any other ends the process."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A task that waits for an answer about its own file."""

    task: Task
    source: Source
    read_s: float


@dataclass(slots=True)
class Reporter:
    """Knows which questions are open. For the thread that answers; another may ask `begin`."""

    bundle: BundleFacts
    facts: Callable[[Asking | None], EngineFacts]
    """What answers, by how it was asked."""
    findings: tuple[Finding, ...]
    """What answers may state."""
    say: Say
    times: StageTimes
    _open: dict[int, set[str]] = field(default_factory=dict)
    """Task → its questions without a record."""
    _beat_at_s: float = 0.0

    def add(self, task: Task) -> None:
        """Take a task; all its questions are open."""
        self._open[task.number] = set(task.questions)

    def is_open(self, task: Task) -> bool:
        """Whether it waits for a record and was not cancelled."""
        return task.number in self._open

    def begin(self, task: Task) -> bool:
        """Whether a task is still wanted; then it is said to have started."""
        is_wanted = self.is_open(task)
        if is_wanted:
            self.say(Started(task.number))
        return is_wanted

    def cancel(self, number: int) -> bool:
        """End a task without further records; False when its last one was said already."""
        was_open = self._open.pop(number, None) is not None
        if was_open:
            self.say(Cancelled(number))
        return was_open

    def text(self, subscribers: Iterable[Subscriber], question: str, text: str) -> None:
        """More of an answer, to those that want it as it comes."""
        for subscriber in subscribers:
            if subscriber.task.wants_text and text:
                self.say(Text(subscriber.task.number, question, text))

    def answer(
        self,
        subscriber: Subscriber,
        question: str,
        generation: Generation,
        trust: Trust | None,
        vision_s: float = 0.0,
        forgotten: int = 0,
    ) -> None:
        """An answer, with everything that made it; vision_s: 0 where the image was not encoded for it."""
        task, before = subscriber.task, Timing(read_s=subscriber.read_s, vision_s=vision_s)
        facts = self.facts(task.asking)
        answer = answer_of(subscriber.source, question, generation, self.bundle, facts, before)
        own = trust and assess.about_file(trust, answer, self.findings)
        self._record(Record.of(task.number, question, replace(answer, trust=own), generation.n_prompt, forgotten))

    def with_maps(self, task: Task, answer: Answer) -> None:
        """An answer that was given before, with maps now, unless nobody waits for them any more."""
        if self.is_open(task):
            self._record(Record.of(task.number, answer.question, answer))

    def refuse(self, task: Task, questions: Iterable[str], error: XrayGPTError, source: Source | None = None) -> None:
        """A failure of each question; an error that concerns more than this task is raised again."""
        if not isinstance(error, ONE_TASK) and error.error_id != "E-BUG-001":
            raise error
        failure = Failure(error.error_id, error.message, int(error.code), source)
        for question in questions:
            self._record(Record.of(task.number, question, failure))

    @property
    def is_beat_due(self) -> bool:
        """Whether it is time for a sign of life."""
        return time.monotonic() - self._beat_at_s > HEARTBEAT_S

    def beat(self) -> None:
        """Give a sign of life."""
        self._beat_at_s = time.monotonic()
        self.say(Heartbeat(self.times))

    def _record(self, record: Record) -> None:
        questions = self._open[record.task]
        questions.discard(record.question)
        if not questions:
            del self._open[record.task]
        self.beat()
        self.say(record)
