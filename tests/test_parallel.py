"""Many radiographs in one context: each is answered as if it were alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.near_ties import first_doubt
from tests.tiny import N_EMBD, write_language
from xraygpt_edge.decoder import Decoder, PromptIds, padded
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, UnusableOutput, UsageError
from xraygpt_edge.generation.llama import LlamaContext, Span
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.parallel import ParallelDecoder, Shape, packed, places_for

CPU = Device("cpu", 1)
BEFORE = (1, 270, 271, 272, 280)
AFTERS = ((272, 273), (261, 262, 263, 264, 265), (290,))
N_ROWS = 2
SHAPE = Shape(BEFORE, N_ROWS, max(map(len, AFTERS)), 12)
GREEDY = Sampling(max_tokens=SHAPE.max_tokens)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decoder]:
    decoder = Decoder.load(write_language(tmp_path_factory.mktemp("language") / "language-F32.gguf"), CPU)
    yield decoder
    decoder.close()


def request(number: int) -> tuple[PromptIds, NDArray[np.float32]]:
    rows = np.random.default_rng(number).normal(size=(N_ROWS, N_EMBD)).astype(np.float32)
    return PromptIds(BEFORE, AFTERS[number % len(AFTERS)]), rows


def alone(decoder: Decoder, number: int, sampling: Sampling = GREEDY) -> list[int]:
    return [token.id for token in decoder.generate(*request(number), sampling)]


def together(
    decoder: Decoder, numbers: list[int], places: int, sampling: Sampling = GREEDY, n_batch: int = 512
) -> list[list[int]]:
    """Every request's tokens; a place that becomes free is filled at once."""
    parallel = ParallelDecoder.create(decoder, CPU, SHAPE, places, n_batch)
    waiting, answers = deque(enumerate(numbers)), [[] for _ in numbers]
    while waiting or parallel.busy:
        while waiting and parallel.free:
            name, number = waiting.popleft()
            parallel.add(name, *request(number), sampling)
        for name, token in list(parallel.step()):
            answers[name].append(token.id)
            # Answers of different lengths, so that sequences come and go at different times.
            if token.is_end or len(answers[name]) == sampling.max_tokens - numbers[name] % 5:
                parallel.drop(name)
    parallel.close()
    return answers


@pytest.mark.parametrize("places", [1, 2, 3, 7, 16])
def test_answers_are_the_ones_that_each_gets_alone(decoder: Decoder, places: int) -> None:
    numbers = list(range(20))
    answers = together(decoder, numbers, places)
    expected = [alone(decoder, n)[: GREEDY.max_tokens - n % 5] for n in numbers]
    different = [n for n in numbers if answers[n] != expected[n]]
    assert len(different) <= (0 if places == 1 else 2)
    for n in different:
        sure = first_doubt(decoder, *request(n), expected[n], noise=1e-3)  # keys and values are in fp16
        assert sure is not None
        assert answers[n][:sure] == expected[n][:sure]


def test_sequences_are_computed_as_neighbours_however_answers_end(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[list[int]] = []
    decode = LlamaContext.decode

    def recorded(self: LlamaContext, spans: Sequence[Span]) -> None:
        computed.append([span.sequence for span in spans])
        decode(self, spans)

    monkeypatch.setattr(LlamaContext, "decode", recorded)
    together(decoder, list(range(20)), 7)
    assert all(there == list(range(there[0], there[0] + len(there))) for there in computed)


def test_a_request_may_be_dropped_before_it_is_computed(decoder: Decoder) -> None:
    parallel = ParallelDecoder.create(decoder, CPU, SHAPE, 2)
    parallel.add("gone", *request(0), GREEDY)
    parallel.add("stays", *request(1), GREEDY)
    with pytest.raises(ValueError, match="taken"):
        parallel.add("too many", *request(2), GREEDY)
    parallel.drop("gone")
    ((name, token),) = parallel.step()
    assert (name, token.id) == ("stays", alone(decoder, 1)[0])
    parallel.close()


@pytest.mark.parametrize("places", [1, 2, 4])
def test_a_b_a_gives_the_same_answer_twice_and_b_alone_is_b_after_a(decoder: Decoder, places: int) -> None:
    first, second, third = together(decoder, [0, 5, 0], places)
    assert first == third
    assert together(decoder, [5], places) == [second]


def test_drawn_answers_one_after_another_are_the_ones_that_each_gets_alone(decoder: Decoder) -> None:
    sampling = Sampling(temperature=1.0, max_tokens=SHAPE.max_tokens, seed=4)
    numbers = [0, 1, 2, 3]
    expected = [alone(decoder, n, sampling)[: sampling.max_tokens - n % 5] for n in numbers]
    assert together(decoder, numbers, 1, sampling) == expected


def test_prompts_longer_than_a_batch_are_cut_and_give_the_same_answers(decoder: Decoder) -> None:
    assert together(decoder, list(range(6)), 4, n_batch=5) == together(decoder, list(range(6)), 4)


def test_only_a_span_longer_than_a_batch_is_cut_and_only_its_end_wants_logits() -> None:
    spans = [Span(np.arange(5, dtype=np.int32), 10, 1, wants_logits=True), Span(np.arange(2, dtype=np.int32), 0, 2)]
    batches = [[(len(s.content), s.start, s.sequence, s.wants_logits) for s in batch] for batch in packed(spans, 3)]
    assert batches == [[(3, 10, 1, False)], [(2, 13, 1, True)], [(2, 0, 2, False)]]


def test_nan_in_one_radiograph_is_refused_and_its_neighbour_is_answered(decoder: Decoder) -> None:
    parallel = ParallelDecoder.create(decoder, CPU, SHAPE, 2)
    ids, rows = request(1)
    parallel.add("good", ids, rows, GREEDY)
    with pytest.raises(UnusableOutput, match="image rows"):
        parallel.add("bad", ids, np.full_like(rows, np.nan), GREEDY)
    ((name, token),) = parallel.step()
    assert (name, token.id) == ("good", alone(decoder, 1)[0])
    parallel.close()


def test_weights_with_nan_give_an_error_for_each(tmp_path: Path) -> None:
    decoder = Decoder.load(write_language(tmp_path / "nan.gguf", nan=True), CPU)
    parallel = ParallelDecoder.create(decoder, CPU, SHAPE, 2)
    parallel.add("a", *request(0), GREEDY)
    parallel.add("b", *request(1), GREEDY)
    assert all(isinstance(outcome, UnusableOutput) for _, outcome in parallel.step())
    parallel.close()
    decoder.close()


def test_rows_of_another_width_are_refused_before_llama_reads_past_them(decoder: Decoder) -> None:
    parallel = ParallelDecoder.create(decoder, CPU, SHAPE, 1)
    with pytest.raises(BundleIncompatible, match=str(N_EMBD)):
        parallel.add("a", request(0)[0], np.zeros((N_ROWS, N_EMBD // 2), np.float32), GREEDY)
    parallel.close()


def test_a_job_that_cannot_fit_the_context_is_refused_before_anything_is_decoded(decoder: Decoder) -> None:
    with pytest.raises(UsageError, match="positions"):
        ParallelDecoder.create(decoder, CPU, Shape(BEFORE, N_ROWS, 3, 600), 2)


def test_places_follow_memory_and_cores_and_are_never_none(decoder: Decoder) -> None:
    one = 2 * padded(SHAPE.positions) * decoder.model.kv_bytes
    assert places_for(decoder.model, CPU, SHAPE, 0, 1000) == 1
    assert places_for(decoder.model, CPU, SHAPE, 3 * one, 1000) == 3
    assert places_for(decoder.model, CPU, SHAPE, 10**12, 1000) == 16
    assert places_for(decoder.model, CPU, SHAPE, 10**12, 5) == 5
    assert places_for(decoder.model, Device("cpu", 64), SHAPE, 10**12, 1000) == 64


def test_logits_in_company_differ_from_those_alone_by_noise_only(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    parallel = ParallelDecoder.create(decoder, CPU, SHAPE, 8)
    chosen_from: list[NDArray[np.float32]] = []
    monkeypatch.setattr("xraygpt_edge.parallel.chooser", lambda _: lambda logits: chosen_from.append(logits) or 0)
    for number in range(8):
        parallel.add(number, *request(number), GREEDY)
    list(parallel.step())
    parallel.close()
    for number, logits in enumerate(chosen_from):
        np.testing.assert_allclose(logits, decoder.first_logits(*request(number)), atol=1e-4, rtol=0)
