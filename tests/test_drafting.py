"""Words guessed ahead: the same answer in fewer decodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pictures import draw_folder
from xraygpt_edge import Sampling, XrayGPT
from xraygpt_edge.decoder import DOUBT
from xraygpt_edge.generation.drafter import KEY, MOST, PATIENCE, TRIES, Drafter, Phrases, Price
from xraygpt_edge.generation.llama import LlamaContext, Span

QUESTIONS = ("Describe the given chest x-ray image in detail.", "Is the heart enlarged?", "findings?", "pleura?")


@pytest.fixture(scope="module")
def model(demo: Path) -> Iterator[XrayGPT]:
    with XrayGPT.load(demo, "cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture(autouse=True)
def guesses_pay_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the small demonstration too, and whatever this machine's clock says."""
    monkeypatch.setattr("xraygpt_edge.generation.drafter.PAYS_BELOW", np.inf)
    monkeypatch.setattr("xraygpt_edge.decoder.GUESSED_FROM_BYTES", 0)


def test_what_followed_four_tokens_is_guessed_up_to_the_end_of_its_text() -> None:
    phrases = Phrases([[1, 2, 3, 4, 5, 6], [8, 1, 2, 3, 4, 7]])
    assert phrases.after((1, 2, 3, 4), 9) == [7]
    assert phrases.after((2, 3, 4, 5), 9) == [6]
    assert phrases.after((3, 4, 5, 6), 9) == []
    assert phrases.after((6, 8, 1, 2), 9) == []


def drafter_after(*tokens: int, stock: Phrases | None = None, price: Price | None = None) -> Drafter:
    drafter = Drafter(price or Price(), stock or Phrases(), Phrases([[0]]))
    for token in tokens:
        drafter.push(token)
    return drafter


def test_an_answer_that_begins_to_repeat_itself_is_guessed_from_itself_further_each_time() -> None:
    drafter = drafter_after(*range(1, 20), 1, 2, 3, 4, stock=Phrases([[1, 2, 3, 4, 99]]))
    assert drafter.guess(100) == [5]
    drafter.learn(1, 1)
    assert drafter.guess(100) == [5, 6]
    drafter.learn(2, 2)
    drafter.learn(4, 4)
    assert drafter.guess(100) == [5, 6, 7, 8, 9, 10][:MOST]
    assert drafter.guess(2) == [5, 6]
    drafter.learn(MOST, 3)
    assert drafter.guess(100) == [5, 6, 7]


def test_wrong_guesses_end_the_guessing_and_it_is_tried_again_less_and_less_often() -> None:
    drafter = drafter_after(*range(KEY), stock=Phrases([range(20)]))
    while guessed := drafter.guess(100):
        drafter.learn(len(guessed), 0)
    tried = []
    for decode in range(2, 200):
        if guessed := drafter.guess(100):
            drafter.learn(len(guessed), 0)
            tried.append(decode)
    assert tried == [PATIENCE, 3 * PATIENCE, 7 * PATIENCE]


@pytest.mark.parametrize("question", QUESTIONS)
def test_answers_are_the_same_with_and_without_guesses(model: XrayGPT, root: Path, question: str) -> None:
    for path in sorted((root / "examples").glob("*.dcm")):
        seen = model.look(path)
        with_guesses, without = (
            model.answer(seen, question, sampling=Sampling(max_tokens=120, draft=draft)) for draft in (True, False)
        )
        assert with_guesses.token_ids == without.token_ids
        assert with_guesses.finish_reason == without.finish_reason


@pytest.mark.parametrize(("guess_costs", "guesses"), [(0.05, [KEY]), (0.3, [KEY]), (0.6, []), (1.5, [])])
def test_where_a_guess_costs_nearly_a_decode_none_is_made_after_three(
    monkeypatch: pytest.MonkeyPatch, guess_costs: float, guesses: list[int]
) -> None:
    monkeypatch.undo()
    price, stock = Price(), Phrases([range(20)])
    price.learn(0, 0.2)
    for _ in range(TRIES):
        assert drafter_after(*range(KEY), stock=stock, price=price).guess(100) == [KEY]
        price.learn(2, 0.2 * (1 + 2 * guess_costs))
    assert drafter_after(*range(KEY), stock=stock, price=price).guess(100) == guesses


def test_one_interrupted_decode_does_not_end_the_guessing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    price = Price()
    for guessed, took_s in ((0, 9.0), (0, 0.2), (1, 9.0), (1, 0.22), (0, 0.25), (3, 0.24), (3, 9.0)):
        price.learn(guessed, took_s)
    assert price.of_a_guess == pytest.approx(0.1)


def test_a_small_model_is_asked_without_guesses_and_says_so(
    model: XrayGPT, phantom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.answer(model.look(phantom), QUESTIONS[0]).engine.draft
    monkeypatch.undo()
    assert not model.answer(model.look(phantom), QUESTIONS[0]).engine.draft


def test_repacked_weights_which_compute_a_guess_otherwise_are_asked_without(demo: Path, phantom: Path) -> None:
    with XrayGPT.load(demo, "cpu", threads=1, memory="fast") as repacked:
        assert not repacked.ask(phantom, QUESTIONS[0]).engine.draft


def test_logits_behind_guesses_are_near_those_of_one_token_at_a_time(model: XrayGPT, phantom: Path) -> None:
    decoder, rows, ids = model.parts.decoder, model.look(phantom).rows, model.ids(QUESTIONS[0])
    answer = list(model.answer(model.look(phantom), QUESTIONS[0]).token_ids)[: 1 + MOST]
    alone = decoder.logits_along(ids, rows, answer)[1:]
    context = decoder.fitting_context(ids, rows, len(answer))
    prompt = decoder.prompt_rows(ids, rows)
    context.decode([Span(prompt, 0)])
    guessed = [Span(np.array([token], np.int32), len(prompt) + at, 0, True) for at, token in enumerate(answer)]
    context.decode(guessed)
    together = np.stack([context.logits(at) for at in range(len(answer))])
    assert np.abs(together - alone).max() < DOUBT / 2


def test_stock_phrases_save_decodes(model: XrayGPT, phantom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, decodes, decode = model.look(phantom), [], LlamaContext.decode
    monkeypatch.setattr(LlamaContext, "decode", lambda self, spans: (decodes.append(1), decode(self, spans))[1])
    tokens = len(model.answer(seen, QUESTIONS[0], sampling=Sampling(draft=False)).token_ids)
    without = len(decodes)
    model.answer(seen, QUESTIONS[0])
    assert without >= tokens
    assert len(decodes) - without < without


def test_max_tokens_end_an_answer_in_the_middle_of_a_right_guess(model: XrayGPT, phantom: Path) -> None:
    seen = model.look(phantom)
    whole = model.answer(seen, QUESTIONS[0]).token_ids
    for most in range(1, len(whole)):
        answer = model.answer(seen, QUESTIONS[0], sampling=Sampling(max_tokens=most))
        assert (answer.token_ids, answer.finish_reason) == (whole[:most], "length")


def test_a_near_tie_is_decided_as_without_guesses(
    model: XrayGPT, phantom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = model.look(phantom)
    expected = model.answer(seen, QUESTIONS[0], sampling=Sampling(draft=False)).token_ids
    monkeypatch.setattr("xraygpt_edge.decoder.DOUBT", np.inf)
    assert model.answer(seen, QUESTIONS[0]).token_ids == expected


@pytest.mark.slow
def test_300_answers_about_phantoms_are_the_same_with_and_without_guesses(model: XrayGPT, tmp_path: Path) -> None:
    different = []
    for number, path in enumerate(draw_folder(tmp_path / "films", 300, 384)):
        seen = model.look(path)
        ahead, alone = (
            model.answer(seen, QUESTIONS[0], sampling=Sampling(max_tokens=120, draft=draft)).token_ids
            for draft in (True, False)
        )
        different += [number] if ahead != alone else []
    assert different == []
