"""Time and memory of each stage on this machine, beside the least that its memory and cores allow.

Every token of an answer needs all weights once, so memory's speed is the floor of its time; a prompt's
positions share the weights, so there the cores' arithmetic is. Both are measured here, too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
from PIL import Image

from xraygpt_edge import devices, provenance
from xraygpt_edge.engine import Ask, EncodedImage, XrayGPT
from xraygpt_edge.generation.capacity import MAX_SLOTS, slots_for
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import GREEDY
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.loading import LoadOptions
from xraygpt_edge.records import BundleFacts, EngineFacts
from xraygpt_edge.trust import panel
from xraygpt_edge.trust.profile import places_of

Result = TypeVar("Result")

AS_IT_IS = ReadOptions(force=True)
"""The drawn picture is no chest, and need be none."""
QUESTION = "What are the findings?"
ANSWER_TOKENS = 120
"""A findings-and-impression text of the training set's length."""
PICTURE_PX = 2048
REPEATS = 3
SWEEP_BYTES = 256_000_000
"""Far more than any cache holds."""
PRODUCT_SIDE = 1536


@dataclass(frozen=True, slots=True)
class Floor:
    """What this machine can do at most."""

    memory_bytes_per_s: float
    """Reading, with as many threads as the model has."""
    flop_per_s: float
    """float32 matrix products."""


@dataclass(frozen=True, slots=True)
class Stages:
    """Medians, in seconds unless named otherwise."""

    load_s: float
    read_s: float
    vision_s: float
    prompt_positions: int
    """Words before the image, its rows, and the words behind."""
    prefill_s: float
    tokens_per_s: float
    panel_questions: int
    panel_s: float
    """What `--trust fast` adds to an answer, but for milliseconds: its questions, behind what is kept of the image."""
    peak_bytes: int
    """Largest resident memory of this process and its isolated reader together."""

    @property
    def first_token_s(self) -> float:
        """From the file to the first token, the model loaded."""
        return self.read_s + self.vision_s + self.prefill_s

    @property
    def total_s(self) -> float:
        """From nothing loaded to the end of an answer of `ANSWER_TOKENS`."""
        return self.load_s + self.first_token_s + (ANSWER_TOKENS - 1) / self.tokens_per_s


@dataclass(frozen=True, slots=True)
class Bench:
    """Stages, floors, and how near to them the language model comes."""

    stages: Stages
    floor: Floor
    bytes_per_token: int
    """All weights but the embedding, of which one row is read."""
    flop_per_position: float
    bundle: BundleFacts
    engine: EngineFacts
    answers_at_once: int = 1
    """That a batch computes at the same time with the memory that is free."""

    @property
    def decode_share(self) -> float:
        """Of the memory's speed, while an answer is generated."""
        return self.bytes_per_token * self.stages.tokens_per_s / self.floor.memory_bytes_per_s

    @property
    def prompt_share(self) -> float:
        """Of the float32 products' speed; quantized weights can pass 1."""
        done = self.flop_per_position * self.stages.prompt_positions / self.stages.prefill_s
        return done / self.floor.flop_per_s


def bench(root: Path, options: LoadOptions) -> Bench:
    """Measure a bundle about a drawn picture; raises what `XrayGPT.load` raises."""
    load_s, model = timed(lambda: XrayGPT.load(root, options))
    with model, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.png"
        draw(path)
        images = [model.encode(path, AS_IT_IS) for _ in range(REPEATS)]
        prompt, scheduler = model.prompt(images[0].embeddings, Ask(QUESTION)), model.parts.wait_for_language()
        scheduler.first_logits(prompt)  # makes the context
        prefill_s = median(timed(lambda: scheduler.first_logits(prompt))[0] for _ in range(REPEATS))
        stages = Stages(
            load_s=load_s,
            read_s=median(image.read_s for image in images),
            vision_s=median(image.vision_s for image in images),
            prompt_positions=len(images[0].embeddings) + sum(map(len, model.prompt_ids(QUESTION))),
            prefill_s=prefill_s,
            tokens_per_s=tokens_per_s(scheduler, prompt, prefill_s),
            panel_questions=len(places_of(model.parts.plan)),
            panel_s=panel_s(model, images[0]),
            peak_bytes=devices.peak_memory_bytes(),
        )
        language = scheduler.model
        return Bench(
            stages,
            measure_floor(model.parts.plan.device.threads),
            language.size_bytes - scheduler.table.size_bytes,
            2.0 * (language.n_parameters - language.n_vocab * language.n_embd),
            provenance.bundle_facts(model.parts),
            provenance.engine_facts(model.parts),
            at_once(model, stages.prompt_positions),
        )


def at_once(model: XrayGPT, n_positions: int) -> int:
    """How many answers to such a prompt a batch computes at the same time."""
    plan, language = model.parts.plan, model.parts.wait_for_language().model
    free_bytes = devices.available_memory_bytes()
    return slots_for(language, plan.device, n_positions + GREEDY.max_tokens, free_bytes, MAX_SLOTS)


def draw(path: Path) -> None:
    """A picture with the shades of a radiograph and nothing on it."""
    y, x = np.mgrid[-1 : 1 : PICTURE_PX * 1j, -1 : 1 : PICTURE_PX * 1j]
    noise = np.random.default_rng(0).normal(0, 4, x.shape)
    grey = 200 * np.exp(-((x / 0.25) ** 2)) + 60 * (x**2 + y**2) + noise
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(path, compress_level=1)


def tokens_per_s(scheduler: Scheduler, prompt: Prompt, prefill_s: float) -> float:
    """While an answer is generated; which tokens does not matter, so an early end does not disturb."""
    given = [scheduler.model.bos] * (ANSWER_TOKENS - 1)
    seconds, _ = timed(lambda: scheduler.logits_along(prompt, given))
    return len(given) / (seconds - prefill_s)


def panel_s(model: XrayGPT, image: EncodedImage) -> float:
    """Seconds of the panel's questions, in one decode behind what an answer has left of the image."""
    scheduler, places = model.parts.wait_for_language(), places_of(model.parts.plan)
    with model.prefix(image) as kept:
        scheduler.first_logits_behind(kept, [[scheduler.model.bos]])
        return median(timed(lambda: panel.ask(model, image, places))[0] for _ in range(REPEATS))


def measure_floor(threads: int) -> Floor:
    """The best of a few tries: a floor is not an average."""
    parts = np.array_split(np.ones(SWEEP_BYTES // 8), threads)
    with ThreadPoolExecutor(threads) as pool:
        sweep_s = min(timed(lambda: list(pool.map(np.sum, parts)))[0] for _ in range(REPEATS + 2))
    side = np.ones((PRODUCT_SIDE, PRODUCT_SIDE), np.float32)
    product_s = min(timed(lambda: side @ side)[0] for _ in range(REPEATS + 2))
    return Floor(SWEEP_BYTES / sweep_s, 2 * PRODUCT_SIDE**3 / product_s)


def timed(function: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds, and the result."""
    began_s = time.perf_counter()
    result = function()
    return time.perf_counter() - began_s, result
