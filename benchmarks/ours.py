"""Our own sides. Each function runs in a process of its own, so all it takes and returns fits JSON."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.pairs import Raw
from benchmarks.task import WORDS_AFTER, WORDS_BEFORE
from xraygpt_edge.devices import Device
from xraygpt_edge.encoder import Encoder
from xraygpt_edge.engine import XrayGPT
from xraygpt_edge.generation import cpu_backend
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.llama_library import libraries
from xraygpt_edge.generation.packing import padded
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.scheduler import Scheduler

FIRST_PLAIN_TOKEN = 3
"""Behind LLaMA's unknown, beginning and end."""
WARM_UP_TOKENS = 4
TRIES = 5
"""Prompts that are tried for an answer which does not end early."""


def prompt(language: str, threads: int, n_rows: int, repetitions: int, *, repack: bool) -> Raw:
    """Tokens a second from the prompt to the first logits, nothing remembered from the prompt before."""
    scheduler = Scheduler.load(Path(language), Device("cpu", threads), repack=repack)
    image, times_s = drawn_image(n_rows, scheduler.model.n_embd, 0), []
    for number in range(repetitions + 1):  # the first one warms up
        drawn = drawn_prompt(scheduler, image, number)
        began_s = time.perf_counter()
        scheduler.first_logits(drawn)
        times_s.append(time.perf_counter() - began_s)
    samples = [(WORDS_BEFORE + n_rows + WORDS_AFTER) / taken_s for taken_s in times_s[1:]]
    return {"values": {"tokens_per_s": median(samples)}, "samples_tokens_per_s": samples}


def decode(language: str, threads: int, n_rows: int, tokens: int, *, repack: bool) -> Raw:
    """Tokens a second after the first token of an answer, greedy, as `ask` takes them."""
    scheduler = Scheduler.load(Path(language), Device("cpu", threads), repack=repack)
    image = drawn_image(n_rows, scheduler.model.n_embd, 0)
    longest: list[float] = []
    for number in range(TRIES):
        drawn = drawn_prompt(scheduler, image, number)
        scheduler.submit(Request(drawn, plain(WARM_UP_TOKENS))).result()
        at_s = [time.perf_counter() for _ in scheduler.submit(Request(drawn, plain(tokens + 1)))]
        longest = max(longest, at_s, key=len)
        if len(longest) == tokens + 1:
            break
    steps = len(longest) - 1  # the first token comes with the prompt
    rate = steps / (longest[-1] - longest[0]) if steps else None
    code = cpu_backend.chosen(libraries())
    return {"values": {"tokens_per_s": rate}, "tokens": steps, "ended_early": steps < tokens, "code": code}


def many(language: str, threads: int, n_rows: int, sequences: list[int], tokens: int) -> Raw:
    """Decode and prompt speed of several sequences in one context; a model's end of answer is not obeyed here."""
    values: dict[str, float] = {}
    for count in sequences:
        capacity = Capacity(count, count, padded(WORDS_BEFORE + n_rows + WORDS_AFTER + tokens))
        scheduler = Scheduler.load(Path(language), Device("cpu", threads), CoreOptions(capacity))
        image = drawn_image(n_rows, scheduler.model.n_embd, 0)
        scheduler.replay([drawn_prompt(scheduler, image, 0)], [drawn_answer(scheduler, WARM_UP_TOKENS)])
        prompt_s, decode_s = scheduler.spent.prompt_s, scheduler.spent.decode_s
        images = [drawn_image(n_rows, scheduler.model.n_embd, name) for name in range(count)]
        prompts = [drawn_prompt(scheduler, image, 0) for image in images]
        scheduler.replay(prompts, [drawn_answer(scheduler, tokens)] * count)
        computed = n_rows + WORDS_AFTER + (WORDS_BEFORE if count == 1 else 0)
        values[f"decode_{count}"] = count * tokens / (scheduler.spent.decode_s - decode_s)
        values[f"prompt_{count}"] = count * computed / (scheduler.spent.prompt_s - prompt_s)
        scheduler.close()
    return {"values": values, "tg": tokens}


def vision(path: str, size_px: int, threads: int, repetitions: int) -> Raw:
    """Seconds for one image."""
    encoder = Encoder.load(Path(path), size_px, Device("cpu", threads))
    tensor = np.random.default_rng(0).standard_normal((1, 3, size_px, size_px), np.float32)
    times_s = []
    for _ in range(repetitions + 1):
        began_s = time.perf_counter()
        encoder.encode(tensor)
        times_s.append(time.perf_counter() - began_s)
    return {"values": {"seconds": median(times_s[1:])}, "samples_s": times_s[1:]}


def ask_all(bundle: str, files: list[str], images: int, question: str, tokens: int, threads: int) -> Raw:
    """Seconds a radiograph, one `ask` after another; loading counts once for a folder of so many images."""
    began_s = time.perf_counter()
    answers = []
    with XrayGPT.load(bundle, "cpu", threads) as model:
        load_s = time.perf_counter() - began_s
        answers = [model.ask(file, question, sampling=plain(tokens)) for file in files]
    asked_s = time.perf_counter() - began_s - load_s
    facts: dict[str, Any] = {
        "load_s": load_s,
        "each_s": [answer.timing.total_s for answer in answers],
        "tokens": [answer.timing.tokens for answer in answers],
        "ended_early": sum(answer.finish_reason != "length" for answer in answers),
        "memory": answers[0].engine.memory,
        "vision": answers[0].bundle.vision,
        "language": answers[0].bundle.language,
    }
    return {"values": {"seconds_per_radiograph": asked_s / len(files) + load_s / images}, **facts}


def prompt_lengths(bundle: str, question: str) -> list[int]:
    """Tokens before and behind the image, for the peer's prompt."""
    with XrayGPT.load(bundle, "cpu", memory="low") as model:
        return [len(ids) for ids in model.prompt_ids(question)]


def plain(max_tokens: int) -> Sampling:
    """Greedy, and no drafts: a random model repeats itself, and they would be accepted too often."""
    return Sampling(max_tokens=max_tokens, draft=False)


def drawn_image(n_rows: int, n_embd: int, seed: int) -> NDArray[np.float32]:
    """Image embeddings that no image has: (n_rows, n_embd), of the size that embeddings have."""
    return np.random.default_rng(seed).standard_normal((n_rows, n_embd), np.float32) * np.float32(0.02)


def drawn_prompt(scheduler: Scheduler, image: NDArray[np.float32], seed: int) -> Prompt:
    """Words that nobody said around an image, in a prompt of the training prompt's length."""
    random = np.random.default_rng(1000 + seed)
    drawn = random.integers(FIRST_PLAIN_TOKEN, scheduler.model.n_vocab, WORDS_BEFORE - 1 + WORDS_AFTER).tolist()
    return Prompt(((scheduler.model.bos, *drawn[: WORDS_BEFORE - 1]), image, tuple(drawn[WORDS_BEFORE - 1 :])))


def drawn_answer(scheduler: Scheduler, tokens: int) -> list[int]:
    """Words of no order."""
    return np.random.default_rng(0).integers(FIRST_PLAIN_TOKEN, scheduler.model.n_vocab, tokens).tolist()
