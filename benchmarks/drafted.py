"""Our sides of `draft`, each in a process of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.ours import drawn_image, drawn_prompt
from benchmarks.pairs import Raw
from benchmarks.pictures import draw_folder
from benchmarks.start import QUESTION
from export.prompts import PHRASES
from xraygpt_edge.devices import Device
from xraygpt_edge.engine import XrayGPT
from xraygpt_edge.generation.drafter import DRAFT_MAX, N_GRAM
from xraygpt_edge.generation.scheduler import Scheduler

REPORTS = Path(__file__).with_name("reports.txt").read_text("utf-8").splitlines()
"""Of a real length, in our own words."""
PHANTOMS = 20
NONSENSE_TOKENS = 120


def replayed(language: str, demo: str, n_rows: int, threads: int, what: str, *, draft: bool) -> Raw:
    """Tokens a second along given answers; demo: the bundle that splits or says them.

    What the model itself would say does not matter: a draft is right when it is what was given. So there is no second
    look at near ties, which random weights have all the time.
    """
    given, stock = _spoken(demo, what) if what != "nonsense" else ([], [])
    scheduler = Scheduler.load(Path(language), Device("cpu", threads))
    if what == "nonsense":
        given, stock = _nonsense(scheduler.model.n_vocab)
    scheduler.draft_from(stock)
    prompt = drawn_prompt(scheduler, drawn_image(n_rows, scheduler.model.n_embd, 0), 0)
    scheduler.replay([prompt], [given[0][:8]])  # warm
    decodes, decode_s = scheduler.spent.decodes, scheduler.spent.decode_s
    for answer in given:
        scheduler.replay([prompt], [answer], draft=draft)
    return {
        "values": {"tokens_per_s": sum(map(len, given)) / (scheduler.spent.decode_s - decode_s)},
        "tokens": sum(map(len, given)),
        "decodes": scheduler.spent.decodes - decodes,
        "price": scheduler.draft_price,
    }


def _spoken(demo: str, what: str) -> tuple[list[list[int]], list[list[int]]]:
    """Answers and stock phrases, as token ids of the demonstration."""
    with XrayGPT.load(demo, "cpu", 1) as model:
        scheduler, phrases = model.parts.wait_for_language(), model.parts.plan.bundle.manifest.prompt.phrases
        if what == "reports":
            return [_ids(scheduler, report) for report in REPORTS], [_ids(scheduler, phrase) for phrase in PHRASES]
        with tempfile.TemporaryDirectory() as scratch:
            films = draw_folder(Path(scratch) / "films", PHANTOMS, 384)
            answers = [list(model.ask(film, QUESTION).token_ids) for film in films]
        return answers, [_ids(scheduler, phrase) for phrase in phrases]


def _ids(scheduler: Scheduler, text: str) -> list[int]:
    """Token ids without beginning-of-sequence."""
    (ids,) = scheduler.token_ids(text)
    return ids[1:]


def _nonsense(n_vocab: int) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens of no order, and for any `N_GRAM` that follow each other a phrase that goes on wrongly."""
    answer = np.random.default_rng(0).integers(3, n_vocab, NONSENSE_TOKENS).tolist()
    wrong = [(token + 1) % n_vocab for token in answer]
    stock = [
        [*answer[at : at + N_GRAM], *wrong[at + N_GRAM : at + N_GRAM + DRAFT_MAX]] for at in range(len(answer) - N_GRAM)
    ]
    return [answer], stock
