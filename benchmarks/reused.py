"""Our sides of `reuse`, each in a process of its own: prompts that are computed anew, and what is shared instead."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.ours import FIRST_PLAIN_TOKEN, drawn_image, plain
from benchmarks.pairs import Raw
from xraygpt_edge.devices import Device
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.packing import padded
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Request
from xraygpt_edge.generation.saved_starts import SavedStarts
from xraygpt_edge.generation.scheduler import Scheduler

START_TOKENS = 50
"""Before the image, in XrayGPT's default template with LLaMA's vocabulary."""
QUESTION_TOKENS = 21
SPOKEN_TOKENS = 600
"""Behind the image after four turns of a conversation."""
TRIES = 3


class Drawn:
    """Prompts of words that nobody said, around images that nobody has."""

    def __init__(self, scheduler: Scheduler, n_rows: int) -> None:
        self._n_vocab, self.bos = scheduler.model.n_vocab, scheduler.model.bos
        self.image = drawn_image(n_rows, scheduler.model.n_embd, 0)
        self.start = (self.bos, *self.words(START_TOKENS - 1, 0))

    def words(self, count: int, seed: int) -> tuple[int, ...]:
        """Token ids of no order."""
        return tuple(np.random.default_rng(seed).integers(FIRST_PLAIN_TOKEN, self._n_vocab, count).tolist())

    def prompt(self, *behind: tuple[int, ...]) -> Prompt:
        """The start, the image, and what stands behind it."""
        return Prompt((self.start, self.image, *behind))


def turn(language: str, threads: int, n_rows: int, *, spoken: bool) -> Raw:
    """Seconds to the first word of a turn; spoken: with a conversation behind the image, which is kept."""
    room = padded(START_TOKENS + n_rows + SPOKEN_TOKENS + 2 * QUESTION_TOKENS)
    scheduler = Scheduler.load(Path(language), Device("cpu", threads), CoreOptions(Capacity(n_ctx=room)))
    drawn, times_s = Drawn(scheduler, n_rows), []
    said = (drawn.words(SPOKEN_TOKENS, 1),) if spoken else ()
    with scheduler.prefill(drawn.prompt(*said)) as prefix:
        for number in range(TRIES + 1):  # the first one warms up
            request = Request(drawn.prompt(*said, drawn.words(QUESTION_TOKENS, 2 + number)), plain(1))
            times_s.append(_seconds(lambda: next(scheduler.submit(request, prefix))))  # noqa: B023 - called at once
    return {"values": {"seconds": float(np.median(times_s[1:]))}, "samples_s": times_s[1:]}


def questions(language: str, threads: int, n_rows: int, count: int, *, together: bool) -> Raw:
    """Seconds of prompts for so many questions about one image; together: behind one start and one image."""
    room = padded(START_TOKENS + n_rows + QUESTION_TOKENS + 2)
    capacity = Capacity(count, count, room) if together else Capacity(n_ctx=room)
    scheduler = Scheduler.load(Path(language), Device("cpu", threads), CoreOptions(capacity))
    drawn = Drawn(scheduler, n_rows)
    scheduler.first_logits(Prompt((drawn.words(8, 1),)))  # warm
    prompts = [drawn.prompt(drawn.words(QUESTION_TOKENS, 2 + number)) for number in range(count)]
    before_s = scheduler.spent.prompt_s
    if together:
        prefix = Prefix(drawn.prompt())
        with scheduler.paused():
            streams = [scheduler.submit(Request(prompt, plain(1)), prefix) for prompt in prompts]
        for stream in streams:
            stream.result()
    else:
        for prompt in prompts:
            scheduler.first_logits(prompt)
    return {"values": {"seconds": scheduler.spent.prompt_s - before_s}}


def first_word(language: str, threads: int, n_rows: int, *, saved: bool) -> Raw:
    """Seconds of the first prompt of a process, the weights warm; saved: an earlier one kept the constant start."""
    with tempfile.TemporaryDirectory() as folder:
        starts = SavedStarts(Path(folder), "benchmark") if saved else None
        options = CoreOptions(Capacity(n_ctx=padded(START_TOKENS + n_rows + QUESTION_TOKENS)), starts=starts)
        times_s = []
        for number in range(TRIES + 1):  # the first one reads the weights, and saves the start
            scheduler = Scheduler.load(Path(language), Device("cpu", threads), options)
            drawn = Drawn(scheduler, n_rows)
            # Another start, as long: what is measured must not be in the cache.
            scheduler.first_logits(Prompt((drawn.words(8, 1),)))
            prompt = drawn.prompt(drawn.words(QUESTION_TOKENS, 2 + number))
            times_s.append(_seconds(lambda: scheduler.first_logits(prompt)))  # noqa: B023 - called at once
            scheduler.close()
    return {"values": {"seconds": float(np.median(times_s[1:]))}, "samples_s": times_s[1:]}


def _seconds(call: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s
