"""The Python names that scripts rely on, on a whole tiny bundle and on the demonstration."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import xraygpt_edge
from benchmarks.pictures import draw_folder
from export.demo.texts import TOPICS, yes_no_question
from tests.tiny import N_EMBD, write_bundle
from xraygpt_edge import Answer, EncodedImage, Failure, LoadOptions, Sampling, XrayGPT
from xraygpt_edge.encoder import Encoder
from xraygpt_edge.errors import InputRefused, OutOfTime, UsageError
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.generation.llama import Span

QUESTIONS = (
    *("Describe the given chest x-ray image in detail.", "Is the heart enlarged?", "findings?"),
    *("Is there a pleural effusion?", "pleura?", "Is there a pneumothorax?"),
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XrayGPT]:
    with XrayGPT.load(write_bundle(tmp_path_factory.mktemp("bundles") / "tiny"), device="cpu") as model:
        yield model


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.png"
    pixels = np.linspace(0, 255, 200 * 300).reshape(200, 300).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def demonstration(demo: Path) -> Iterator[XrayGPT]:
    with XrayGPT.load(demo, "cpu", threads=1) as model:
        yield model


@pytest.fixture(scope="module")
def examples(root: Path) -> list[Path]:
    return sorted((root / "examples").glob("*.dcm"))


def test_every_public_name_can_be_imported() -> None:
    assert all(getattr(xraygpt_edge, name) for name in xraygpt_edge.__all__)


def test_embeddings_prompt_ids_and_logits_are_what_the_contract_says(tiny: XrayGPT, film: Path) -> None:
    rows = tiny.embed(film)
    before, after = tiny.prompt_ids("findings?", template="demo")
    first = tiny.first_logits(film, "findings?", template="demo")
    assert (rows.shape, rows.dtype) == ((2, N_EMBD), np.float32)
    assert before[0] == 1
    assert 1 not in after
    assert (first.shape, first.dtype) == ((tiny.parts.wait_for_language().model.n_vocab,), np.float32)


def test_an_encoder_that_was_released_is_there_again_when_the_next_image_comes(tiny: XrayGPT, film: Path) -> None:
    before, facts = tiny.embed(film), tiny.ask(film, "findings?", sampling=Sampling(max_tokens=3)).engine
    tiny.parts.release_encoder()
    assert tiny.parts.wait_for_language()
    tiny.parts.release_encoder()  # of none
    np.testing.assert_array_equal(tiny.embed(film), before)
    assert tiny.ask(film, "findings?", sampling=Sampling(max_tokens=3)).engine == facts


def test_with_little_memory_threads_that_encode_and_one_that_begins_the_language_model_wait_for_nobody_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, begun = Encoder.encode, threading.Event()
    monkeypatch.setattr(Encoder, "encode", lambda self, *a: (begun.set(), time.sleep(0.5), encode(self, *a))[-1])
    model = XrayGPT.begin(write_bundle(tmp_path / "tiny"), LoadOptions("cpu", memory="low"))
    size_px, pool = model.parts.plan.bundle.manifest.image.size_px, ThreadPoolExecutor(3)
    tensor = np.zeros((1, 3, size_px, size_px), np.float32)
    asked = [pool.submit(model.parts.encode, tensor)]
    begun.wait(60)
    for work in (lambda: model.parts.encode(tensor), model.parts.wait_for_language):
        asked.append(pool.submit(work))
        time.sleep(0.1)
    for each in asked:
        each.result(timeout=60)
    model.close()


def test_the_first_token_of_an_answer_is_the_likeliest_of_the_first_logits(tiny: XrayGPT, film: Path) -> None:
    answer = tiny.ask(film, "findings?", sampling=Sampling(max_tokens=3))
    assert answer.token_ids[0] == int(tiny.first_logits(film, "findings?").argmax())


def test_text_is_shown_as_it_is_generated_and_is_the_text_of_the_answer(tiny: XrayGPT, film: Path) -> None:
    shown: list[str] = []
    answer = tiny.ask(film, "findings?", sampling=Sampling(max_tokens=20), on_text=shown.append)
    assert len(shown) > 3
    assert "".join(shown).strip() == answer.text


def test_a_bundle_says_how_many_tokens_of_context_it_takes(tmp_path: Path, film: Path) -> None:
    with XrayGPT.load(write_bundle(tmp_path / "short", n_ctx=64), device="cpu") as model:
        assert model.ask(film, "findings?", sampling=Sampling(max_tokens=1)).token_ids
        with pytest.raises(UsageError, match="takes 64"):
            model.ask(film, "findings?", sampling=Sampling(max_tokens=64))


def test_a_bundle_of_schema_1_answers_as_that_of_schema_2(tiny: XrayGPT, tmp_path: Path, film: Path) -> None:
    root = write_bundle(tmp_path / "old")
    path = root / "manifest.json"
    facts = json.loads(path.read_text("utf-8"))
    facts |= {"schema": 1, "rows": facts.pop("n_image_tokens"), "width": facts.pop("n_embd")}
    del facts["architecture"]
    path.write_text(json.dumps(facts), "utf-8")
    sampling = Sampling(max_tokens=12)
    with XrayGPT.load(root, device="cpu") as old:
        found = old.ask(film, "findings?", sampling=sampling)
        wanted = tiny.ask(film, "findings?", sampling=sampling)
    assert (found.token_ids, found.text, found.bundle.kind) == (wanted.token_ids, wanted.text, wanted.bundle.kind)


def test_one_radiograph_never_colours_the_answer_about_the_next(tiny: XrayGPT, film: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(np.tile(np.arange(250, dtype=np.uint8), (250, 1))[:, ::-1].copy()).save(other)
    sampling = Sampling(max_tokens=12)
    first, between, again = (tiny.ask(path, "findings?", sampling=sampling).token_ids for path in (film, other, film))
    assert first == again
    with XrayGPT.load(tiny.parts.plan.bundle.root, device="cpu") as fresh:
        assert fresh.ask(other, "findings?", sampling=sampling).token_ids == between


def test_a_refused_file_leaves_the_model_usable(tiny: XrayGPT, film: Path, tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("not a radiograph")
    with pytest.raises(InputRefused):
        tiny.ask(tmp_path / "text.dcm", "findings?")
    assert tiny.ask(film, "findings?", sampling=Sampling(max_tokens=2)).token_ids


def test_no_time_at_all_is_an_error_and_little_time_cuts_the_answer(tiny: XrayGPT, film: Path) -> None:
    with pytest.raises(OutOfTime):
        tiny.ask(film, "findings?", sampling=Sampling(timeout_s=0.0))


def test_a_stream_gives_the_pieces_of_the_answer_as_they_come(tiny: XrayGPT, film: Path) -> None:
    sampling = Sampling(max_tokens=20)
    with tiny.stream(film, "findings?", sampling=sampling) as stream:
        pieces = list(stream)
        answer = stream.answer()
    assert answer.token_ids == tiny.ask(film, "findings?", sampling=sampling).token_ids
    assert tuple(piece.token_id for piece in pieces if piece.token_id is not None) == answer.token_ids
    assert "".join(piece.text for piece in pieces).strip() == answer.text


def test_a_stream_that_is_left_in_the_middle_is_cancelled(tiny: XrayGPT, film: Path) -> None:
    with tiny.stream(film, "findings?", sampling=Sampling(max_tokens=300)) as stream:
        next(stream)
    assert stream.answer().finish_reason in {"cancelled", "length"}
    with tiny.stream(film, "findings?", sampling=Sampling(max_tokens=300)) as stream:
        stream.cancel()
        assert stream.answer().finish_reason == "cancelled"


def test_an_image_is_encoded_once_for_many_questions(tiny: XrayGPT, film: Path, encoded: list[int]) -> None:
    image = tiny.encode(film)
    for question in ("a?", "b?", "c?"):
        by_image = tiny.ask(image, question, sampling=Sampling(max_tokens=4))
        np.testing.assert_array_equal(tiny.first_logits(image, question).argmax(), by_image.token_ids[0])
        assert len(encoded) == 1
    by_path = tiny.ask(film, "c?", sampling=Sampling(max_tokens=4))
    assert by_path.token_ids == by_image.token_ids
    assert by_path.input == by_image.input


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each image that is encoded from now on."""
    found, encode = list[int](), Encoder.encode
    monkeypatch.setattr(Encoder, "encode", lambda self, *a: (found.append(1), encode(self, *a))[1])
    return found


# Many questions


def test_many_questions_are_answered_in_their_order_and_as_each_alone(
    demonstration: XrayGPT, examples: list[Path]
) -> None:
    tasks = [(path, question) for path in examples for question in QUESTIONS[:2]]
    answers = list(demonstration.ask_all(tasks))
    assert [answer.question for answer in answers] == [question for _, question in tasks]
    assert [answer.text for answer in answers] == [demonstration.ask(*task).text for task in tasks]


def test_what_fails_is_a_value_in_its_place_and_the_next_goes_on(tiny: XrayGPT, film: Path, tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("not a radiograph")
    image, sampling = tiny.encode(film), Sampling(max_tokens=4)
    tasks = [
        (film, "a?"),
        (tmp_path / "text.dcm", "a?"),
        (image, "x" * 2000),
        (tmp_path / "none.png", "a?"),
        (film, "b?"),
    ]
    found = list(tiny.ask_all(tasks, sampling=sampling))
    assert [type(result) for result in found] == [Answer, Failure, Failure, Failure, Answer]
    assert found[2].error_id == "E-USE-008"
    assert found[4].token_ids == tiny.ask(film, "b?", sampling=sampling).token_ids
    late = list(tiny.ask_all([(image, "a?"), (image, "b?")], sampling=Sampling(timeout_s=0.0)))
    assert [result.error_id for result in late] == ["E-RUN-017", "E-RUN-017"]
    assert list(tiny.ask_all([])) == []


@pytest.mark.parametrize("count", [2, 3, 9])
def test_neighbours_about_one_image_encode_it_once_and_decode_it_once(
    tiny: XrayGPT, film: Path, encoded: list[int], decoded: list[Span], count: int
) -> None:
    before, _ = tiny.prompt_ids("")
    list(tiny.ask_all([(film, f"question {n}?") for n in range(count)], sampling=Sampling(max_tokens=4)))
    assert len(encoded) == 1
    image = [span for span in decoded if span.content.ndim == 2 and span.start + len(span.content) > len(before)]
    assert sum(span.start <= len(before) for span in image) == 1


def test_questions_are_taken_as_they_are_needed_and_an_unfinished_round_is_given_up(
    tiny: XrayGPT, film: Path, decoded: list[Span]
) -> None:
    image, taken = tiny.encode(film), list[int]()

    def endless() -> Iterator[tuple[EncodedImage, str]]:
        while True:
            taken.append(1)
            yield image, f"question {len(taken)}?"

    results = tiny.ask_all(endless(), sampling=Sampling(max_tokens=100))
    for _ in range(3):
        next(results)
    assert len(taken) <= 3 + tiny.parts.plan.capacity.most_slots
    results.close()
    tiny.prompt_ids("")
    decoded.clear()
    time.sleep(0.1)
    assert decoded == []


# Threads


def ask_in_threads(model: XrayGPT, paths: list[Path], questions: Sequence[str]) -> list[tuple[Path, str, Answer]]:
    """Each radiograph in a thread of its own, encoded there."""

    def ask(path: Path) -> list[tuple[Path, str, Answer]]:
        image = model.encode(path)
        return [(path, question, model.ask(image, question)) for question in questions]

    with ThreadPoolExecutor(len(paths)) as pool:
        return [said for each in pool.map(ask, paths) for said in each]


def test_eight_threads_get_the_answers_that_each_gets_alone(demo: Path, demonstration: XrayGPT, tmp_path: Path) -> None:
    films = draw_folder(tmp_path / "films", 8, 256)
    with XrayGPT.load(demo, "cpu", threads=1) as shared:
        found = ask_in_threads(shared, films, QUESTIONS)
        assert shared.parts.wait_for_language().n_slots > 1
    assert len(found) == 48
    images = {path: demonstration.encode(path) for path in films}
    different = [
        (path.name, question)
        for path, question, answer in found
        if answer.token_ids != demonstration.ask(images[path], question).token_ids
    ]
    assert different == []
    assert len({answer.text for _, _, answer in found}) > 8


@pytest.mark.slow
def test_400_questions_of_eight_threads_are_answered_as_each_alone_and_memory_does_not_grow(
    demonstration: XrayGPT, tmp_path: Path
) -> None:
    films = draw_folder(tmp_path / "films", 8, 256)
    random = np.random.default_rng(0)
    drawn = dict.fromkeys(yes_no_question(topic, random) for _ in range(20) for topic in TOPICS)
    questions = [*QUESTIONS[:3], *drawn][:50]
    process, used = psutil.Process(), list[int]()
    found = []
    for start in range(0, len(questions), 10):
        found += ask_in_threads(demonstration, films, questions[start : start + 10])
        used.append(process.memory_info().rss)
    assert len(found) == 400
    images = {path: demonstration.encode(path) for path in films}
    with XrayGPT.load(
        demonstration.parts.plan.bundle.root, LoadOptions("cpu", threads=1, capacity=Capacity(1))
    ) as alone:
        different = [
            (path.name, question)
            for path, question, answer in found
            if answer.token_ids != alone.ask(images[path], question).token_ids
        ]
    assert different == []
    assert used[-1] - used[0] < 10_000_000


def test_several_threads_encode_at_the_same_time_what_each_encodes_alone(
    demonstration: XrayGPT, examples: list[Path]
) -> None:
    alone = [demonstration.embed(path) for path in examples]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(demonstration.embed, examples))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
