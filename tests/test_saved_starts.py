"""The constant start of a prompt, kept from one process to the next: only ever the same bits, sooner."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from tests.tiny import N_EMBD, write_language
from xraygpt_edge.devices import Device
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.llama import LlamaContext, Span
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.saved_starts import ENDING, FILES_MAX, SavedStarts, saved
from xraygpt_edge.generation.scheduler import Scheduler

CPU = Device("cpu", 1)
START = (1, 270, 271, 272, 280)
KEYS = np.array(START, np.int64)


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language(tmp_path_factory.mktemp("language") / "language-F32.gguf")


@pytest.fixture(autouse=True)
def the_tiny_model_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xraygpt_edge.generation.core.LARGE_BYTES", 0)


@pytest.fixture
def starts(tmp_path: Path) -> SavedStarts:
    return SavedStarts(tmp_path / "cache" / "starts", "identity")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Positions of each decode from now on."""
    counts: list[int] = []
    decode = LlamaContext.decode

    def counted(self: LlamaContext, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        counts.append(sum(len(span.content) for span in spans))
        return decode(self, spans)

    monkeypatch.setattr(LlamaContext, "decode", counted)
    return counts


def prompt(number: int, start: tuple[int, ...] = START) -> Prompt:
    image = np.random.default_rng(number).normal(size=(3, N_EMBD)).astype(np.float32)
    return Prompt((start, image, (272, 273)))


def opened(language: Path, starts: SavedStarts | None, n_slots: int = 1) -> Scheduler:
    return Scheduler.load(language, CPU, CoreOptions(Capacity(n_slots), starts=starts))


def first_logits(language: Path, starts: SavedStarts | None, number: int = 0, n_slots: int = 1) -> NDArray[np.float32]:
    """In a new process, as far as the model can tell."""
    scheduler = opened(language, starts, n_slots)
    logits = scheduler.first_logits(prompt(number))
    scheduler.close()
    return logits


def only_file(starts: SavedStarts) -> Path:
    (file,) = starts.folder.iterdir()
    return file


def test_what_was_written_is_read_for_the_same_tokens_and_identity_alone(starts: SavedStarts) -> None:
    assert starts.read(KEYS) is None
    starts.write(KEYS, b"state")
    assert starts.read(KEYS) == b"state"
    assert starts.read(KEYS[:-1]) is None
    assert starts.read(KEYS + 1) is None
    assert SavedStarts(starts.folder, "another").read(KEYS) is None
    starts.write(KEYS, b"")
    assert starts.read(KEYS) == b""


@pytest.mark.skipif(os.name == "nt", reason="no such modes on Windows")
def test_only_the_user_may_read_the_folder(starts: SavedStarts) -> None:
    starts.write(KEYS, b"state")
    assert starts.folder.stat().st_mode & 0o077 == 0


def test_logits_are_equal_to_the_bit_with_and_without_the_file_and_the_start_is_not_computed_again(
    language: Path, starts: SavedStarts, decoded: list[int]
) -> None:
    without = first_logits(language, starts, 0)
    assert decoded == [len(START), 5]
    decoded.clear()
    np.testing.assert_array_equal(first_logits(language, starts, 0), without)
    assert decoded == [5]
    other = first_logits(language, starts, 1)
    only_file(starts).unlink()
    np.testing.assert_array_equal(first_logits(language, starts, 1), other)


def test_with_saved_starts_logits_differ_by_noise_only_from_those_without_any(
    language: Path, starts: SavedStarts
) -> None:
    for _ in range(2):
        np.testing.assert_allclose(first_logits(language, starts), first_logits(language, None), atol=1e-3, rtol=0)


def test_among_several_the_start_is_computed_once_and_no_file_is_read_or_written(
    language: Path, starts: SavedStarts, decoded: list[int]
) -> None:
    first_logits(language, starts, n_slots=3)
    assert decoded == [len(START), 5]
    assert not starts.folder.exists()


def test_a_small_model_saves_nothing(language: Path, starts: SavedStarts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    first_logits(language, starts)
    assert not starts.folder.exists()


def test_a_prompt_without_an_image_saves_nothing(language: Path, starts: SavedStarts) -> None:
    scheduler = opened(language, starts)
    scheduler.first_logits(Prompt(((1, 270, 271, 290),)))
    scheduler.close()
    assert not starts.folder.exists()


def test_nothing_but_the_words_before_the_image_decides_what_is_saved(language: Path, tmp_path: Path) -> None:
    contents = []
    for number in range(3):
        starts = SavedStarts(tmp_path / str(number), "identity")
        scheduler = opened(language, starts)
        if number == 2:  # another request was answered before
            scheduler.submit(Request(Prompt(((1, 290, 291, 292, 293, 294),)), Sampling(max_tokens=9))).result()
        scheduler.submit(Request(prompt(number), Sampling(max_tokens=5))).result()
        scheduler.close()
        contents.append((only_file(starts).name, only_file(starts).read_bytes()))
    assert contents[0] == contents[1] == contents[2]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def longer(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


def one_bit_turned(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-7] ^= 4
    file.write_bytes(data)


def one_bit_of_the_hash_turned(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[60] ^= 1
    file.write_bytes(data)


def link(file: Path) -> None:
    other = file.with_suffix(".other")
    file.rename(other)
    file.symlink_to(other)


def link_to_nothing(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.with_suffix(".nothing"))


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def file_of_another_start(file: Path) -> None:
    SavedStarts(file.parent, "another").write(KEYS, file.read_bytes()[-100:])
    (other,) = set(file.parent.iterdir()) - {file}
    other.replace(file)


def file_where_the_folder_should_be(file: Path) -> None:
    file.unlink()
    file.parent.rmdir()
    file.parent.write_bytes(b"")


def folder_that_nobody_may_read(file: Path) -> None:
    file.parent.chmod(0)


DAMAGE = [cut, emptied, longer, one_bit_turned, one_bit_of_the_hash_turned, file_of_another_start]
ODD_THINGS = [link, link_to_nothing, folder, pipe, file_where_the_folder_should_be, folder_that_nobody_may_read]


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of Linux")
@pytest.mark.parametrize("broken", [*DAMAGE, *ODD_THINGS])
def test_whatever_lies_in_the_place_of_the_file_the_logits_are_the_same(
    language: Path, starts: SavedStarts, broken: Callable[[Path], None]
) -> None:
    expected = first_logits(language, starts)
    broken(only_file(starts))
    open_files = psutil.Process().num_fds()
    try:
        np.testing.assert_array_equal(first_logits(language, starts), expected)
        np.testing.assert_array_equal(first_logits(language, starts), expected)
    finally:
        if starts.folder.is_dir():
            starts.folder.chmod(0o700)
    assert psutil.Process().num_fds() <= open_files


@pytest.mark.parametrize("broken", DAMAGE)
def test_a_damaged_file_is_not_used_and_a_whole_one_takes_its_place(
    language: Path, starts: SavedStarts, decoded: list[int], broken: Callable[[Path], None]
) -> None:
    first_logits(language, starts)
    whole = only_file(starts).read_bytes()
    broken(only_file(starts))
    decoded.clear()
    first_logits(language, starts)
    assert decoded == [len(START), 5]
    assert only_file(starts).read_bytes() == whole


@pytest.mark.skipif(os.name == "nt", reason="links of Linux")
def test_a_link_is_never_followed_to_write(language: Path, starts: SavedStarts, tmp_path: Path) -> None:
    first_logits(language, starts)
    file, target = only_file(starts), tmp_path / "precious"
    target.write_text("precious")
    file.unlink()
    file.symlink_to(target)
    first_logits(language, starts)
    assert target.read_text() == "precious"
    assert not file.is_symlink()


def test_the_oldest_files_leave(starts: SavedStarts) -> None:
    for number in range(FILES_MAX + 3):
        starts.write(KEYS + number, b"state")
        os.utime(saved(starts.folder)[0], ns=(number, number))
        (starts.folder / "of-somebody-else.txt").write_text("stays")
    assert len(saved(starts.folder)) == FILES_MAX
    assert [starts.read(KEYS + number) is None for number in range(FILES_MAX + 3)] == [True] * 3 + [False] * FILES_MAX
    assert (starts.folder / "of-somebody-else.txt").exists()
    assert all(file.suffix == ENDING for file in saved(starts.folder))


def test_saved_starts_are_listed_the_latest_first_and_a_folder_that_is_not_there_is_empty(starts: SavedStarts) -> None:
    assert saved(starts.folder) == []
    for number in range(3):
        starts.write(KEYS + number, bytes([number]))
        os.utime(saved(starts.folder)[0], ns=(number, number))
    assert [file.read_bytes()[-1] for file in saved(starts.folder)] == [2, 1, 0]


def test_a_start_that_is_read_never_changes_another_that_is_copied_at_the_same_time(
    language: Path, starts: SavedStarts
) -> None:
    """llama.cpp copies only when it decodes next; until then nothing may be put over what is copied."""
    asked = [prompt(1), prompt(2, (1, 300, 301, 302, 303, 304))]
    before = opened(language, starts, n_slots=3)  # saves both starts
    expected = [before.submit(Request(one, Sampling(max_tokens=12))).result().token_ids for one in asked]
    before.close()
    scheduler = opened(language, starts, n_slots=3)
    with scheduler.prefill(Prompt(prompt(3).segments[:2])):
        lasting = scheduler.submit(Request(Prompt(((1, 290, 291),)), Sampling(max_tokens=300)))
        next(lasting)
        with scheduler.paused():
            streams = [scheduler.submit(Request(one, Sampling(max_tokens=12))) for one in asked]
        found = [stream.result().token_ids for stream in streams]
    scheduler.close()
    assert found == expected
