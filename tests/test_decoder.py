"""What stands between a request and llama.cpp, which checks little and aborts on the rest."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import N_EMBD, TOKENS, write_language
from xraygpt_edge.decoder import Decoder, PromptIds, chooser
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, OutOfTime, UnusableOutput, UsageError
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.native import Deadline

CPU = Device("cpu", 1)
IDS = PromptIds((1, 270, 271), (272, 273))


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language(tmp_path_factory.mktemp("language") / "language-F32.gguf")


@pytest.fixture
def decoder(language: Path) -> Iterator[Decoder]:
    decoder = Decoder.load(language, CPU)
    yield decoder
    decoder.close()


def rows(count: int, width: int = N_EMBD, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


@pytest.mark.parametrize("count", [65, 200, 400])
def test_more_rows_than_a_batch_holds_are_split_and_give_the_same_logits(language: Path, count: int) -> None:
    small, large = Decoder.load(language, CPU, n_batch=64), Decoder.load(language, CPU)
    image = rows(count)
    np.testing.assert_allclose(small.first_logits(IDS, image), large.first_logits(IDS, image), atol=1e-4, rtol=0)


@pytest.mark.parametrize("width", [N_EMBD // 2, N_EMBD - 1, N_EMBD * 2])
def test_rows_of_another_width_are_refused_before_llama_reads_past_them(decoder: Decoder, width: int) -> None:
    with pytest.raises(BundleIncompatible, match=str(N_EMBD)):
        decoder.first_logits(IDS, rows(2, width))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_with_nan_or_inf_are_refused(decoder: Decoder, value: float) -> None:
    image = rows(2)
    image[1, 3] = value
    with pytest.raises(UnusableOutput, match="image rows"):
        list(decoder.generate(IDS, image))


def test_weights_with_nan_give_no_answer_but_an_error(tmp_path: Path) -> None:
    decoder = Decoder.load(write_language(tmp_path / "nan.gguf", nan=True), CPU)
    with pytest.raises(UnusableOutput, match="logits"):
        list(decoder.generate(IDS, rows(2)))


def test_what_does_not_fit_the_context_is_refused_before_anything_is_decoded(decoder: Decoder) -> None:
    with pytest.raises(UsageError, match=r"prompt 5 .* image 2 .* answer 600"):
        next(decoder.generate(IDS, rows(2), Sampling(max_tokens=600)))
    assert decoder.n_ctx == 0


def test_a_file_that_is_no_language_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BundleIncompatible, match=r"x\.gguf"):
        Decoder.load(tmp_path / "x.gguf", CPU)


@pytest.mark.parametrize("text", ["</s>", "<s>", "<unk>", "a</s>b", "<s></s>"])
def test_control_tokens_in_a_users_text_are_plain_text(decoder: Decoder, text: str) -> None:
    ids = decoder.tokenize(Prompt("abc", text))
    assert ids.before[0] == 1
    assert not {0, 1, 2} & set(ids.after)
    spelt = b"".join(_bytes_of(token) for token in ids.after)
    assert spelt.decode() == f" {text}"


def _bytes_of(token: int) -> bytes:
    text = TOKENS[token]
    return bytes([int(text[3:5], 16)]) if 3 <= token < 259 else text.replace("\u2581", " ").encode()


def test_the_same_request_gives_the_same_tokens_whatever_was_asked_before(decoder: Decoder) -> None:
    sampling = Sampling(max_tokens=30)

    def answer(seed: int) -> list[int]:
        return [token.id for token in decoder.generate(IDS, rows(2, seed=seed), sampling)]

    first, other, again = answer(1), answer(2), answer(1)
    assert first == again
    assert first != other


def test_a_draw_depends_on_the_seed_and_on_nothing_else(decoder: Decoder) -> None:
    def answer(seed: int) -> list[int]:
        sampling = Sampling(temperature=1.0, max_tokens=20, seed=seed)
        return [token.id for token in decoder.generate(IDS, rows(2), sampling)]

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


def test_top_p_draws_only_from_the_likeliest_tokens() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    draw = chooser(Sampling(temperature=1.0, top_p=0.75, seed=3))
    drawn = [draw(logits) for _ in range(2000)]
    assert set(drawn) == {0, 1}
    assert drawn.count(0) / 2000 == pytest.approx(0.5 / 0.8, abs=0.05)


def test_logits_along_an_answer_are_those_that_chose_it(decoder: Decoder) -> None:
    answer = [token.id for token in decoder.generate(IDS, rows(2), Sampling(max_tokens=8))]
    along = decoder.logits_along(IDS, rows(2), answer[:-1])
    assert along.argmax(axis=1).tolist() == answer


def test_a_deadline_ends_the_answer(decoder: Decoder) -> None:
    with pytest.raises(OutOfTime):
        list(decoder.generate(IDS, rows(2), Sampling(max_tokens=400), Deadline(0.0)))


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to oneself on Windows")
def test_ctrl_c_ends_a_decode_and_leaves_the_model_usable(decoder: Decoder) -> None:
    before = [token.id for token in decoder.generate(IDS, rows(2), Sampling(max_tokens=5))]
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        while time.monotonic() - began_s < 20:
            list(decoder.generate(IDS, rows(300), Sampling(max_tokens=150)))
    assert time.monotonic() - began_s < 2
    assert [token.id for token in decoder.generate(IDS, rows(2), Sampling(max_tokens=5))] == before
