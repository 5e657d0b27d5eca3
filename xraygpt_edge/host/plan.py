"""The batch's first message, as the model process understands it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from xraygpt_edge.batch.job import Running, Settings
from xraygpt_edge.devices import Wish
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.images import ReadOptions
from xraygpt_edge.loading import Wishes

PLACES_WITH_LITTLE_MEMORY = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, as the batch said it."""

    folder: Path
    bundle: Path
    questions: tuple[str, ...]
    settings: Settings
    running: Running
    requests: int
    """Most answers that can be wanted: room for more would be wasted."""

    @classmethod
    def of(cls, job: dict[str, Any]) -> Plan:
        """From the batch's first message."""
        settings, running = Settings(**job["settings"]), Running(**job["running"])
        return cls(
            Path(job["folder"]), Path(job["bundle"]), tuple(job["questions"]), settings, running, job["requests"]
        )

    @property
    def wishes(self) -> Wishes:
        """How the model is loaded: encoder and language model take turns, so both stay, also with little memory."""
        r = self.running
        return Wishes(cast(Wish, r.device), r.threads, memory="fast" if r.memory == "fast" else "auto")

    @property
    def most_places(self) -> int:
        """Radiographs that may be answered at the same time: each takes a part of the cache."""
        return min(self.requests, PLACES_WITH_LITTLE_MEMORY) if self.running.memory == "low" else self.requests

    @property
    def reading(self) -> ReadOptions:
        """For every file."""
        return ReadOptions(self.settings.profile, self.settings.frame, self.settings.force)

    @property
    def sampling(self) -> Sampling:
        """For every question; many radiographs share a decode already, so no words are guessed ahead."""
        s = self.settings
        return Sampling(s.temperature, s.top_p, s.max_tokens, s.seed, self.running.timeout_s, draft=False)
