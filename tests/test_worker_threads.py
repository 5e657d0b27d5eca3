"""One reader for many threads: each gets its own file's picture, whoever starts, closes or interrupts meanwhile."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.drawn_dicom import as_bytes, chest, dataset
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.isolated.process import ENTRY

SIZES = [(96, 80), (70, 120), (128, 72), (75, 75), (80, 160), (150, 90)]


@pytest.fixture
def no_child_left() -> Iterator[None]:
    """Fails where a process of this test is still there a moment after it."""
    before = set(psutil.Process().children())
    yield
    gc.collect()
    _, left = psutil.wait_procs(set(psutil.Process().children()) - before, timeout=3)
    assert left == []


def film(rows: int, columns: int) -> bytes:
    return as_bytes(dataset(chest(rows, columns)))


def large() -> bytes:
    """Takes long enough to be interrupted in the middle of sending, decoding and receiving."""
    return as_bytes(dataset(np.tile(chest(500, 500, 65535), (8, 10)), BitsStored=16, HighBit=15))


def again_and_again(what: Callable[[], object], stop: threading.Event) -> None:
    while not stop.is_set():
        what()
        time.sleep(0.02)


@pytest.mark.long
@pytest.mark.usefixtures("no_child_left")
def test_threads_get_their_own_pictures_while_others_start_close_and_look(tmp_path: Path) -> None:
    films = [film(*size) for size in SIZES]
    paths = [tmp_path / f"{n}.dcm" for n in range(len(films))]
    for path, data in zip(paths, films, strict=True):
        path.write_bytes(data)
    reader, stop = Reader(), threading.Event()
    disturbing = (reader.start, reader.close, lambda: reader.protection)
    others = [threading.Thread(target=again_and_again, args=(what, stop)) for what in disturbing]

    def read(n: int) -> tuple[int, ...]:
        return reader.read((paths if n % 2 else films)[n % len(SIZES)]).pixels.shape

    for thread in others:
        thread.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            shapes = list(pool.map(read, range(48)))
    finally:
        stop.set()
        for thread in others:
            thread.join()
        reader.close()
    assert shapes == [SIZES[n % len(SIZES)] for n in range(48)]


@pytest.mark.usefixtures("no_child_left")
def test_a_refusal_goes_to_the_thread_whose_file_it_is() -> None:
    def read(n: int) -> object:
        try:
            return reader.read(b"GIF89a" if n % 3 == 0 else film(*SIZES[n % len(SIZES)])).pixels.shape
        except InputRefused as refusal:
            return refusal.error_id

    with Reader() as reader, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read, range(30)))
    assert found == ["E-IMG-012" if n % 3 == 0 else SIZES[n % len(SIZES)] for n in range(30)]


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.usefixtures("no_child_left")
def test_an_interrupt_in_one_thread_gives_the_next_one_no_picture_of_another_file() -> None:
    wide, small = large(), film(*SIZES[0])
    with Reader() as reader:
        assert reader.read(small).pixels.shape == SIZES[0]
        for delay_s in np.linspace(0.0, 0.4, 9):
            timer = threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                timer.start()
                reader.read(wide)
                time.sleep(5)  # it was read before the signal came
            timer.join()
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(reader.read, small).result().pixels.shape == SIZES[0]


@pytest.mark.usefixtures("no_child_left")
def test_a_child_outlives_the_thread_that_first_needed_it() -> None:
    reader = Reader()
    for _ in range(2):
        thread = threading.Thread(target=lambda: reader.read(film(*SIZES[0])))
        thread.start()
        thread.join()
    first = reader._child._process.pid
    time.sleep(0.2)
    assert reader.read(film(*SIZES[1])).pixels.shape == SIZES[1]
    assert reader._child._process.pid == first
    reader.close()


def test_starting_does_not_wait_for_a_file_that_another_thread_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = "import time; from xraygpt_edge.imaging import images; images.read_with_account = lambda *a: time.sleep(60)"
    begin, serve = ENTRY.rsplit("; ", 1)
    monkeypatch.setattr("xraygpt_edge.imaging.isolated.process.ENTRY", f"{begin}; {slow}; {serve}")
    reader = Reader(deadline_s=1.5)
    assert reader.protection
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(reader.read, b"x")
        time.sleep(0.3)
        began_s = time.monotonic()
        reader.start()
        assert time.monotonic() - began_s < 0.25
        assert isinstance(reading.exception(), InputRefused)
    reader.close()
