"""Requests at the scheduler, as many as it has slots for: the one place of a host that knows how answers come about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from xraygpt_edge import devices, provenance
from xraygpt_edge.engine import Ask, EncodedImage, XrayGPT
from xraygpt_edge.generation.capacity import MAX_SLOTS, Capacity, slots_for
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.generation.sequence import Event
from xraygpt_edge.host.messages import Load, StageTimes
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import EngineFacts

SLOTS_WITH_LITTLE_MEMORY = 4
Tell: TypeAlias = Callable[[Event], object]


@dataclass(slots=True)
class Answering:
    """A loaded model with room for many answers; for one thread."""

    model: XrayGPT
    load: Load
    scheduler: Scheduler
    slots: int
    in_work: int = 0
    """Requests whose end has not come yet."""
    _steps: int = -1

    @classmethod
    def create(cls, model: XrayGPT, load: Load) -> Answering:
        """Make room for as many answers as fit; raises UsageError for a question that does not fit even alone."""
        scheduler = model.parts.wait_for_language()
        prompts = [model.prompt_ids(question, load.template) for question in load.questions]
        n_image = model.parts.plan.bundle.manifest.n_image_tokens
        n_tokens = max(len(before) + n_image + len(after) for before, after in prompts) + load.sampling.max_tokens
        slots = load.slots or _slots_that_fit(scheduler, model, n_tokens, load)
        scheduler.reserve(Capacity(slots, slots, n_tokens))
        return cls(model, load, scheduler, slots)

    @property
    def free(self) -> int:
        """Answers that can be started now."""
        return self.slots - self.in_work

    @property
    def is_alive(self) -> bool:
        """Whether llama.cpp has returned since this was last asked, or has nothing to do."""
        before, self._steps = self._steps, self.scheduler.spent.steps
        return not self.in_work or self._steps != before

    @property
    def facts(self) -> EngineFacts:
        """What answers."""
        return provenance.engine_facts(self.model.parts, self.sampling, self.load.template)

    @property
    def sampling(self) -> Sampling:
        """As it was asked for; many share a decode already, so there are no drafts."""
        return replace(self.load.sampling, draft=False)

    def note(self, times: StageTimes) -> None:
        """Write down what the scheduler has spent so far."""
        times.prompt_s, times.decode_s = self.scheduler.spent.prompt_s, self.scheduler.spent.decode_s

    def ask(self, question: str) -> Ask:
        """A question as it is put."""
        return Ask(question, (), self.sampling, self.load.template)

    def start(
        self, image: EncodedImage, question: str, deadline: Deadline, prefix: Prefix | None, tell: Tell
    ) -> Callable[[], None]:
        """Begin an answer; returns what cancels it.

        prefix: shared by several questions about one image. tell: called from another thread with each piece, and with
        the answer or the error at the end.
        """
        self.in_work += 1
        ask = self.ask(question)
        wording = self.model.wording
        request = Request(self.model.prompt(image.embeddings, ask), ask.sampling, wording, deadline)
        leaving = self.model.prefix(image) if self.load.trust != "off" else None
        return self.scheduler.submit_telling(request, tell, prefix, leaving)


def _slots_that_fit(scheduler: Scheduler, model: XrayGPT, n_tokens: int, load: Load) -> int:
    """As memory and cores allow, and no more than are of use."""
    most = load.slots_max or MAX_SLOTS
    if load.options.memory == "low":
        most = min(most, SLOTS_WITH_LITTLE_MEMORY)
    free_bytes = devices.available_memory_bytes()
    return slots_for(scheduler.model, model.parts.plan.device, n_tokens, free_bytes, most)
