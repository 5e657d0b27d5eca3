"""Requests at the scheduler, as many as it has slots for: the one place of a host that knows how answers come about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from xraygpt_edge import devices, provenance
from xraygpt_edge.engine import Ask, EncodedImage, XrayGPT
from xraygpt_edge.errors import ResourceExhausted, UsageError
from xraygpt_edge.generation.capacity import MAX_SLOTS, Capacity, slots_for
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.generation.sequence import Event
from xraygpt_edge.host.messages import Asking, Load, Room, StageTimes
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
    wanted: Room | None = None
    """To be made as soon as nothing is being answered."""
    _steps: int = -1

    @classmethod
    def create(cls, model: XrayGPT, load: Load) -> Answering:
        """Make room for as many answers as fit; raises UsageError for a question that does not fit even alone."""
        answering = cls(model, load, model.parts.wait_for_language(), load.slots or 1)
        if load.questions:  # else nobody knows how long they will be
            answering._reserve(Room(load.questions, load.slots, slots_max=load.slots_max))
        return answering

    @property
    def free(self) -> int:
        """Answers that can be started now; none while room is to be made."""
        return 0 if self.wanted else self.slots - self.in_work

    def make_room(self) -> bool:
        """Make the room that is wanted, unless something is still being answered; whether there is another now.

        Where it cannot be had, answers go on in what there is: a question that is too long is refused when it is asked.
        """
        if self.wanted is None or self.in_work:
            return False
        room, self.wanted = self.wanted, None
        try:
            self._reserve(room)
        except (UsageError, ResourceExhausted):
            self.slots = self.scheduler.n_slots
        return True

    def _reserve(self, room: Room) -> None:
        """Raises UsageError for a question that does not fit even alone, ResourceExhausted without the memory."""
        n_tokens = max((self._n_tokens(question) for question in room.questions), default=0)
        n_tokens = max(n_tokens, self.scheduler.n_ctx)
        most = room.slots_max or MAX_SLOTS
        slots = room.slots or max(
            room.slots_min, _slots_that_fit(self.scheduler, self.model, n_tokens, self.load, most)
        )
        if n_tokens:  # else nobody knows yet
            self.scheduler.reserve(Capacity(slots, slots, n_tokens))
        self.slots = slots

    def _n_tokens(self, question: str) -> int:
        """Of a prompt with the longest answer that it may get."""
        before, after = self.model.prompt_ids(question, self.load.template)
        n_image = self.model.parts.plan.bundle.manifest.n_image_tokens
        return len(before) + n_image + len(after) + self.load.sampling.max_tokens

    @property
    def is_alive(self) -> bool:
        """Whether llama.cpp has returned since this was last asked, or has nothing to do."""
        before, self._steps = self._steps, self.scheduler.spent.steps
        return not self.in_work or self._steps != before

    def facts(self, asking: Asking | None = None) -> EngineFacts:
        """What answers."""
        return provenance.engine_facts(self.model.parts, self.sampling(asking), self.load.template)

    def sampling(self, asking: Asking | None) -> Sampling:
        """As it was asked for; where many share a decode already, there are no drafts."""
        wanted = asking.sampling if asking else self.load.sampling
        return replace(wanted, draft=wanted.draft and self.slots == 1)

    def note(self, times: StageTimes) -> None:
        """Write down what the scheduler has spent so far."""
        times.prompt_s, times.decode_s = self.scheduler.spent.prompt_s, self.scheduler.spent.decode_s

    def ask(self, question: str, asking: Asking | None) -> Ask:
        """A question as it is put."""
        return Ask(question, asking.history if asking else (), self.sampling(asking), self.load.template)

    def request(self, image: EncodedImage, question: str, asking: Asking | None, deadline: Deadline) -> Request:
        """What the scheduler is to be asked."""
        ask, wording = self.ask(question, asking), self.model.wording
        wording = replace(wording, stop=(*wording.stop, *(asking.stop if asking else ())))
        return Request(self.model.prompt(image.embeddings, ask), ask.sampling, wording, deadline)

    def start(
        self, request: Request, image: EncodedImage, tell: Tell, after: Prefix | None, keep: Prefix | None
    ) -> Callable[[], None]:
        """Begin an answer; returns what cancels it.

        tell: called from another thread with each piece, and with the answer or the error at the end.
        after: shared by several questions about one image, or computed by an earlier turn. keep: for the next turn.
        """
        self.in_work += 1
        leaving = self.model.prefix(image) if self.load.trust != "off" else None
        return self.scheduler.submit_telling(request, tell, after, leaving, keep)


def _slots_that_fit(scheduler: Scheduler, model: XrayGPT, n_tokens: int, load: Load, most: int) -> int:
    """As memory and cores allow, and no more than are of use."""
    if load.options.memory == "low":
        most = min(most, SLOTS_WITH_LITTLE_MEMORY)
    free_bytes = devices.available_memory_bytes()
    return slots_for(scheduler.model, model.parts.plan.device, n_tokens, free_bytes, most)
