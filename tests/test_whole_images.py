"""A language model that looks at all rows of an image at once, with windows: alone, forked, among many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import write_language as write_llama
from tests.tiny_gemma import NAMED, TOKENS, WIDTH, WINDOW, write_language
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, XrayGPTError
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.embedding_table import EmbeddingTable
from xraygpt_edge.generation.gguf_file import cache_bytes
from xraygpt_edge.generation.llama import LlamaContext, LlamaModel, Span
from xraygpt_edge.generation.packing import N_BATCH
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.saved_starts import SavedStarts
from xraygpt_edge.generation.scheduler import Scheduler

CPU = Device("cpu", 1)
NOISE = 1e-3
"""Of logits in another company: keys and values are in fp16."""
BEFORE = (1, *range(260, 280))
"""Longer than the window."""
AFTER = (*range(281, 300), 262, 275)
ROWS = 12
THINK, THOUGHT = (len(TOKENS) - len(NAMED) + NAMED.index(text) for text in ("<unused94>", "<unused95>"))


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language(tmp_path_factory.mktemp("language") / "language-F32.gguf")


@contextlib.contextmanager
def opened(
    language: Path, n_slots: int = 1, most_slots: int = 1, n_ctx: int = 256, **more: object
) -> Iterator[Scheduler]:
    scheduler = Scheduler.load(language, CPU, CoreOptions(Capacity(n_slots, most_slots, n_ctx), **more))  # type: ignore[arg-type]
    yield scheduler
    scheduler.close()


@pytest.fixture(scope="module")
def single(language: Path) -> Iterator[Scheduler]:
    """One at a time."""
    with opened(language) as scheduler:
        yield scheduler


def image(number: int, rows: int = ROWS) -> NDArray[np.float32]:
    return np.random.default_rng(number).normal(size=(rows, WIDTH)).astype(np.float32)


def prompt(number: int, *behind: int, rows: int = ROWS) -> Prompt:
    return Prompt((BEFORE, image(number, rows), (*AFTER, *behind)))


def fresh(language: Path, asked: Prompt) -> NDArray[np.float32]:
    """First logits of a prompt by a scheduler that has computed nothing else."""
    with opened(language) as scheduler:
        return scheduler.first_logits(asked)


def ids(scheduler: Scheduler, asked: Sequence[Prompt], tokens: int = 30) -> list[tuple[int, ...]]:
    with scheduler.paused():
        streams = [scheduler.submit(Request(each, Sampling(max_tokens=tokens))) for each in asked]
    return [stream.result().token_ids for stream in streams]


def whole_images(decodes: list[list[Span]]) -> list[list[Span]]:
    return [spans for spans in decodes if any(span.is_whole_image for span in spans)]


def test_words_before_an_image_the_image_and_the_words_behind_it_are_three_decodes(
    single: Scheduler, decodes: list[list[Span]]
) -> None:
    single.first_logits(prompt(0))
    assert [[len(span.content) for span in spans] for spans in decodes] == [[len(BEFORE)], [ROWS], [len(AFTER)]]
    assert [spans[0].is_whole_image for spans in decodes] == [False, True, False]


def test_a_llama_computes_its_prompt_in_one_decode_as_before(tmp_path: Path, decodes: list[list[Span]]) -> None:
    with opened(write_llama(tmp_path / "language-F32.gguf", width=64)) as scheduler:
        scheduler.first_logits(Prompt((BEFORE, np.ones((3, 64), np.float32), AFTER)))
    assert [len(spans) for spans in decodes] == [1]


def test_the_first_row_of_an_image_sees_the_last_one_and_the_first_word_does_not(language: Path) -> None:
    model = LlamaModel(language, CPU)
    context = LlamaContext(model, 256, 64, 1)

    def first(last: float, *, is_whole_image: bool) -> NDArray[np.float32]:
        rows = image(1)
        rows[-1] += last
        context.clear()
        return context.decode([Span(rows, 0, n_logits=ROWS, is_whole_image=is_whole_image)])[0][0]

    assert np.abs(first(0, is_whole_image=True) - first(1, is_whole_image=True)).max() > NOISE
    np.testing.assert_array_equal(first(0, is_whole_image=False), first(1, is_whole_image=False))
    context.close()
    model.close()


def test_words_that_are_given_as_rows_are_computed_as_llama_cpp_computes_their_token_ids(language: Path) -> None:
    model = LlamaModel(language, CPU)
    table, token_ids = EmbeddingTable(language, WIDTH, model.word_scale), np.array(BEFORE, np.int32)
    context = LlamaContext(model, 256, 64, 1)
    (by_ids,) = context.decode([Span(token_ids, 0, n_logits=len(BEFORE))])
    context.clear()
    (by_rows,) = context.decode([Span(table.of(BEFORE), 0, n_logits=len(BEFORE))])
    np.testing.assert_array_equal(by_rows, by_ids)
    context.close()
    model.close()


def test_many_at_once_say_what_each_says_alone_whatever_the_lengths_of_their_images(
    language: Path, single: Scheduler, decodes: list[list[Span]]
) -> None:
    asked = [prompt(n, rows=ROWS - n // 2 % 2) for n in range(6)]
    alone = [ids(single, [each])[0] for each in asked]
    decodes.clear()
    with opened(language, 4) as scheduler:
        assert ids(scheduler, asked) == alone
    images = whole_images(decodes)
    assert all(len({span.kind for span in spans}) == 1 for spans in images)
    assert max(map(len, images)) > 1


def test_a_decode_never_mixes_an_image_with_words_or_with_a_longer_image(language: Path) -> None:
    model = LlamaModel(language, CPU)
    context = LlamaContext(model, 256, 64, 1, n_sequences=2)
    spans = [Span(image(n, rows), 0, n, is_whole_image=True) for n, rows in enumerate((4, 5))]
    with pytest.raises(ValueError, match="several kinds"):
        context.decode(spans)
    with pytest.raises(ValueError, match="several kinds"):
        context.decode([spans[0], Span(image(1, 4), 0, 1)])
    context.close()
    model.close()


@pytest.mark.parametrize("n_slots", [1, 3])
def test_what_continues_a_prefix_gives_what_each_gives_alone(
    language: Path, n_slots: int, decodes: list[list[Span]]
) -> None:
    given = [[270 + (k + n) % 5 for n in range(1 + k % 4)] for k in range(20)]
    alone = np.stack([fresh(language, prompt(3, *each)) for each in given])
    with opened(language, n_slots) as scheduler:
        begun = Prefix(prompt(3))
        scheduler.submit(Request(prompt(3, 279), Sampling(max_tokens=25)), leaving=begun).result()
        decodes.clear()
        together = scheduler.first_logits_behind(begun, given)
    np.testing.assert_allclose(together, alone, atol=NOISE, rtol=0)
    assert len(whole_images(decodes)) <= (1 if n_slots > 1 else 0)


@pytest.mark.parametrize("n_slots", [1, 3])
def test_logits_behind_the_last_row_of_an_image_are_of_the_whole_image(language: Path, n_slots: int) -> None:
    given = [[281, 282], [281, 283, 284], [290]]
    with opened(language) as scheduler:
        alone = [scheduler.score([(Prefix(Prompt((BEFORE, image(4)))), each)])[0] for each in given]
    with opened(language, n_slots) as scheduler:
        prefix = Prefix(Prompt((BEFORE, image(4))))
        together = scheduler.score([(prefix, each) for each in given])
    for one, other, each in zip(alone, together, given, strict=True):
        np.testing.assert_allclose(one, other, atol=NOISE, rtol=0)
        logits = fresh(language, Prompt((BEFORE, image(4))))
        assert one[0] == pytest.approx(logits[each[0]] - np.log(np.exp(logits.astype(float)).sum()), abs=NOISE)


def test_what_is_kept_of_a_longer_prompt_is_right_when_it_is_cut(language: Path) -> None:
    with opened(language) as scheduler:
        kept = scheduler.prefill(prompt(5, *range(260, 300)))
        for asked in (prompt(5, 270), Prompt((BEFORE, image(5), (290, 291))), Prompt((BEFORE, image(6), (290, 291)))):
            found = scheduler.first_logits(asked, after=kept)
            np.testing.assert_allclose(found, fresh(language, asked), atol=NOISE, rtol=0)


def test_what_goes_from_one_context_to_another_is_right_when_it_is_cut_there(language: Path) -> None:
    """A state holds of layers with a window no more than its own next position needs."""
    with opened(language) as scheduler:
        kept = scheduler.prefill(prompt(7, *range(260, 300)))
        n_ctx = scheduler.n_ctx
        scheduler.first_logits(prompt(7, *(n_ctx * (270,))), after=kept)  # a larger context takes over what is pinned
        assert scheduler.n_ctx > n_ctx
        for behind in ((*range(260, 300), 271), (*range(260, 290), 271), (271,)):
            found = scheduler.first_logits(prompt(7, *behind), after=kept)
            np.testing.assert_allclose(found, fresh(language, prompt(7, *behind)), atol=NOISE, rtol=0)


def test_a_slot_that_moves_into_a_gap_goes_on_as_if_it_had_not(language: Path, single: Scheduler) -> None:
    asked = [prompt(n) for n in range(5)]
    alone = [ids(single, [each], 40)[0] for each in asked]
    with opened(language, 3) as scheduler:
        with scheduler.paused():
            streams = [scheduler.submit(Request(each, Sampling(max_tokens=5 + 7 * n))) for n, each in enumerate(asked)]
        found = [stream.result().token_ids for stream in streams]
    assert found == [answer[: 5 + 7 * n] for n, answer in enumerate(alone)]


def test_a_start_that_an_earlier_process_computed_changes_no_answer(
    language: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decodes: list[list[Span]]
) -> None:
    monkeypatch.setattr("xraygpt_edge.generation.core.LARGE_BYTES", 0)
    starts = SavedStarts(tmp_path / "starts", "identity")
    found, positions = [], []
    for asked in (prompt(8), prompt(9), Prompt((BEFORE[:-2], image(8), AFTER))):
        decodes.clear()
        with opened(language, starts=starts) as scheduler:
            found.append(scheduler.first_logits(asked))
        positions.append(sum(len(span.content) for spans in decodes for span in spans))
    assert positions[0] - positions[1] == len(BEFORE)
    for asked, logits in zip((prompt(8), prompt(9), Prompt((BEFORE[:-2], image(8), AFTER))), found, strict=True):
        np.testing.assert_allclose(logits, fresh(language, asked), atol=NOISE, rtol=0)


def test_an_image_longer_than_a_decode_gets_a_longer_decode(tmp_path: Path, decodes: list[list[Span]]) -> None:
    language, asked = write_language(tmp_path / "language-F32.gguf", window=40), prompt(1, rows=40)
    with opened(language, n_batch=16) as short, opened(language, n_batch=N_BATCH) as long:
        short.first_logits(Prompt((BEFORE, AFTER)))
        decodes.clear()
        found = short.first_logits(asked)
        assert len(whole_images(decodes)) == 1
        np.testing.assert_allclose(found, long.first_logits(asked), atol=NOISE, rtol=0)
        assert ids(short, [asked, prompt(2, rows=40)]) == ids(long, [asked, prompt(2, rows=40)])


def test_an_image_longer_than_the_window_is_refused_and_the_next_one_answered(single: Scheduler) -> None:
    with pytest.raises(BundleIncompatible) as caught:
        single.first_logits(prompt(0, rows=WINDOW + 1))
    assert caught.value.error_id == "E-BND-027"
    assert f"{WINDOW + 1} image embeddings, a window of {WINDOW}" in str(caught.value)
    assert np.isfinite(single.first_logits(prompt(0, rows=WINDOW))).all()


def test_the_cache_is_counted_by_the_width_of_the_heads(language: Path) -> None:
    model = LlamaModel(language, CPU)
    assert model.kv_bytes == cache_bytes(language) == 2 * 4 * 2 * 32
    model.close()


def test_what_a_model_thinks_aloud_is_counted_and_not_shown(language: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = [TOKENS.index(letter) for letter in "no"]
    said = [THINK, *(TOKENS.index(letter) for letter in "hm"), THOUGHT, *spoken, 2]
    script = iter(said)
    monkeypatch.setattr("xraygpt_edge.generation.scheduler.sampler", lambda _: lambda _: next(script))
    with opened(language, thinking=("<unused94>", "<unused95>")) as scheduler:
        stream = scheduler.submit(Request(prompt(0), Sampling(max_tokens=30)))
        pieces = "".join(piece.text for piece in stream)
        generation = stream.result()
        told = scheduler.pieces(said)
    assert (generation.text, pieces) == ("no", "no")
    assert generation.token_ids == tuple(said)
    assert b"".join(told) == b"".join(signal.piece for signal in generation.signals) == b"no"


def test_a_model_that_thinks_to_its_end_says_nothing_and_is_told_to_be_cut(
    language: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = iter([THINK, *[270] * 50])
    monkeypatch.setattr("xraygpt_edge.generation.scheduler.sampler", lambda _: lambda _: next(script))
    with opened(language, thinking=("<unused94>", "<unused95>")) as scheduler:
        generation = scheduler.submit(Request(prompt(0), Sampling(max_tokens=9))).result()
    assert (generation.text, generation.finish_reason, len(generation.token_ids)) == ("", "length", 9)


def test_tokens_for_thinking_that_a_vocabulary_lacks_are_refused_when_it_is_loaded(language: Path) -> None:
    with pytest.raises(XrayGPTError) as caught, opened(language, thinking=("<think>", "</think>")):
        pass
    assert caught.value.error_id == "E-BND-026"
