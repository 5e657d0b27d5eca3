"""Our sides of `draft`, each in a process of its own."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ours import drawn_ids, drawn_rows
from benchmarks.pairs import Raw
from benchmarks.pictures import draw_folder
from benchmarks.start import QUESTION
from export.prompts import PHRASES
from xraygpt_edge.decoder import Decoder, PromptIds
from xraygpt_edge.devices import Device
from xraygpt_edge.engine import XrayGPT
from xraygpt_edge.generation.drafter import KEY, MOST, Drafter, Phrases, Price
from xraygpt_edge.generation.llama import Span

REPORTS = Path(__file__).with_name("reports.txt").read_text("utf-8").splitlines()
"""Of a real length, in our own words."""
PHANTOMS = 20
NONSENSE_TOKENS = 120


def replayed(language: str, demo: str, n_rows: int, threads: int, what: str, *, draft: bool) -> Raw:
    """Tokens a second along given answers; demo: the bundle that splits or says them.

    What the model itself would say does not matter: a guess is right when it is what was given.
    """
    decoder = Decoder.load(Path(language), Device("cpu", threads))
    given, stock = _nonsense(decoder.n_vocab) if what == "nonsense" else _spoken(demo, what)
    ids, rows = drawn_ids(decoder, 0), drawn_rows(n_rows, decoder.n_embd, 0)
    _replay(decoder, ids, rows, given[0][:8], None)  # warm
    decodes, took_s, price = 0, 0.0, Price()
    for answer in given:
        drafter = Drafter(price, Phrases(stock), Phrases([ids.after])) if draft else None
        one_decodes, one_s = _replay(decoder, ids, rows, answer, drafter)
        decodes, took_s = decodes + one_decodes, took_s + one_s
    tokens = sum(len(answer) - 1 for answer in given)
    return {
        "values": {"tokens_per_s": tokens / took_s},
        "tokens": tokens,
        "decodes": decodes,
        "price": price.of_a_guess,
    }


def _replay(
    decoder: Decoder, ids: PromptIds, rows: NDArray[np.float32], answer: Sequence[int], drafter: Drafter | None
) -> tuple[int, float]:
    """Decodes and seconds behind the first token.

    As `Decoder.generate` spends them, but for the second look at near ties, which random weights have all the time.
    """
    context = decoder.fitting_context(ids, rows, len(answer))
    context.decode([Span(decoder.prompt_rows(ids, rows), 0, wants_logits=True)])
    start, at, decodes = len(ids) + len(rows), 0, 0
    began_s = time.perf_counter()
    if drafter:
        drafter.push(answer[0])
    while at < len(answer) - 1:
        guesses = drafter.guess(len(answer) - 2 - at) if drafter else []
        tried = np.array([answer[at], *guesses], np.int32)
        decode_began_s = time.perf_counter()
        context.decode([Span(tried[i : i + 1], start + at + i, wants_logits=True) for i in range(len(tried))])
        right = next((i for i, guess in enumerate(guesses) if guess != answer[at + 1 + i]), len(guesses))
        for index in range(right + 1):
            context.logits(index).argmax()
        if drafter:
            drafter.price.learn(len(guesses), time.perf_counter() - decode_began_s)
            context.forget_from(start + at + right + 1)
            drafter.learn(len(guesses), right)
            for token in answer[at + 1 : at + right + 2]:
                drafter.push(token)
        at, decodes = at + right + 1, decodes + 1
    return decodes, time.perf_counter() - began_s


def _spoken(demo: str, what: str) -> tuple[list[list[int]], list[list[int]]]:
    """Answers and stock phrases, as token ids of the demonstration."""
    with XrayGPT.load(demo, "cpu", 1) as model:
        tokenize, phrases = model.parts.decoder.model.tokenize, model.parts.bundle.manifest.prompt.phrases
        if what == "reports":
            return [tokenize(report) for report in REPORTS], [tokenize(phrase) for phrase in PHRASES]
        with tempfile.TemporaryDirectory() as scratch:
            films = draw_folder(Path(scratch) / "films", PHANTOMS, 384)
            answers = [list(model.ask(film, QUESTION).token_ids) for film in films]
        return answers, [tokenize(phrase) for phrase in phrases]


def _nonsense(n_vocab: int) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens of no order, and for any `KEY` that follow each other a phrase that goes on wrongly."""
    answer = np.random.default_rng(0).integers(3, n_vocab, NONSENSE_TOKENS).tolist()
    wrong = [(token + 1) % n_vocab for token in answer]
    stock = [[*answer[at : at + KEY], *wrong[at + KEY : at + KEY + MOST]] for at in range(len(answer) - KEY)]
    return [answer], stock
