"""What stands between a request and llama.cpp, which checks little and aborts on the rest; and who asks it."""

from __future__ import annotations

import gc
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import N_EMBD, TOKENS, write_bundle, write_language
from xraygpt_edge import Conversation, XrayGPT
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, OutOfTime, UnusableOutput, UsageError, XrayGPTError
from xraygpt_edge.generation import embedding_table, gguf_file, llama, llama_library
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.llama import Aborted, LlamaContext, LlamaModel, Span
from xraygpt_edge.generation.packing import N_BATCH
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.sampler import sampler
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.generation.sequence import Cancelled
from xraygpt_edge.native import Deadline

CPU = Device("cpu", 1)
SHORT = Sampling(max_tokens=5)


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language(tmp_path_factory.mktemp("language") / "language-F32.gguf")


@pytest.fixture
def scheduler(language: Path) -> Iterator[Scheduler]:
    scheduler = Scheduler.load(language, CPU)
    yield scheduler
    scheduler.close()


def image(count: int = 2, width: int = N_EMBD, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def prompt(embeddings: NDArray[np.float32] | None = None) -> Prompt:
    return Prompt(((1, 270, 271), image() if embeddings is None else embeddings, (272, 273)))


def ask(
    scheduler: Scheduler, asked: Prompt | None = None, sampling: Sampling = SHORT, deadline: Deadline | None = None
) -> tuple[int, ...]:
    with scheduler.submit(Request(asked or prompt(), sampling, deadline=deadline or Deadline())) as stream:
        return stream.result().token_ids


@pytest.mark.parametrize("count", [65, 200, 400])
def test_more_embeddings_than_a_batch_holds_are_split_and_give_the_same_logits(language: Path, count: int) -> None:
    small, large = (Scheduler.load(language, CPU, CoreOptions(n_batch=n_batch)) for n_batch in (64, N_BATCH))
    asked = prompt(image(count))
    np.testing.assert_allclose(small.first_logits(asked), large.first_logits(asked), atol=1e-4, rtol=0)
    small.close()
    large.close()


@pytest.mark.parametrize("width", [N_EMBD // 2, N_EMBD - 1, N_EMBD * 2])
def test_embeddings_of_another_width_are_refused_before_llama_reads_past_them(scheduler: Scheduler, width: int) -> None:
    with pytest.raises(BundleIncompatible, match=str(N_EMBD)):
        scheduler.first_logits(prompt(image(2, width)))
    with pytest.raises(BundleIncompatible, match=str(N_EMBD)):
        ask(scheduler, prompt(image(2, width)))
    assert scheduler.n_ctx == 0


def test_embeddings_of_another_type_or_shape_are_refused_as_well(scheduler: Scheduler) -> None:
    for wrong in (image().astype(np.float64), image()[0], image()[None]):
        with pytest.raises(BundleIncompatible, match="float"):
            scheduler.first_logits(prompt(wrong))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_embeddings_with_nan_or_inf_are_refused(scheduler: Scheduler, value: float) -> None:
    embeddings = image()
    embeddings[1, 3] = value
    with pytest.raises(UnusableOutput, match="image embeddings"):
        ask(scheduler, prompt(embeddings))


def test_weights_with_nan_give_no_answer_but_an_error(tmp_path: Path) -> None:
    scheduler = Scheduler.load(write_language(tmp_path / "nan.gguf", nan=True), CPU)
    with pytest.raises(UnusableOutput, match="logits"):
        ask(scheduler)
    scheduler.close()


def test_what_does_not_fit_the_context_is_refused_before_anything_is_decoded(scheduler: Scheduler) -> None:
    with pytest.raises(UsageError, match=r"prompt 5 .* image 2 .* answer 600"):
        ask(scheduler, sampling=Sampling(max_tokens=600))
    assert scheduler.n_ctx == 0


def test_a_token_that_does_not_exist_is_refused_and_the_next_request_is_answered(scheduler: Scheduler) -> None:
    for token in (-1, len(TOKENS)):
        with pytest.raises(ValueError, match="token"):
            ask(scheduler, Prompt(((1, token),)))
    assert ask(scheduler)


def test_an_empty_prompt_is_refused_and_the_next_request_is_answered(scheduler: Scheduler) -> None:
    for nothing in (Prompt(()), Prompt(((),))):
        with pytest.raises(Exception, match=r"."):
            ask(scheduler, nothing)
    assert ask(scheduler)


def test_a_file_that_is_no_language_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(BundleIncompatible, match=r"x\.gguf"):
        Scheduler.load(tmp_path / "x.gguf", CPU)


def test_a_language_model_of_another_width_than_the_image_is_refused(language: Path) -> None:
    with pytest.raises(BundleIncompatible, match=f"manifest 32, language model {N_EMBD}"):
        Scheduler(language, CPU, CoreOptions(), n_embd=32).wait_until_loaded()


@pytest.mark.parametrize("text", ["</s>", "<s>", "<unk>", "a</s>b", "<s></s>"])
def test_control_tokens_in_a_users_text_are_plain_text(scheduler: Scheduler, text: str) -> None:
    before, after = scheduler.token_ids("abc", text)
    assert before[0] == 1
    assert not {0, 1, 2} & set(after)
    spelt = b"".join(_bytes_of(token) for token in after)
    assert spelt.decode() == f" {text}"


def _bytes_of(token: int) -> bytes:
    text = TOKENS[token]
    return bytes([int(text[3:5], 16)]) if 3 <= token < 259 else text.replace("\u2581", " ").encode()


def test_the_same_request_gives_the_same_tokens_whatever_was_asked_before(scheduler: Scheduler) -> None:
    def answer(seed: int) -> tuple[int, ...]:
        return ask(scheduler, prompt(image(seed=seed)), Sampling(max_tokens=30))

    first, other, again = answer(1), answer(2), answer(1)
    assert first == again
    assert first != other


def test_a_draw_depends_on_the_seed_and_on_nothing_else(scheduler: Scheduler) -> None:
    def answer(seed: int) -> tuple[int, ...]:
        return ask(scheduler, sampling=Sampling(temperature=1.0, max_tokens=20, seed=seed))

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


def test_top_p_draws_only_from_the_likeliest_tokens() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    draw = sampler(Sampling(temperature=1.0, top_p=0.75, seed=3))
    drawn = [draw(logits) for _ in range(2000)]
    assert set(drawn) == {0, 1}
    assert drawn.count(0) / 2000 == pytest.approx(0.5 / 0.8, abs=0.05)


def test_logits_along_an_answer_are_those_that_chose_it(scheduler: Scheduler) -> None:
    answer = ask(scheduler, sampling=Sampling(max_tokens=8))
    along = scheduler.logits_along(prompt(), answer[:-1])
    assert tuple(along.argmax(axis=1).tolist()) == answer
    np.testing.assert_array_equal(along[0], scheduler.first_logits(prompt()))


def test_a_passed_deadline_ends_a_request_before_anything_is_decoded(
    scheduler: Scheduler, decodes: list[list[Span]]
) -> None:
    with pytest.raises(OutOfTime):
        ask(scheduler, sampling=Sampling(max_tokens=400), deadline=Deadline(0.0))
    with pytest.raises(OutOfTime):
        scheduler.first_logits(prompt(), Deadline(0.0))
    with pytest.raises(OutOfTime):
        scheduler.prefill(prompt(), Deadline(0.0))
    assert decodes == []
    assert ask(scheduler)


def test_a_deadline_in_the_middle_of_an_answer_ends_it_with_what_there_is(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(scheduler, sampling=Sampling(max_tokens=200))
    slowly(monkeypatch, 0.02)
    with scheduler.submit(Request(prompt(), Sampling(max_tokens=200), deadline=Deadline(0.3))) as stream:
        generation = stream.result()
    assert generation.finish_reason == "timeout"
    assert 1 < len(generation.token_ids) < 200
    assert generation.token_ids == whole[: len(generation.token_ids)]


def slowly(monkeypatch: pytest.MonkeyPatch, decode_s: float) -> None:
    """Let every decode take longer."""
    decode = LlamaContext.decode
    monkeypatch.setattr(LlamaContext, "decode", lambda self, spans: (time.sleep(decode_s), decode(self, spans))[1])


# Interrupted and cancelled


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to oneself on Windows")
def test_ctrl_c_ends_a_decode_and_leaves_the_model_usable(scheduler: Scheduler) -> None:
    before = ask(scheduler)
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        while time.monotonic() - began_s < 20:
            ask(scheduler, prompt(image(300)), Sampling(max_tokens=150))
    assert ask(scheduler) == before
    assert time.monotonic() - began_s < 2


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to oneself on Windows")
@pytest.mark.parametrize("wait", ["stream", "first_logits", "logits_along", "prefill", "score", "token_ids"])
def test_ctrl_c_is_heard_while_a_long_answer_of_others_is_computed_and_only_the_own_request_ends(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    prefix = scheduler.prefill(prompt())
    expected = ask(scheduler, sampling=Sampling(max_tokens=30))
    slowly(monkeypatch, 0.02)
    waits: dict[str, Callable[[], object]] = {
        "stream": lambda: ask(scheduler),
        "first_logits": lambda: scheduler.first_logits(prompt()),
        "logits_along": lambda: scheduler.logits_along(prompt(), (280, 281)),
        "prefill": lambda: scheduler.prefill(prompt()),
        "score": lambda: scheduler.score([(prefix, (280, 281))]),
        "token_ids": lambda: [scheduler.token_ids("abc") for _ in range(1000)],
    }
    others = scheduler.submit(Request(prompt(), Sampling(max_tokens=30)))
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        waits[wait]()
    assert time.monotonic() - began_s < 1
    assert others.result().token_ids == expected


def test_a_cancelled_decode_of_one_alone_ends_in_its_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = Scheduler.load(write_language(tmp_path / "wide.gguf", width=512), CPU)
    expected, outcomes, inside = ask(scheduler, prompt(image(2, 512))), [], threading.Event()
    decode = LlamaContext.decode

    def noted(self: LlamaContext, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        inside.set()
        try:
            found = decode(self, spans)
        except Aborted:
            outcomes.append("aborted")
            raise
        outcomes.append("whole")
        return found

    monkeypatch.setattr(LlamaContext, "decode", noted)
    stream = scheduler.submit(Request(prompt(image(450, 512)), SHORT))
    assert inside.wait(10)
    stream.cancel()
    generation = stream.result()
    assert (generation.finish_reason, generation.token_ids, generation.text) == ("cancelled", (), "")
    assert outcomes == ["aborted"]
    assert ask(scheduler, prompt(image(2, 512))) == expected
    scheduler.close()


def test_an_answer_that_is_cancelled_keeps_what_there_was(scheduler: Scheduler) -> None:
    whole = ask(scheduler, sampling=Sampling(max_tokens=300))
    with scheduler.submit(Request(prompt(), Sampling(max_tokens=300))) as stream:
        read = [next(stream) for _ in range(3)]
        stream.cancel()
        generation = stream.result()
    assert generation.finish_reason == "cancelled"
    assert 3 <= len(generation.token_ids) < len(whole)
    assert generation.token_ids == whole[: len(generation.token_ids)]
    assert tuple(piece.token_id for piece in read) == whole[:3]
    stream.cancel()  # once more, and nothing happens
    assert stream.result() == generation


def test_an_answer_that_nobody_has_any_more_is_cancelled(
    scheduler: Scheduler, decodes: list[list[Span]], monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch, 0.01)
    stream = scheduler.submit(Request(prompt(), Sampling(max_tokens=400)))
    next(stream)
    del stream
    gc.collect()
    assert ask(scheduler)
    assert len(decodes) < 100


def test_an_answer_is_computed_whether_or_not_it_is_read(scheduler: Scheduler) -> None:
    stream = scheduler.submit(Request(prompt(), Sampling(max_tokens=30)))
    ask(scheduler)  # answered behind it
    reading_s = time.monotonic()
    assert len(stream.result().token_ids) == len(ask(scheduler, sampling=Sampling(max_tokens=30)))
    assert time.monotonic() - reading_s < 5


# Failures


@pytest.mark.parametrize(
    ("status", "error_id"), [(-1, "E-BUG-001"), (-2, "E-RUN-015"), (1, "E-RUN-016"), (-3, "E-RUN-033")]
)
@pytest.mark.parametrize("n_slots", [1, 2])
def test_what_llama_reports_becomes_the_error_that_it_is_and_the_next_request_is_answered(
    language: Path, monkeypatch: pytest.MonkeyPatch, status: int, error_id: str, n_slots: int
) -> None:
    scheduler = Scheduler.load(language, CPU, CoreOptions(Capacity(n_slots)))
    expected = ask(scheduler)
    waits: list[Callable[[], object]] = [lambda: ask(scheduler), lambda: scheduler.first_logits(prompt())]
    for asked in waits:
        with monkeypatch.context() as broken:
            broken.setattr(scheduler.model.lib, "llama_decode", lambda *_: status)
            with pytest.raises(XrayGPTError) as error:
                asked()
        assert error.value.error_id == error_id
    assert ask(scheduler) == expected
    scheduler.close()


@pytest.mark.parametrize("n_slots", [2, 4])
def test_one_whose_prompt_cannot_be_computed_fails_alone(
    language: Path, monkeypatch: pytest.MonkeyPatch, n_slots: int
) -> None:
    scheduler = Scheduler.load(language, CPU, CoreOptions(Capacity(n_slots)))
    expected, decode = ask(scheduler, sampling=Sampling(max_tokens=200)), LlamaContext.decode

    def broken(self: LlamaContext, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        time.sleep(0.001)
        if not any(span.n_logits for span in spans):  # a constant start, which is computed by itself
            raise UnusableOutput("E-RUN-033")
        return decode(self, spans)

    monkeypatch.setattr(LlamaContext, "decode", broken)
    with scheduler.submit(Request(prompt(), Sampling(max_tokens=200))) as stream:
        next(stream)
        with pytest.raises(UnusableOutput):
            scheduler.first_logits(Prompt(((1, 290, 291), image(), (272,))))
        assert stream.result().token_ids == expected
    scheduler.close()


def test_what_loading_raises_is_told_to_everybody_who_waits(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(100))
    scheduler = Scheduler(tmp_path / "x.gguf", CPU, CoreOptions())
    waits: list[Callable[[], object]] = [
        *[lambda: ask(scheduler)] * 3,
        lambda: scheduler.first_logits(prompt()),
        lambda: scheduler.prefill(prompt()),
        lambda: scheduler.token_ids("abc"),
        scheduler.wait_until_loaded,
    ]
    with ThreadPoolExecutor(len(waits)) as pool:
        told = [future.exception(timeout=10) for future in [pool.submit(wait) for wait in waits]]
    assert all(isinstance(error, BundleIncompatible) for error in told)
    assert not scheduler.loaded
    scheduler.close()


def test_a_closed_model_says_so_at_once_whatever_is_asked(scheduler: Scheduler) -> None:
    prefix = scheduler.prefill(prompt())
    scheduler.close()
    scheduler.close()
    waits: list[Callable[[], object]] = [
        lambda: ask(scheduler),
        lambda: scheduler.first_logits(prompt()),
        lambda: scheduler.logits_along(prompt(), (280,)),
        lambda: scheduler.prefill(prompt()),
        lambda: scheduler.score([(prefix, (280,))]),
        lambda: scheduler.token_ids("abc"),
    ]
    began_s = time.monotonic()
    for wait in waits:
        with pytest.raises((RuntimeError, ValueError)):
            wait()
    assert time.monotonic() - began_s < 2


def test_closing_ends_whoever_waits_for_an_answer(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch, 0.02)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(ask, scheduler, prompt(), Sampling(max_tokens=400)) for _ in range(2)]
        waiting.append(pool.submit(scheduler.first_logits, prompt()))
        time.sleep(0.2)
        began_s = time.monotonic()
        scheduler.close()
        told = [future.exception(timeout=10) for future in waiting]
    assert all(told)
    assert time.monotonic() - began_s < 2


def test_closing_while_the_weights_are_loaded_ends_whoever_waits_for_an_answer(
    language: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(*arguments: Any, **options: Any) -> LlamaModel:
        go_on.wait(10)
        return LlamaModel(*arguments, **options)

    monkeypatch.setattr("xraygpt_edge.generation.scheduler.LlamaModel", slow)
    scheduler = Scheduler(language, CPU, CoreOptions())
    stream, told = scheduler.submit(Request(prompt(), SHORT)), list[Exception]()

    def read() -> None:
        with pytest.raises((RuntimeError, ValueError, Cancelled)) as error:
            stream.result()
        told.append(error.value)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    scheduler.close()
    go_on.set()
    reading.join(5)
    assert told


# Who calls


NO_HANDLE = {
    *("llama_batch", "llama_log_set", "llama_print_system_info", "llama_supports_gpu_offload"),
    *("llama_model_default_params", "llama_context_default_params"),
}
"""Of llama.cpp: what takes no model, vocabulary, context or memory."""


def test_only_the_schedulers_thread_calls_llama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: Path) -> None:
    calls: dict[str, set[str]] = {}

    def recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.setdefault(name, set()).add(threading.current_thread().name)
            return function(*arguments)

        return call

    def recorded_ggml() -> Any:
        there = ggml_functions()
        names = set(re.findall(r'"(g\w+)":', Path(gguf_file.__file__).read_text("utf-8")))
        return SimpleNamespace(**{name: recorded(name, getattr(there, name)) for name in names})

    lib, ggml_functions, table = llama_library.import_llama(), gguf_file.ggml_functions, embedding_table.EmbeddingTable
    sources = "".join(Path(str(module.__file__)).read_text("utf-8") for module in (llama, llama_library))
    for name in set(re.findall(r"(?:lib|import_llama\(\))\.(llama_\w+)", sources)) - NO_HANDLE:
        monkeypatch.setattr(lib, name, recorded(name, getattr(lib, name)))
    for module in (gguf_file, embedding_table):
        monkeypatch.setattr(module, "ggml_functions", recorded_ggml)
    monkeypatch.setattr(table, "of", recorded("EmbeddingTable.of", table.of))
    four_threads_ask_encode_tokenise_and_converse(write_bundle(tmp_path / "tiny"), film)
    assert set().union(*calls.values()) == {"scheduler_0"}
    assert {"llama_decode", "llama_tokenize", "llama_free", "llama_model_free"} <= set(calls)
    assert {"EmbeddingTable.of", "gguf_init_from_file", "ggml_row_size"} <= set(calls)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("films") / "film.png"
    Image.fromarray(np.linspace(0, 255, 200 * 300).reshape(200, 300).astype(np.uint8)).save(path)
    return path


def four_threads_ask_encode_tokenise_and_converse(bundle: Path, film: Path) -> None:
    drawn = Sampling(max_tokens=6, temperature=1.0)
    with XrayGPT.load(bundle, "cpu") as model:

        def use(number: int) -> None:
            encoded = model.encode(film)
            model.prompt_ids(f"question {number}")
            model.ask(encoded, f"question {number}", sampling=drawn)
            model.first_logits(encoded, "findings?")
            talk = Conversation(model, encoded, drawn)
            talk.ask("findings?")
            talk.ask(f"and {number}?")
            model.stream(encoded, "findings?", sampling=drawn).cancel()
            list(model.ask_all([(encoded, "a?"), (encoded, "b?")], sampling=drawn))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, range(4)))
