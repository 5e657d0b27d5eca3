"""Turns about one radiograph: what was said stays computed, and changes no answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.near_ties import first_near_tie
from tests.tiny import write_bundle
from xraygpt_edge import Conversation, EncodedImage, LoadOptions, Sampling, XrayGPT
from xraygpt_edge.engine import Ask
from xraygpt_edge.errors import UsageError
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.generation.llama import Span
from xraygpt_edge.generation.prompt import Turn

QUESTIONS = (
    "Describe the given chest x-ray image in detail.",
    "Is the heart enlarged?",
    "findings?",
    "Is there a pleural effusion?",
)
SHORT = Sampling(max_tokens=60)
NOISE = 0.05
"""Of the demonstration's logits in another order of sums."""


@pytest.fixture(scope="module")
def model(demo: Path) -> Iterator[XrayGPT]:
    with XrayGPT.load(demo, "cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def films(model: XrayGPT, root: Path) -> list[EncodedImage]:
    return [model.encode(path) for path in sorted((root / "examples").glob("*.dcm"))]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XrayGPT]:
    with XrayGPT.load(write_bundle(tmp_path_factory.mktemp("bundles") / "tiny"), device="cpu") as model:
        yield model


@pytest.fixture(scope="module")
def grey(tiny: XrayGPT, tmp_path_factory: pytest.TempPathFactory) -> EncodedImage:
    path = tmp_path_factory.mktemp("films") / "film.png"
    Image.fromarray(np.linspace(0, 255, 200 * 300).reshape(200, 300).astype(np.uint8)).save(path)
    return tiny.encode(path)


def n_of_prompts(spans: list[Span]) -> int:
    """Count the positions of prompts, and forget them."""
    count = sum(len(span.content) for span in spans if span.content.ndim == 2)
    spans.clear()
    return count


def at_once(model: XrayGPT, image: EncodedImage, question: str, history: Sequence[Turn]) -> tuple[int, ...]:
    """The answer to a question with all its history, from nothing."""
    with model.begin_answer(image, Ask(question, tuple(history), SHORT)) as stream:
        return stream.answer().token_ids


def assert_same_but_for_near_ties(
    model: XrayGPT, image: EncodedImage, question: str, history: Sequence[Turn], answer: tuple[int, ...]
) -> None:
    expected = at_once(model, image, question, history)
    if answer != expected:
        prompt = model.prompt(image.embeddings, Ask(question, tuple(history)))
        sure = first_near_tie(model.parts.wait_for_language(), prompt, expected, NOISE)
        assert sure is not None
        assert answer[:sure] == expected[:sure]


def test_a_later_turn_decodes_its_new_tokens_alone(
    model: XrayGPT, films: list[EncodedImage], decoded: list[Span]
) -> None:
    talk, lengths, said = Conversation(model, films[0], SHORT), [0], 0
    for question in QUESTIONS:
        before, after = model.prompt_ids(question, history=talk.turns)
        lengths.append(len(before) + len(films[0].embeddings) + len(after))
        decoded.clear()
        answer = talk.ask(question)
        new = lengths[-1] - lengths[-2] - said
        # The last token of what was said may be another before what follows it.
        assert n_of_prompts(decoded) - new in ({0} if len(talk.turns) == 1 else {0, 1})
        said = len(answer.token_ids) - 1


def test_turns_are_answered_as_if_the_whole_history_was_asked_at_once(
    model: XrayGPT, films: list[EncodedImage]
) -> None:
    for film in films[:3]:
        talk = Conversation(model, film, SHORT)
        for question in QUESTIONS:
            history = list(talk.turns)
            answer = talk.ask(question)
            assert_same_but_for_near_ties(model, film, question, history, answer.token_ids)
    assert talk.turns[0].question == QUESTIONS[0]
    assert [turn.question for turn in talk.turns] == list(QUESTIONS)


def test_the_oldest_turns_leave_and_start_and_image_are_never_decoded_again(
    tiny: XrayGPT, grey: EncodedImage, decoded: list[Span]
) -> None:
    talk = Conversation(tiny, grey, Sampling(max_tokens=20))
    before, _ = tiny.prompt_ids("")
    border = len(before) + len(grey.embeddings)
    talk.ask("question 0 " + "x" * 60)
    assert min(span.start for span in decoded) == 0
    decoded.clear()
    for number in range(1, 8):
        talk.ask(f"question {number} " + "x" * 60)
    assert talk.forgotten > 0
    assert len(talk.turns) + talk.forgotten == 8
    assert min(span.start for span in decoded) >= border


def test_a_question_that_alone_is_too_long_is_refused_and_the_conversation_goes_on(
    tiny: XrayGPT, grey: EncodedImage
) -> None:
    talk = Conversation(tiny, grey, Sampling(max_tokens=20))
    first = talk.ask("findings?")
    with pytest.raises(UsageError):
        talk.ask("x" * 2000)
    assert talk.turns == []
    assert talk.ask("findings?").token_ids == first.token_ids


def test_a_turn_that_was_broken_off_is_not_remembered(model: XrayGPT, films: list[EncodedImage]) -> None:
    def break_off(_: str) -> None:
        raise KeyboardInterrupt

    talk, other = (Conversation(model, films[1], SHORT) for _ in range(2))
    first = talk.ask(QUESTIONS[0])
    with pytest.raises(KeyboardInterrupt):
        talk.ask(QUESTIONS[2], break_off)
    assert len(talk.turns) == 1
    assert first.token_ids == other.ask(QUESTIONS[0]).token_ids
    assert talk.ask(QUESTIONS[1]).token_ids == other.ask(QUESTIONS[1]).token_ids


def test_two_conversations_over_one_slot_displace_each_other_and_stay_right(
    demo: Path, model: XrayGPT, films: list[EncodedImage], decoded: list[Span]
) -> None:
    with XrayGPT.load(demo, LoadOptions("cpu", threads=1, capacity=Capacity(1))) as narrow:
        talks = [Conversation(narrow, film, SHORT) for film in films[:2]]
        for question in QUESTIONS:
            for talk in talks:
                history = list(talk.turns)
                answer = talk.ask(question)
                assert_same_but_for_near_ties(model, talk.image, question, history, answer.token_ids)
        assert narrow.parts.wait_for_language().n_slots == 1
    assert sum(span.start == 0 for span in decoded) > 2 * len(QUESTIONS)


def test_conversations_and_questions_of_several_threads_are_answered_as_each_alone(
    demo: Path, model: XrayGPT, films: list[EncodedImage]
) -> None:
    def converse(shared: XrayGPT, film: EncodedImage) -> list[tuple[str, list[Turn], tuple[int, ...]]]:
        talk, said = Conversation(shared, film, SHORT), []
        for question in QUESTIONS[:3]:
            history = list(talk.turns)
            said.append((question, history, talk.ask(question).token_ids))
            shared.ask(film, "pleura?", sampling=SHORT)
        return said

    with XrayGPT.load(demo, "cpu", threads=1) as shared, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda film: converse(shared, film), films[:4]))
    for film, said in zip(films, found, strict=False):
        for question, history, answer in said:
            assert_same_but_for_near_ties(model, film, question, history, answer)


def test_what_a_conversation_computed_is_given_up_with_it(model: XrayGPT, films: list[EncodedImage]) -> None:
    talk = Conversation(model, films[2], SHORT)
    talk.ask(QUESTIONS[0])
    talk.ask(QUESTIONS[1])
    core = model.parts.wait_for_language()._loading.result()
    held = len(core.pins.all())
    del talk
    assert len(core.pins.all()) == held - 1


def test_the_demonstration_answers_a_follow_up(model: XrayGPT, films: list[EncodedImage]) -> None:
    talk = Conversation(model, films[0], SHORT)
    first, second = talk.ask(QUESTIONS[0]), talk.ask(QUESTIONS[1])
    assert first.bundle.demo
    assert second.text.lower().startswith(("yes", "no"))
    assert second.finish_reason == "stop"
