"""Several requests at the same time: each is answered as if it were alone, and only what may be shared is shared."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.near_ties import first_near_tie
from tests.tiny import N_EMBD, write_language
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, ResourceExhausted, UnusableOutput, UsageError
from xraygpt_edge.generation.capacity import Capacity, slots_for
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.embedding_table import EmbeddingTable
from xraygpt_edge.generation.llama import LlamaContext, Span
from xraygpt_edge.generation.packing import N_BATCH, packed, padded
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Piece, Request, Sampling
from xraygpt_edge.generation.sampler import likeliest, log_probabilities
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.generation.sequence import Event
from xraygpt_edge.generation.stream import Stream

CPU = Device("cpu", 1)
BEFORE = (1, 270, 271, 272, 280)
AFTERS = ((272, 273), (261, 262, 263, 264, 265), (290,))
N_IMAGE = 2
GREEDY = Sampling(max_tokens=12)
LONG = Sampling(max_tokens=400)
NOISE = 1e-3
"""Of logits in another company: keys and values are in fp16."""


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language(tmp_path_factory.mktemp("language") / "language-F32.gguf")


@pytest.fixture(scope="module")
def single(language: Path) -> Iterator[Scheduler]:
    """One at a time."""
    with scheduled(language, 1) as scheduler:
        yield scheduler


@contextlib.contextmanager
def scheduled(
    language: Path, n_slots: int, *, n_batch: int = N_BATCH, most_slots: int = 1, n_ctx: int = 0
) -> Iterator[Scheduler]:
    scheduler = Scheduler.load(language, CPU, CoreOptions(Capacity(n_slots, most_slots, n_ctx), n_batch=n_batch))
    yield scheduler
    scheduler.close()


def n_positions(batches: list[list[Span]]) -> int:
    """Count the positions of decodes, and forget them."""
    count = sum(len(span.content) for spans in batches for span in spans)
    batches.clear()
    return count


def image(number: int, count: int = N_IMAGE) -> NDArray[np.float32]:
    return np.random.default_rng(number).normal(size=(count, N_EMBD)).astype(np.float32)


def prompt(number: int) -> Prompt:
    return Prompt((BEFORE, image(number), AFTERS[number % len(AFTERS)]))


def length(asked: Prompt) -> int:
    return sum(map(len, asked.segments))


def ends_early(number: int, sampling: Sampling = GREEDY) -> Sampling:
    """Answers of different lengths, so that sequences come and go at different times."""
    return Sampling(sampling.temperature, max_tokens=sampling.max_tokens - number % 5, seed=sampling.seed)


def answer(scheduler: Scheduler, number: int, sampling: Sampling = GREEDY) -> tuple[int, ...]:
    return scheduler.submit(Request(prompt(number), ends_early(number, sampling))).result().token_ids


def begin(scheduler: Scheduler, numbers: Sequence[int], sampling: Sampling = GREEDY) -> list[Stream]:
    with scheduler.paused():
        return [scheduler.submit(Request(prompt(n), ends_early(n, sampling))) for n in numbers]


def together(scheduler: Scheduler, numbers: Sequence[int], sampling: Sampling = GREEDY) -> list[tuple[int, ...]]:
    return [stream.result().token_ids for stream in begin(scheduler, numbers, sampling)]


def assert_same_but_for_near_ties(
    scheduler: Scheduler, asked: Prompt, answer: Sequence[int], expected: Sequence[int]
) -> None:
    if answer != expected:
        sure = first_near_tie(scheduler, asked, expected, NOISE)
        assert sure is not None
        assert answer[:sure] == expected[:sure]


# Several at once


@pytest.mark.parametrize("n_slots", [1, 2, 3, 7, 16])
def test_answers_are_the_ones_that_each_gets_alone(language: Path, single: Scheduler, n_slots: int) -> None:
    numbers = list(range(20))
    expected = [answer(single, n) for n in numbers]
    with scheduled(language, n_slots) as scheduler:
        answers = together(scheduler, numbers)
        assert scheduler.n_slots == n_slots
    different = [n for n in numbers if answers[n] != expected[n]]
    assert len(different) <= (0 if n_slots == 1 else 2)
    for n in different:
        assert_same_but_for_near_ties(single, prompt(n), answers[n], expected[n])


def test_slots_are_made_when_others_wait_and_answers_stay_the_ones_that_each_gets_alone(
    language: Path, single: Scheduler
) -> None:
    numbers = list(range(12))
    with scheduled(language, 1, most_slots=4) as scheduler:
        assert answer(scheduler, 0) == answer(single, 0)
        assert scheduler.n_slots == 1
        answers = together(scheduler, numbers)
        assert scheduler.n_slots == 4
    for n in numbers:
        assert_same_but_for_near_ties(single, prompt(n), answers[n], answer(single, n))


@pytest.mark.parametrize("n_slots", [7, 16])
def test_sequences_are_computed_as_neighbours_however_answers_end(
    language: Path, decodes: list[list[Span]], n_slots: int
) -> None:
    with scheduled(language, n_slots) as scheduler:
        together(scheduler, list(range(20)))
    tokens = [[span.sequence for span in spans] for spans in decodes if spans[0].content.ndim == 1]
    assert max(map(len, tokens)) == n_slots
    assert all(there == list(range(len(there))) for there in tokens)
    prompts = [[span.sequence for span in spans] for spans in decodes if spans[0].content.ndim == 2]
    assert all(there == list(range(there[0], there[0] + len(there))) for there in prompts)


def test_the_constant_start_is_computed_once_for_all(language: Path, decodes: list[list[Span]]) -> None:
    with scheduled(language, 4) as scheduler:
        together(scheduler, list(range(8)))
    starts = [span for spans in decodes for span in spans if span.start == 0]
    assert [len(span.content) for span in starts] == [len(BEFORE)]


def test_a_request_may_be_cancelled_before_it_is_computed(
    language: Path, single: Scheduler, decodes: list[list[Span]]
) -> None:
    expected = answer(single, 1)
    decodes.clear()
    with scheduled(language, 2) as scheduler:
        with scheduler.paused():
            gone, stays = (scheduler.submit(Request(prompt(n), ends_early(n))) for n in (0, 1))
            gone.cancel()
        assert stays.result().token_ids == expected
        assert (gone.result().finish_reason, gone.result().token_ids) == ("cancelled", ())
    assert {span.sequence for spans in decodes for span in spans} == {0}


@pytest.mark.parametrize("n_slots", [1, 2, 4])
def test_a_b_a_gives_the_same_answer_twice_and_b_alone_is_b_after_a(language: Path, n_slots: int) -> None:
    with scheduled(language, n_slots) as scheduler:
        first, second, third = together(scheduler, [0, 5, 0])
        assert first == third
        assert together(scheduler, [5]) == [second]


def test_drawn_answers_are_the_ones_that_each_gets_alone(language: Path, single: Scheduler) -> None:
    sampling, numbers = Sampling(temperature=1.0, max_tokens=12, seed=4), [0, 1, 2, 3]
    expected = [answer(single, n, sampling) for n in numbers]
    assert together(single, numbers, sampling) == expected
    with scheduled(language, 4) as scheduler:
        assert together(scheduler, numbers, sampling) == expected


@pytest.mark.parametrize("n_slots", [1, 4])
def test_prompts_longer_than_a_batch_are_cut_and_give_the_same_answers(
    language: Path, single: Scheduler, n_slots: int
) -> None:
    with scheduled(language, n_slots, n_batch=5) as scheduler:
        assert together(scheduler, list(range(6))) == [answer(single, n) for n in range(6)]


def test_spans_are_put_together_up_to_a_batch_and_none_is_cut() -> None:
    spans = [Span(np.arange(n, dtype=np.int32), 0, number) for number, n in enumerate((2, 3, 1, 5, 1, 1, 4))]
    batches = [[span.sequence for span in batch] for batch in packed(spans, 5)]
    assert batches == [[0, 1], [2], [3], [4, 5], [6]]
    assert list(packed([], 5)) == []


def test_nan_in_one_radiograph_is_refused_and_its_neighbour_is_answered(language: Path, single: Scheduler) -> None:
    bad = Prompt((BEFORE, np.full((N_IMAGE, N_EMBD), np.nan, np.float32), AFTERS[0]))
    with scheduled(language, 2) as scheduler:
        with scheduler.paused():
            refused, good = scheduler.submit(Request(bad)), scheduler.submit(Request(prompt(1), ends_early(1)))
        with pytest.raises(UnusableOutput, match="image embeddings"):
            refused.result()
        assert good.result().token_ids == answer(single, 1)


def test_weights_with_nan_give_an_error_for_each_of_many(tmp_path: Path) -> None:
    with scheduled(write_language(tmp_path / "nan.gguf", nan=True), 2) as scheduler:
        for stream in begin(scheduler, range(5)):
            with pytest.raises(UnusableOutput, match="logits"):
                stream.result()


def test_nan_that_was_computed_for_one_is_not_left_for_the_next(language: Path, tmp_path: Path) -> None:
    broken, nan = tmp_path / "broken.gguf", 310
    broken.write_bytes(language.read_bytes())
    table = EmbeddingTable(language, N_EMBD)
    with broken.open("r+b") as file:
        file.seek(table._start + nan * table._row_bytes)
        file.write(np.full(N_EMBD, np.nan, np.float32).tobytes())
    with scheduled(broken, 2) as scheduler:
        expected = [answer(scheduler, n) for n in range(6)]
        with scheduler.paused():
            streams = [scheduler.submit(Request(Prompt(((1, nan, 290),)))) for _ in range(3)]
        for stream in streams:
            with pytest.raises(UnusableOutput, match="logits"):
                stream.result()
        assert together(scheduler, range(6)) == expected


def test_embeddings_of_another_width_are_refused_and_the_neighbour_is_answered(
    language: Path, single: Scheduler
) -> None:
    wrong = Prompt((BEFORE, np.zeros((N_IMAGE, N_EMBD // 2), np.float32)))
    with scheduled(language, 2) as scheduler:
        with scheduler.paused():
            good, refused = scheduler.submit(Request(prompt(1), ends_early(1))), scheduler.submit(Request(wrong))
        with pytest.raises(BundleIncompatible, match=str(N_EMBD)):
            refused.result()
        assert good.result().token_ids == answer(single, 1)


def test_a_request_that_cannot_fit_is_refused_and_its_neighbours_are_answered(
    language: Path, single: Scheduler
) -> None:
    with scheduled(language, 2) as scheduler:
        with scheduler.paused():
            first = scheduler.submit(Request(prompt(0), ends_early(0)))
            refused = scheduler.submit(Request(prompt(1), Sampling(max_tokens=600)))
            last = scheduler.submit(Request(prompt(2), ends_early(2)))
        with pytest.raises(UsageError, match="answer 600"):
            refused.result()
        assert [stream.result().token_ids for stream in (first, last)] == [answer(single, n) for n in (0, 2)]


def test_a_longer_request_among_short_ones_is_answered_as_alone(language: Path, single: Scheduler) -> None:
    long = Request(prompt(3), Sampling(max_tokens=400))
    expected = single.submit(long).result().token_ids
    with scheduled(language, 3) as scheduler:
        with scheduler.paused():
            short = [scheduler.submit(Request(prompt(n), ends_early(n))) for n in range(3)]
            longer = scheduler.submit(long)
            behind = [scheduler.submit(Request(prompt(n), ends_early(n))) for n in range(3)]
        answers = [stream.result().token_ids for stream in (*short, *behind)]
        assert answers == 2 * [answer(single, n) for n in range(3)]
        assert_same_but_for_near_ties(single, prompt(3), longer.result().token_ids, expected)
        assert scheduler.n_ctx >= 400


def test_slots_follow_memory_and_cores_and_are_never_none(single: Scheduler) -> None:
    model, n_tokens = single.model, 22
    one = 2 * padded(n_tokens) * model.kv_bytes
    assert slots_for(model, CPU, n_tokens, 0, 1000) == 1
    assert slots_for(model, CPU, n_tokens, 3 * one, 1000) == 3
    assert slots_for(model, CPU, n_tokens, 10**12, 1000) == 16
    assert slots_for(model, CPU, n_tokens, 10**12, 5) == 5
    assert slots_for(model, Device("cpu", 64), n_tokens, 10**12, 1000) == 64


def test_where_memory_allows_no_second_slot_answers_come_one_after_another(
    language: Path, single: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xraygpt_edge.devices.available_memory_bytes", lambda: 0)
    with scheduled(language, 1, most_slots=8) as scheduler:
        assert together(scheduler, range(6)) == [answer(single, n) for n in range(6)]
        assert scheduler.n_slots == 1


def test_logits_in_company_differ_from_those_alone_by_noise_only(
    language: Path, single: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen_from: dict[int, list[NDArray[np.float32]]] = {}

    def noting(sampling: Sampling):
        found = chosen_from.setdefault(sampling.seed, [])
        return lambda logits: (found.append(logits), likeliest(logits))[1]

    monkeypatch.setattr("xraygpt_edge.generation.scheduler.sampler", noting)
    with scheduled(language, 8) as scheduler:
        with scheduler.paused():
            streams = [scheduler.submit(Request(prompt(n), Sampling(max_tokens=6, seed=n))) for n in range(8)]
        answers = [stream.result().token_ids for stream in streams]
    monkeypatch.undo()
    for n, given in enumerate(answers):
        along = single.logits_along(prompt(n), given[:-1])
        np.testing.assert_allclose(np.stack(chosen_from[n]), along, atol=NOISE, rtol=0)
        np.testing.assert_allclose(chosen_from[n][0], along[0], atol=1e-4, rtol=0)


# Streams


def test_two_streams_that_one_thread_reads_in_turns_give_what_each_gives_alone(
    language: Path, single: Scheduler
) -> None:
    for scheduler in (contextlib.nullcontext(single), scheduled(language, 2)):
        with scheduler as shared:
            one, other = begin(shared, [2, 7])
            read: tuple[list[int | None], list[int | None]] = ([], [])
            for pieces in zip(one, other, strict=False):
                for there, piece in zip(read, pieces, strict=True):
                    there.append(piece.token_id)
            assert one.result().token_ids == answer(single, 2)
            assert other.result().token_ids == answer(single, 7)
            shorter = min(len(ids) for ids in (one.result().token_ids, other.result().token_ids))
            assert tuple(read[0][:shorter]) == one.result().token_ids[:shorter]
            assert tuple(read[1][:shorter]) == other.result().token_ids[:shorter]


def test_of_four_one_is_cancelled_in_its_prompt_and_one_in_its_answer_and_the_others_do_not_notice(
    language: Path, single: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(max_tokens=60)
    expected = [single.submit(Request(prompt(n), sampling)).result().token_ids for n in range(3)]
    decode, inside = LlamaContext.decode, list[int]()

    def cancelling(self: LlamaContext, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        if any(span.content.ndim == 2 and 100 < span.start < 300 for span in spans):
            inside.append(len(spans))
            long.cancel()
        return decode(self, spans)

    with scheduled(language, 4, n_batch=64, n_ctx=512) as scheduler:
        with scheduler.paused():
            monkeypatch.setattr(LlamaContext, "decode", cancelling)
            streams = [scheduler.submit(Request(prompt(n), sampling)) for n in range(3)]
            long = scheduler.submit(Request(Prompt((BEFORE, image(9, 320), AFTERS[0])), sampling))
        for _ in range(4):
            next(streams[1])
        streams[1].cancel()
        cut = streams[1].result()
        assert [streams[n].result().token_ids for n in (0, 2)] == [expected[0], expected[2]]
        assert (long.result().finish_reason, long.result().token_ids) == ("cancelled", ())
    assert inside
    assert cut.finish_reason == "cancelled"
    assert 4 <= len(cut.token_ids) < 60
    assert cut.token_ids == expected[1][: len(cut.token_ids)]


def test_who_asks_for_many_is_told_each_piece_and_then_the_answer_or_the_error(
    language: Path, single: Scheduler
) -> None:
    told: dict[int, SimpleQueue[Event]] = {n: SimpleQueue() for n in range(4)}
    with scheduled(language, 2) as scheduler:
        for n in range(3):
            scheduler.submit_telling(Request(prompt(n), ends_early(n)), told[n].put)
        scheduler.submit_telling(Request(prompt(3), Sampling(max_tokens=600)), told[3].put)
        for n in range(3):
            pieces = iter(told[n].get, None)
            ids = [piece.token_id for piece in takewhile(lambda event: isinstance(event, Piece), pieces)]
            assert tuple(token for token in ids if token is not None) == answer(single, n)
        assert isinstance(told[3].get(), UsageError)


def test_who_asks_for_many_may_cancel_each(language: Path, single: Scheduler) -> None:
    events: SimpleQueue[Event] = SimpleQueue()
    cancel = single.submit_telling(Request(prompt(0), LONG), events.put)
    assert isinstance(events.get(), Piece)
    cancel()
    last = next(event for event in iter(events.get, None) if not isinstance(event, Piece))
    assert last.finish_reason == "cancelled"


def test_nothing_is_decoded_while_others_need_the_processor_and_what_was_asked_meanwhile_is_answered(
    language: Path, single: Scheduler, decodes: list[list[Span]]
) -> None:
    expected = [answer(single, n) for n in range(3)]
    with scheduled(language, 3) as scheduler:
        lasting = scheduler.submit(Request(prompt(5), LONG))
        next(lasting)
        with scheduler.paused():
            streams = [scheduler.submit(Request(prompt(n), ends_early(n))) for n in range(3)]
            decodes.clear()
            with scheduler.paused():  # once more in the same thread, and nothing happens
                time.sleep(0.05)
            assert decodes == []
        assert [stream.result().token_ids for stream in streams] == expected
        assert lasting.result().finish_reason in {"stop", "length"}


def test_room_is_made_before_the_first_request_and_refused_where_the_model_takes_less(language: Path) -> None:
    with scheduled(language, 1) as scheduler:
        with pytest.raises(UsageError, match="513 tokens, the model takes 512"):
            scheduler.reserve(Capacity(2, 2, 513))
        scheduler.reserve(Capacity(3, 3, 300))
        assert (scheduler.n_slots, scheduler.n_ctx) == (3, 512)
        together(scheduler, range(6))
        assert (scheduler.n_slots, scheduler.n_ctx) == (3, 512)


def test_many_threads_that_ask_and_cancel_leave_the_model_as_it_was(language: Path, single: Scheduler) -> None:
    expected = [answer(single, n) for n in range(20)]
    with scheduled(language, 3) as scheduler:

        def use(number: int) -> bool:
            with scheduler.submit(Request(prompt(number), Sampling(max_tokens=100))) as dropped:
                for _ in range(number % 4):
                    next(dropped)
            return answer(scheduler, number) == expected[number]

        with ThreadPoolExecutor(8) as pool:
            same = list(pool.map(use, range(20)))
        assert sum(same) >= 18  # near ties
        assert together(scheduler, [0, 1, 2]) == expected[:3]


# What is shared, and what never is


@pytest.mark.parametrize("n_slots", [1, 2])
def test_nothing_of_one_request_is_used_for_another_without_being_asked_for(
    language: Path, decodes: list[list[Span]], n_slots: int
) -> None:
    with scheduled(language, n_slots) as scheduler:
        first = scheduler.first_logits(prompt(0))
        assert n_positions(decodes) == length(prompt(0))
        own = length(prompt(0)) - (len(BEFORE) if n_slots > 1 else 0)
        for before in (0, 3, 5):  # the same, the same words about another image, other words
            answer(scheduler, before)
            n_positions(decodes)
            np.testing.assert_array_equal(scheduler.first_logits(prompt(0)), first)
            assert n_positions(decodes) == own


def test_first_logits_have_the_same_bits_before_and_after_others_were_answered_at_the_same_time(
    language: Path,
) -> None:
    with scheduled(language, 1, most_slots=4) as scheduler:
        before = [scheduler.first_logits(prompt(n)) for n in range(6)]
        together(scheduler, range(12))
        assert scheduler.n_slots == 4
        for n in range(6):
            np.testing.assert_array_equal(scheduler.first_logits(prompt(n)), before[n])


def test_what_a_request_leaves_in_the_cache_is_the_constant_start_alone(language: Path) -> None:
    with scheduled(language, 3) as scheduler:
        together(scheduler, range(6))
        assert set(slots_of(scheduler)) <= {(), BEFORE}


def slots_of(scheduler: Scheduler) -> list[tuple[int, ...]]:
    """What is computed in each slot, at the border of a step."""
    decoding = scheduler._loading.result()._decoding
    return scheduler._thread.call(lambda: [tuple(slot.keys.tolist()) for slot in decoding.slots._slots])


# Prefixes


def behind(number: int, token_ids: tuple[int, ...]) -> Prompt:
    return Prompt((BEFORE, image(number), token_ids))


def prefix_of(scheduler: Scheduler, number: int) -> Prefix:
    return scheduler.prefill(Prompt((BEFORE, image(number))))


N_PREFIX = len(BEFORE) + N_IMAGE


@pytest.mark.parametrize("n_slots", [1, 2, 4])
def test_behind_a_prefix_comes_what_the_whole_prompt_gives_alone_and_it_is_computed_once(
    language: Path, single: Scheduler, decodes: list[list[Span]], n_slots: int
) -> None:
    wanted = [single.submit(Request(behind(4, after), GREEDY)).result().token_ids for after in AFTERS]
    n_positions(decodes)
    with scheduled(language, n_slots) as scheduler, prefix_of(scheduler, 4) as prefix:
        assert n_positions(decodes) == N_PREFIX
        for after, expected in zip(AFTERS, wanted, strict=True):
            found = scheduler.submit(Request(behind(4, after), GREEDY), prefix).result().token_ids
            assert_same_but_for_near_ties(scheduler, behind(4, after), found, expected)
            assert n_positions(decodes) <= len(after) + len(found)
            scheduler.first_logits(behind(4, after), after=prefix)
            assert n_positions(decodes) == len(after)


@pytest.mark.parametrize("n_slots", [1, 4])
def test_a_prefix_that_others_needed_the_place_of_is_computed_again_and_gives_the_same(
    language: Path, single: Scheduler, decodes: list[list[Span]], n_slots: int
) -> None:
    numbers = range(n_slots + 2)
    wanted = [single.first_logits(behind(n, (290,))) for n in numbers]
    with scheduled(language, n_slots) as scheduler:
        prefixes = [prefix_of(scheduler, n) for n in numbers]
        n_positions(decodes)
        for n, prefix in [*enumerate(prefixes), *enumerate(prefixes)]:
            found = scheduler.first_logits(behind(n, (290,)), after=prefix)
            np.testing.assert_allclose(found, wanted[n], atol=NOISE, rtol=0)
        assert n_positions(decodes) > 2 * len(prefixes)


def test_a_prefix_stays_while_others_are_asked_as_long_as_there_is_a_slot_for_them(
    language: Path, decodes: list[list[Span]]
) -> None:
    with scheduled(language, 2) as scheduler, prefix_of(scheduler, 4) as prefix:
        for number in range(5):
            answer(scheduler, number)
        n_positions(decodes)
        scheduler.first_logits(behind(4, (290,)), after=prefix)
        assert n_positions(decodes) == 1


@pytest.mark.parametrize("how", ["closed", "nobody has it"])
def test_a_prefix_that_is_given_up_is_forgotten(language: Path, decodes: list[list[Span]], how: str) -> None:
    with scheduled(language, 2) as scheduler:
        given_up, kept = prefix_of(scheduler, 4), prefix_of(scheduler, 5)
        if how == "closed":
            given_up.close()
        else:
            del given_up
            gc.collect()
        answer(scheduler, 0)
        held_there = [len(keys) for keys in slots_of(scheduler)]
        n_positions(decodes)
        scheduler.first_logits(behind(5, (290,)), after=kept)
        assert n_positions(decodes) == 1
        assert sorted(held_there) == [len(BEFORE), N_PREFIX]


@pytest.mark.parametrize("n_slots", [1, 3])
def test_prefixes_survive_a_context_that_grows_and_are_not_computed_again(
    language: Path, single: Scheduler, decodes: list[list[Span]], n_slots: int
) -> None:
    wanted = [single.first_logits(behind(n, (290,))) for n in range(n_slots)]
    with scheduled(language, n_slots) as scheduler:
        prefixes = [prefix_of(scheduler, n) for n in range(n_slots)]
        n_ctx = scheduler.n_ctx
        n_positions(decodes)
        longer = scheduler.submit(Request(behind(0, AFTERS[1]), Sampling(max_tokens=350)), prefixes[0]).result()
        assert n_positions(decodes) == len(AFTERS[1]) + len(longer.token_ids) - 1
        assert scheduler.n_ctx > n_ctx
        for n, prefix in enumerate(prefixes):
            found = scheduler.first_logits(behind(n, (290,)), after=prefix)
            np.testing.assert_allclose(found, wanted[n], atol=NOISE, rtol=0)
            assert n_positions(decodes) == 1


def test_a_prefix_is_computed_once_more_when_slots_are_made_and_is_forked_into_them(
    language: Path, single: Scheduler, decodes: list[list[Span]]
) -> None:
    wanted = [single.submit(Request(behind(4, after), GREEDY)).result().token_ids for after in AFTERS]
    with scheduled(language, 1, most_slots=4) as scheduler, prefix_of(scheduler, 4) as prefix:
        n_positions(decodes)
        with scheduler.paused():
            streams = [scheduler.submit(Request(behind(4, after), GREEDY), prefix) for after in AFTERS]
        found = [stream.result().token_ids for stream in streams]
        assert scheduler.n_slots > 1
        assert n_positions(decodes) == len(prefix) + sum(map(len, AFTERS)) + sum(len(ids) - 1 for ids in found)
    for after, ids, expected in zip(AFTERS, found, wanted, strict=True):
        assert_same_but_for_near_ties(single, behind(4, after), ids, expected)


def test_a_prefix_that_was_copied_for_requests_that_failed_is_right_in_a_context_that_grows(
    language: Path, single: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llama.cpp copies only when it decodes next; until then nothing may be read from the copy."""
    wanted = single.first_logits(behind(4, (290,)))
    with scheduled(language, 3) as scheduler, prefix_of(scheduler, 4) as prefix:
        decode, left = scheduler.model.lib.llama_decode, [1, 1]
        with monkeypatch.context() as failing:
            failing.setattr(scheduler.model.lib, "llama_decode", lambda *a: decode(*a) if left and left.pop() else -2)
            with scheduler.paused():
                streams = [scheduler.submit(Request(behind(4, after), GREEDY), prefix) for after in AFTERS]
            for stream in streams:
                with pytest.raises(ResourceExhausted):
                    stream.result()
        assert [len(keys) for keys in slots_of(scheduler)] == 3 * [N_PREFIX]
        scheduler.submit(Request(prompt(0), LONG)).result()  # in a larger context
        found = scheduler.first_logits(behind(4, (290,)), after=prefix)
        np.testing.assert_allclose(found, wanted, atol=NOISE, rtol=0)


# Scores


@pytest.mark.parametrize("n_slots", [1, 4])
def test_a_score_is_the_log_probability_of_each_given_token_behind_the_prefix(
    language: Path, single: Scheduler, n_slots: int
) -> None:
    given = {0: [(280, 281, 282, 283), (290,), (300, 301)], 1: [(280, 281), (280, 282, 290)], 2: [(310,)]}
    with scheduled(language, n_slots) as scheduler:
        prefixes = {number: prefix_of(scheduler, number) for number in given}
        pairs = [(prefixes[number], ids) for number, several in given.items() for ids in several]
        found = scheduler.score(pairs)
    wanted = [(number, ids) for number, several in given.items() for ids in several]
    assert [scores.shape for scores in found] == [(len(ids),) for _, ids in wanted]
    for scores, (number, ids) in zip(found, wanted, strict=True):
        along = log_probabilities(single.logits_along(Prompt((BEFORE, image(number))), ids[:-1]))
        np.testing.assert_allclose(scores, along[np.arange(len(ids)), list(ids)], atol=1e-3, rtol=0)
        assert (scores < 0).all()


def test_scores_together_differ_from_those_of_each_pair_alone_by_noise_only(language: Path) -> None:
    with scheduled(language, 4) as scheduler:
        one, other = prefix_of(scheduler, 1), prefix_of(scheduler, 2)
        pairs = [(prefix, (280 + n, 281 + n, 282)) for n in range(5) for prefix in (one, other)]
        for scores, pair in zip(scheduler.score(pairs), pairs, strict=True):
            np.testing.assert_allclose(scores, scheduler.score([pair])[0], atol=NOISE, rtol=0)


def test_a_score_costs_the_given_tokens_alone(language: Path, decodes: list[list[Span]]) -> None:
    with scheduled(language, 4) as scheduler, prefix_of(scheduler, 1) as prefix:
        n_positions(decodes)
        scheduler.score([(prefix, (280, 281, 282)), (prefix, (290, 291))])
        assert n_positions(decodes) == 1 + 2 + 1  # the last token of the prefix, then all but the last of each


def test_to_score_nothing_gives_nothing(language: Path) -> None:
    with scheduled(language, 2) as scheduler, prefix_of(scheduler, 1) as prefix:
        assert scheduler.score([]) == []
        assert [scores.shape for scores in scheduler.score([(prefix, ()), (prefix, (290,))])] == [(0,), (1,)]
