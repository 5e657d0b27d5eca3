"""Drafts: the same answer in fewer decodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.pictures import draw_folder
from xraygpt_edge import Sampling, XrayGPT
from xraygpt_edge.engine import Ask
from xraygpt_edge.generation.context_tokens import tokenise
from xraygpt_edge.generation.drafter import BACK_OFF, DRAFT_MAX, N_GRAM, TRIES, Drafter, DraftPrice, NGrams
from xraygpt_edge.generation.llama import LlamaContext, Span
from xraygpt_edge.generation.packing import N_BATCH
from xraygpt_edge.generation.sampler import NEAR_TIE

QUESTIONS = ("Describe the given chest x-ray image in detail.", "Is the heart enlarged?", "findings?", "pleura?")


@pytest.fixture(scope="module")
def model(demo: Path) -> Iterator[XrayGPT]:
    with XrayGPT.load(demo, "cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture(autouse=True)
def drafts_pay_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the small demonstration too, and whatever this machine's clock says."""
    monkeypatch.setattr("xraygpt_edge.generation.drafter.PAYS_BELOW", np.inf)
    monkeypatch.setattr("xraygpt_edge.generation.core.LARGE_BYTES", 0)


def test_what_followed_four_tokens_is_drafted_up_to_the_end_of_its_text() -> None:
    n_grams = NGrams([[1, 2, 3, 4, 5, 6], [8, 1, 2, 3, 4, 7]])
    assert n_grams.after((1, 2, 3, 4), 9) == [7]
    assert n_grams.after((2, 3, 4, 5), 9) == [6]
    assert n_grams.after((3, 4, 5, 6), 9) == []
    assert n_grams.after((6, 8, 1, 2), 9) == []


def drafter_after(*tokens: int, stock: NGrams | None = None, price: DraftPrice | None = None) -> Drafter:
    drafter = Drafter(price or DraftPrice(), stock or NGrams(), NGrams([[0]]))
    for token in tokens:
        drafter.push(token)
    return drafter


def test_an_answer_that_begins_to_repeat_itself_is_drafted_from_itself_further_each_time() -> None:
    drafter = drafter_after(*range(1, 20), 1, 2, 3, 4, stock=NGrams([[1, 2, 3, 4, 99]]))
    assert drafter.draft(100) == [5]
    drafter.learn(1, 1)
    assert drafter.draft(100) == [5, 6]
    drafter.learn(2, 2)
    drafter.learn(4, 4)
    assert drafter.draft(100) == [5, 6, 7, 8, 9, 10][:DRAFT_MAX]
    assert drafter.draft(2) == [5, 6]
    drafter.learn(DRAFT_MAX, 3)
    assert drafter.draft(100) == [5, 6, 7]


def test_wrong_drafts_end_the_drafting_and_it_is_tried_again_less_and_less_often() -> None:
    drafter = drafter_after(*range(N_GRAM), stock=NGrams([range(20)]))
    while drafted := drafter.draft(100):
        drafter.learn(len(drafted), 0)
    tried = []
    for decode in range(2, 200):
        if drafted := drafter.draft(100):
            drafter.learn(len(drafted), 0)
            tried.append(decode)
    assert tried == [BACK_OFF, 3 * BACK_OFF, 7 * BACK_OFF]


@pytest.mark.parametrize("question", QUESTIONS)
def test_answers_are_the_same_with_and_without_drafts(model: XrayGPT, root: Path, question: str) -> None:
    for path in sorted((root / "examples").glob("*.dcm")):
        image = model.encode(path)
        with_drafts, without = (
            model.ask(image, question, sampling=Sampling(max_tokens=120, draft=draft)) for draft in (True, False)
        )
        assert with_drafts.token_ids == without.token_ids
        assert with_drafts.finish_reason == without.finish_reason


@pytest.mark.parametrize(("draft_costs", "drafts"), [(0.05, [N_GRAM]), (0.3, [N_GRAM]), (0.6, []), (1.5, [])])
def test_where_a_draft_costs_nearly_a_decode_none_is_made_after_three(
    monkeypatch: pytest.MonkeyPatch, draft_costs: float, drafts: list[int]
) -> None:
    monkeypatch.undo()
    price, stock = DraftPrice(), NGrams([range(20)])
    price.learn(0, 0.2)
    for _ in range(TRIES):
        assert drafter_after(*range(N_GRAM), stock=stock, price=price).draft(100) == [N_GRAM]
        price.learn(2, 0.2 * (1 + 2 * draft_costs))
    assert drafter_after(*range(N_GRAM), stock=stock, price=price).draft(100) == drafts


def test_one_interrupted_decode_does_not_end_the_drafting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    price = DraftPrice()
    for drafted, took_s in ((0, 9.0), (0, 0.2), (1, 9.0), (1, 0.22), (0, 0.25), (3, 0.24), (3, 9.0)):
        price.learn(drafted, took_s)
    assert price.per_token == pytest.approx(0.1)


def test_a_small_model_is_asked_without_drafts_and_says_so(
    model: XrayGPT, phantom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.ask(model.encode(phantom), QUESTIONS[0]).engine.draft
    monkeypatch.undo()
    assert not model.ask(model.encode(phantom), QUESTIONS[0]).engine.draft


def test_repacked_weights_which_compute_a_draft_otherwise_are_asked_without(demo: Path, phantom: Path) -> None:
    with XrayGPT.load(demo, "cpu", threads=1, memory="fast") as repacked:
        assert not repacked.ask(phantom, QUESTIONS[0]).engine.draft


def test_logits_behind_drafts_are_near_those_of_one_token_at_a_time(model: XrayGPT, phantom: Path) -> None:
    image, scheduler = model.encode(phantom), model.parts.wait_for_language()
    answer = model.ask(image, QUESTIONS[0]).token_ids[: 1 + DRAFT_MAX]
    prompt = model.prompt(image.embeddings, Ask(QUESTIONS[0]))
    alone = scheduler.logits_along(prompt, answer)[1:]

    def together() -> NDArray[np.float32]:
        tokens = tokenise(scheduler.model, prompt)
        context = LlamaContext(scheduler.model, 256, N_BATCH, threads=1)
        context.decode([Span(tokens.embeddings(scheduler.table, 0, len(tokens)), 0)])
        (logits,) = context.decode([Span(np.array(answer, np.int32), len(tokens), n_logits=len(answer))])
        context.close()
        return logits

    assert np.abs(scheduler._thread.call(together) - alone).max() < NEAR_TIE / 2


def test_stock_phrases_save_decodes(model: XrayGPT, phantom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, decodes, decode = model.encode(phantom), [], LlamaContext.decode
    monkeypatch.setattr(LlamaContext, "decode", lambda self, spans: (decodes.append(1), decode(self, spans))[1])
    tokens = len(model.ask(image, QUESTIONS[0], sampling=Sampling(draft=False)).token_ids)
    without = len(decodes)
    model.ask(image, QUESTIONS[0])
    assert without >= tokens
    assert len(decodes) - without < without


def test_max_tokens_end_an_answer_in_the_middle_of_a_right_draft(model: XrayGPT, phantom: Path) -> None:
    image = model.encode(phantom)
    whole = model.ask(image, QUESTIONS[0]).token_ids
    for most in range(1, len(whole)):
        answer = model.ask(image, QUESTIONS[0], sampling=Sampling(max_tokens=most))
        assert (answer.token_ids, answer.finish_reason) == (whole[:most], "length")


def test_a_near_tie_is_decided_as_without_drafts(
    model: XrayGPT, phantom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = model.encode(phantom)
    expected = model.ask(image, QUESTIONS[0], sampling=Sampling(draft=False)).token_ids
    monkeypatch.setattr("xraygpt_edge.generation.sampler.NEAR_TIE", np.inf)
    assert model.ask(image, QUESTIONS[0]).token_ids == expected


@pytest.mark.slow
def test_300_answers_about_phantoms_are_the_same_with_and_without_drafts(model: XrayGPT, tmp_path: Path) -> None:
    different = []
    for number, path in enumerate(draw_folder(tmp_path / "films", 300, 384)):
        image = model.encode(path)
        ahead, alone = (
            model.ask(image, QUESTIONS[0], sampling=Sampling(max_tokens=120, draft=draft)).token_ids
            for draft in (True, False)
        )
        different += [number] if ahead != alone else []
    assert different == []
