"""What continues one prefix: computed in one decode, alone and among many, with the same last bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import N_EMBD, write_language
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import OutOfTime, XrayGPTError
from xraygpt_edge.generation import llama
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.llama import FORKS, LlamaContext, Span
from xraygpt_edge.generation.llama_state import alone
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.scheduler import Scheduler
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


@pytest.fixture
def shared(language: Path) -> Iterator[Scheduler]:
    """A scheduler of several slots."""
    scheduler = Scheduler.load(language, CPU, CoreOptions(Capacity(3, 3, 256)))
    yield scheduler
    scheduler.close()


def image(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(2, N_EMBD)).astype(np.float32)


def prompt(embeddings: NDArray[np.float32] | None = None) -> Prompt:
    return Prompt(((1, 270, 271), image() if embeddings is None else embeddings, (272, 273)))


def ask(scheduler: Scheduler, asked: Prompt) -> tuple[int, ...]:
    return scheduler.submit(Request(asked, SHORT)).result().token_ids


def continuations(count: int) -> list[list[int]]:
    """Token ids of different lengths."""
    return [[270 + (k + n) % 5 for n in range(1 + k % 4)] for k in range(count)]


@pytest.mark.parametrize("count", [1, 2, 15, 40])
def test_what_continues_one_prefix_is_computed_together_and_gives_what_each_gives_alone(
    scheduler: Scheduler, decodes: list[list[Span]], count: int
) -> None:
    given = continuations(count)
    begun = prompt()
    prefix = scheduler.prefill(begun)
    decodes.clear()
    together = scheduler.first_logits_behind(prefix, given)
    assert len(decodes) <= -(-count // FORKS) + 1
    alone = [scheduler.first_logits(Prompt((*begun.segments, tuple(ids)))) for ids in given]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-4, rtol=0)


def test_an_answer_is_the_same_to_the_last_bit_before_and_after_its_prefix_was_forked(language: Path) -> None:
    scheduler = Scheduler.load(language, CPU)
    begun, asked = prompt(), Prompt((*prompt().segments, (274,)))
    first, logits = ask(scheduler, asked), scheduler.first_logits(asked)
    scheduler.first_logits_behind(scheduler.prefill(begun), continuations(20))
    assert ask(scheduler, asked) == first
    assert (scheduler.first_logits(asked) == logits).all()
    scheduler.close()


def test_several_continuations_are_scored_as_each_alone(scheduler: Scheduler) -> None:
    prefix = scheduler.prefill(prompt())
    given = [ids for ids in continuations(20) if ids]
    for together, ids in zip(scheduler.score([(prefix, ids) for ids in given]), given, strict=True):
        np.testing.assert_allclose(together, scheduler.score([(prefix, ids)])[0], atol=1e-4, rtol=0)


def test_who_does_not_wait_for_forks_any_longer_leaves_the_cache_as_it_was(language: Path) -> None:
    scheduler = Scheduler.load(language, CPU)
    prefix, given = scheduler.prefill(prompt()), continuations(30)
    before = scheduler.first_logits_behind(prefix, given)
    with pytest.raises(OutOfTime):
        scheduler.first_logits_behind(prefix, given, Deadline(0.0))
    np.testing.assert_array_equal(scheduler.first_logits_behind(prefix, given), before)
    scheduler.close()


@pytest.mark.parametrize("count", [2, 40])
def test_what_continues_one_prefix_has_the_same_last_bits_among_many_as_alone(
    scheduler: Scheduler, shared: Scheduler, count: int
) -> None:
    begun, given = Prefix(prompt()), continuations(count)
    asked = Request(Prompt((*prompt().segments, (274,))), SHORT)
    alone, among = (one.submit(asked, leaving=begun) for one in (scheduler, shared))
    others = [shared.submit(Request(prompt(image(seed=seed)), Sampling(max_tokens=40))) for seed in (1, 2)]
    alone.result(), among.result()
    of_many = shared.first_logits_behind(begun, given)
    np.testing.assert_array_equal(of_many, scheduler.first_logits_behind(Prefix(prompt()), given))
    assert all(len(other.result().token_ids) == 40 for other in others)


def test_who_answers_among_many_says_the_same_while_a_prefix_is_continued(shared: Scheduler) -> None:
    asked = [Request(prompt(image(seed=seed)), Sampling(max_tokens=30)) for seed in (0, 1, 2)]
    before = [stream.result().token_ids for stream in [shared.submit(each) for each in asked]]
    streams = [shared.submit(each) for each in asked]
    for seed in (0, 1, 5):
        shared.first_logits_behind(Prefix(prompt(image(seed=seed))), continuations(20))
    assert [stream.result().token_ids for stream in streams] == before


PANEL = [[99] * 4 + [100 + question] * (12 + (question < 4)) for question in range(14)]
"""As long as fourteen questions in Vicuna's tokens: four that all begin with, 172 others."""


@pytest.mark.parametrize("slots", ["scheduler", "shared"])
def test_behind_an_answer_of_the_usual_length_a_panel_of_the_full_model_s_length_is_one_decode(
    slots: str, decodes: list[list[Span]], request: pytest.FixtureRequest
) -> None:
    """Prompt and panel are longer than the 256 positions in steps of which contexts are made."""
    asked, segments = request.getfixturevalue(slots), (tuple(range(100, 184)), image())  # 86 positions
    begun = Prefix(Prompt(segments))
    asked.submit(Request(Prompt((*segments, (90, 91)))), leaving=begun).result()
    decodes.clear()
    asked.first_logits_behind(begun, PANEL)
    assert [sum(len(span.content) for span in spans) for spans in decodes] == [176]


def test_what_several_continuations_begin_with_is_computed_once(
    scheduler: Scheduler, decodes: list[list[Span]]
) -> None:
    begun = [275, 276, 277]
    given = [[*begun, 270], [*begun, 271, 272], [*begun, 271, 273], begun]
    prefix = scheduler.prefill(prompt())
    decodes.clear()
    together = scheduler.first_logits_behind(prefix, given)
    computed = sum(len(span.content) for spans in decodes for span in spans)
    assert computed == len([*begun, 270, 271, 272, 273])
    alone = [scheduler.first_logits(Prompt((*prompt().segments, tuple(ids)))) for ids in given]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-4, rtol=0)


def test_continuations_among_many_are_right_where_llama_cpp_lays_a_state_out_otherwise(
    scheduler: Scheduler, shared: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, given = Prefix(prompt()), continuations(20)
    shared.submit(Request(prompt(), SHORT), leaving=begun).result()
    monkeypatch.setattr("xraygpt_edge.generation.slots.alone", lambda *_: None)
    found = shared.first_logits_behind(begun, given)
    np.testing.assert_allclose(found, scheduler.first_logits_behind(Prefix(prompt()), given), atol=1e-4, rtol=0)


def test_the_state_of_one_among_many_is_taken_apart_only_where_it_is_laid_out_as_known() -> None:
    words = np.array([7, 1, 3, 0, 2, 11, 12, 0], np.uint32)
    assert alone(words.tobytes(), 3, 1) == np.array([7, 1, 1, 2, 11, 12], np.uint32).tobytes()
    assert alone(words.tobytes(), 4, 1) is None
    assert alone(words.tobytes(), 3, 2) is None
    assert alone(words.tobytes()[:8], 3, 1) is None
    assert alone(b"", 3, 1) is None


def test_who_does_not_wait_for_continuations_among_many_leaves_the_others_as_they_were(shared: Scheduler) -> None:
    prefix, given = Prefix(prompt()), continuations(30)
    before = shared.first_logits_behind(prefix, given)
    with pytest.raises(OutOfTime):
        shared.first_logits_behind(prefix, given, Deadline(0.0))
    np.testing.assert_array_equal(shared.first_logits_behind(prefix, given), before)


def test_a_longer_prefix_among_many_gets_a_longer_context(shared: Scheduler) -> None:
    short = shared.first_logits_behind(Prefix(prompt()), continuations(3))
    long = Prompt((*prompt().segments, (274,) * 300))
    assert len(shared.first_logits_behind(Prefix(long), continuations(3))) == 3
    np.testing.assert_array_equal(shared.first_logits_behind(Prefix(prompt()), continuations(3)), short)


@pytest.mark.parametrize("status", [llama.NO_MEMORY, llama.INVALID_BATCH])
def test_continuations_that_cannot_be_computed_among_many_fail_alone(
    shared: Scheduler, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    before = shared.submit(Request(prompt(), SHORT)).result().token_ids
    with monkeypatch.context() as broken:
        broken.setattr(LlamaContext, "decode", failing_for_forks(status))
        with pytest.raises(XrayGPTError):
            shared.first_logits_behind(Prefix(prompt()), continuations(5))
    assert shared.submit(Request(prompt(), SHORT)).result().token_ids == before
    assert len(shared.first_logits_behind(Prefix(prompt()), continuations(5))) == 5


def failing_for_forks(status: int) -> Callable[..., list[NDArray[np.float32]]]:
    """A decode that llama.cpp refuses where forks are in it."""
    decode = LlamaContext.decode

    def refused(context: LlamaContext, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        if len(spans) > 1:
            raise context._failure(status)
        return decode(context, spans)

    return refused
