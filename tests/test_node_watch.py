"""A watched folder: each file is taken whole, once, and at no other file's cost; it goes when its results are safe."""

# ruff: noqa: F811 - fixtures of other files are imported by their names

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from tests.drawn_dicom import as_bytes, chest, dataset
from tests.node import Node, film, no_film, running, until
from tests.test_node_ends import queue, small  # noqa: F401 - a fixture
from tests.test_node_work import reader  # noqa: F401 - a fixture
from tests.tiny import write_bundle
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.node import films, keeping, letters, spool, watching
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.settings import Watch
from xraygpt_edge.node.watching import LOOK_S, STILL_S, TAKING_S, Watching

FILES = int(os.environ.get("NODE_FILES", "20000"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


Watch_with = Callable[..., Watching]


@pytest.fixture
def patient_watch(tmp_path: Path, queue: Database, reader: Reader, folder: Path) -> Watch_with:
    """The folder's watcher, which looks as seldom as it always does."""
    place = spool.Spool(tmp_path / "data")

    def made(after: str = "keep", more: str = "", reader: Any = reader) -> Watching:
        return Watching(small(tmp_path, more), Watch(str(folder), after), queue, place, reader, place.secret())

    return made


@pytest.fixture
def watch_with(patient_watch: Watch_with, monkeypatch: pytest.MonkeyPatch) -> Watch_with:
    """One that believes a file at the second look, however soon that is."""
    monkeypatch.setattr(watching, "STILL_S", 0.0)
    monkeypatch.setattr(watching, "LOOK_S", 0.0)
    return patient_watch


class Clock:
    """The watcher's time, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    return clock


def looks(watch: Watching, n: int) -> None:
    for _ in range(n):
        watch.look()


def taken(queue: Database) -> list[str]:
    return [row["sha256"] for row in queue.rows("SELECT sha256 FROM films ORDER BY id")]


def test_a_file_is_taken_when_it_is_whole_and_once(
    folder: Path, watch_with: Watch_with, queue: Database, phantom: Path, tmp_path: Path
) -> None:
    whole = film(1, phantom, tmp_path).read_bytes()
    (folder / "cut.dcm").write_bytes(whole[:5000])
    (folder / "half.dcm.part").write_bytes(whole)
    (folder / ".hidden.dcm").write_bytes(whole)
    (folder / "notes.txt").write_text("words")
    (folder / "link.dcm").symlink_to(tmp_path / "film-1.dcm")
    watch = watch_with()
    looks(watch, 3)
    assert taken(queue) == []
    (folder / "half.dcm.part").rename(folder / "half.dcm")
    looks(watch, 3)
    looks(watch_with(), 2)
    assert taken(queue) == [spool.file_hash(whole)]
    (folder / "cut.dcm").write_bytes(whole)
    looks(watch, 3)
    assert taken(queue) == [spool.file_hash(whole)], "the same film under another name"
    assert queue.value("SELECT copies FROM films") == 1
    assert {path.name for path in folder.iterdir()} >= {"cut.dcm", "half.dcm"}


def test_a_file_that_stays_cut_is_taken_after_ten_minutes_so_that_somebody_hears_of_it(
    folder: Path, watch_with: Watch_with, queue: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "cut.dcm").write_bytes(no_film(1, tmp_path).read_bytes())
    watch = watch_with()
    looks(watch, 2)
    assert taken(queue) == []
    monkeypatch.setattr(watching, "CUT_S", 0.0)
    looks(watch, 1)
    assert len(taken(queue)) == 1


def test_a_file_that_is_written_for_half_a_minute_is_taken_once_ten_seconds_after_its_end(
    folder: Path, patient_watch: Watch_with, queue: Database, phantom: Path, tmp_path: Path, clock: Clock
) -> None:
    whole, path, watch = film(1, phantom, tmp_path).read_bytes(), folder / "slow.dcm", patient_watch()
    pieces = [whole[start : start + len(whole) // 6 + 1] for start in range(0, len(whole), len(whole) // 6 + 1)]
    for piece in pieces:  # one every 5 s
        with path.open("ab") as stream:
            stream.write(piece)
        watch.look()
        clock.now += LOOK_S
    assert taken(queue) == []
    while not taken(queue):
        waited_s = clock.now
        watch.look()
        clock.now += LOOK_S
    assert waited_s == 1_000 + len(pieces) * LOOK_S - LOOK_S + STILL_S
    assert taken(queue) == [spool.file_hash(whole)]


def test_a_file_whose_writing_stops_for_minutes_is_not_taken_before_it_is_whole(
    folder: Path, patient_watch: Watch_with, queue: Database, phantom: Path, tmp_path: Path, clock: Clock
) -> None:
    whole, path, watch = film(1, phantom, tmp_path).read_bytes(), folder / "stalled.dcm", patient_watch()
    for part in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
        assert taken(queue) == []
        with path.open("ab") as stream:
            stream.write(part)
        for _ in range(36):  # 3 minutes
            watch.look()
            clock.now += LOOK_S
    assert taken(queue) == [spool.file_hash(whole)]


@pytest.mark.parametrize("replaced", ["by another file", "in its place"])
def test_a_file_that_is_replaced_while_it_is_read_is_taken_as_what_it_is_then(
    folder: Path,
    watch_with: Watch_with,
    queue: Database,
    phantom: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    replaced: str,
) -> None:
    before, after = (film(number, phantom, tmp_path).read_bytes() for number in (1, 2))
    assert len(before) == len(after)
    path, other, opened, reads = folder / "a.dcm", tmp_path / "other", os.fdopen, []
    path.write_bytes(before)
    os.utime(path, (1, 1))
    other.write_bytes(after)

    def reopened(handle: int, *how: Any, **more: Any) -> Any:
        if not reads:
            other.replace(path) if replaced == "by another file" else path.write_bytes(after)
        reads.append(handle)
        return opened(handle, *how, **more)

    watch = watch_with()
    watch.look()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(watching.os, "fdopen", reopened)
        watch.look()
    assert reads
    assert taken(queue) == []
    looks(watch, 3)
    assert taken(queue) == [spool.file_hash(after)]


def test_a_file_that_is_replaced_when_it_has_been_read_is_two_films_each_of_them_whole(
    folder: Path, watch_with: Watch_with, queue: Database, phantom: Path, tmp_path: Path, reader: Reader
) -> None:
    before, after = (film(number, phantom, tmp_path).read_bytes() for number in (1, 2))
    path = folder / "a.dcm"
    path.write_bytes(before)
    os.utime(path, (1, 1))

    def read(data: bytes) -> Any:
        path.write_bytes(after)
        return reader.read(data)

    watch = watch_with(reader=SimpleNamespace(read=read, identify=reader.identify))
    looks(watch, 2)
    assert taken(queue) == [spool.file_hash(before)]
    watch.reader = reader
    looks(watch, 3)
    assert taken(queue) == [spool.file_hash(before), spool.file_hash(after)]


@pytest.mark.parametrize("after", ["move", "delete"])
def test_a_file_is_put_away_when_its_results_have_arrived_and_not_before(
    folder: Path, watch_with: Watch_with, queue: Database, phantom: Path, tmp_path: Path, after: str
) -> None:
    (folder / "a.dcm").write_bytes(film(1, phantom, tmp_path).read_bytes())
    watch = watch_with(after)
    looks(watch, 2)
    made = [films.Made("pacs", "dicom-sr", "sr.dcm", "a")]
    films.settle(queue, films.next_film(queue, []), films.State.ANSWERED, made)
    watch.look()
    assert (folder / "a.dcm").exists()
    with queue.change() as cursor:
        cursor.execute("UPDATE deliveries SET state = 'done'")
    watch.look()
    assert not (folder / "a.dcm").exists()
    assert (folder / "done" / "a.dcm").exists() == (after == "move")
    watch.look()
    assert len(taken(queue)) == 1


def test_a_full_folder_keeps_nobody_waiting_and_waits_itself_when_there_is_no_room(
    folder: Path,
    watch_with: Watch_with,
    queue: Database,
    phantom: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(4):
        (folder / f"{number}.dcm").write_bytes(film(number, phantom, tmp_path).read_bytes())
    watch = watch_with(more="queue_limit = 2")
    monkeypatch.setattr(watching, "TAKING_S", 60.0)
    looks(watch, 2)
    assert films.n_waiting(queue) == 2, "as many as the queue takes"
    with queue.change() as cursor:
        cursor.execute("UPDATE films SET state = 'answered'")
    with monkeypatch.context() as full:
        full.setattr(spool.Spool, "free_bytes", lambda _: 500_000)
        watch.look()
        assert films.n_waiting(queue) == 0, "no room"
    watch.look()
    assert films.n_waiting(queue) == 2


def test_looking_into_files_ends_after_a_second_and_cut_ones_are_in_no_other_ones_way(
    folder: Path, watch_with: Watch_with, queue: Database, phantom: Path, tmp_path: Path, clock: Clock, reader: Reader
) -> None:
    whole = film(1, phantom, tmp_path).read_bytes()
    for number in range(9):
        (folder / f"{number}-cut.dcm").write_bytes(whole[: 4000 + number])
    (folder / "whole.dcm").write_bytes(whole)
    read: list[int] = []

    def slowly(data: bytes) -> Any:
        clock.now += 0.4 * TAKING_S
        read.append(len(data))
        return reader.read(data)

    watch = watch_with(reader=SimpleNamespace(read=slowly, identify=reader.identify))
    watch.look()
    for n_looks in range(1, 4):
        watch.look()
        assert len(read) == 3 * n_looks, "as many as began within the second"
    assert taken(queue) == []
    watch.look()
    assert taken(queue) == [spool.file_hash(whole)]
    assert sorted(read[:9]) == [4000 + number for number in range(9)], "each was looked into before one was again"


def test_a_new_file_behind_so_many_known_ones_that_going_through_them_takes_seconds_is_taken(
    folder: Path,
    watch_with: Watch_with,
    queue: Database,
    tmp_path: Path,
    phantom: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(50):
        (folder / f"known-{number}.dcm").write_text("no radiograph")
    watch, look = watch_with(), watching._look
    monkeypatch.setattr(watching, "CUT_S", 0.0)
    looks(watch, 2)
    assert len(taken(queue)) == 1
    (folder / "new.dcm").write_bytes(film(1, phantom, tmp_path).read_bytes())

    def slow(file: Path) -> Any:
        clock.now += TAKING_S / 10
        return look(file)

    monkeypatch.setattr(watching, "_look", slow)
    looks(watch, 2)
    assert len(taken(queue)) == 2


def test_a_file_that_is_whole_and_no_radiograph_is_taken_at_once(
    folder: Path, watch_with: Watch_with, queue: Database
) -> None:
    (folder / "ct.dcm").write_bytes(as_bytes(dataset(chest(), SOPClassUID="1.2.840.10008.5.1.4.1.1.2")))
    looks(watch_with(), 2)
    assert len(taken(queue)) == 1


@pytest.mark.parametrize("forgotten", ["dropped by hand", "a year later"])
def test_a_file_that_stays_in_the_folder_is_not_answered_again_when_its_film_is_forgotten(
    folder: Path,
    watch_with: Watch_with,
    queue: Database,
    phantom: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forgotten: str,
) -> None:
    (folder / "a.dcm").write_bytes(film(1, phantom, tmp_path).read_bytes())
    watch = watch_with()
    looks(watch, 2)
    films.settle(queue, films.next_film(queue, []), films.State.ANSWERED)
    if forgotten == "dropped by hand":
        letters.drop(tmp_path / "data", taken(queue)[0][:8])
    else:
        keeping.keep_house(watch.settings, queue, watch.place)
        monkeypatch.setattr(keeping, "ROWS_S", -1.0)
        keeping.keep_house(watch.settings, queue, watch.place)
    assert taken(queue) == []
    looks(watch, 3)
    looks(watch_with(), 3)
    assert taken(queue) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_thousand_files_are_taken_once_each_a_second_at_a_time_and_memory_stays_as_it_was(
    folder: Path, watch_with: Watch_with, queue: Database
) -> None:
    """`NODE_FILES=1000` makes it short; how long each look took is printed."""
    drawn = as_bytes(dataset(chest(), PatientID="00000"))
    for number in range(FILES):
        (folder / f"{number:05d}.dcm").write_bytes(drawn.replace(b"00000", b"%05d" % number))
    watch, process, spent_s, memory = watch_with(more=f"queue_limit = {FILES + 1}"), psutil.Process(), [], []
    looks(watch, 1)
    while len(spent_s) < 3 or films.n_waiting(queue) < FILES:
        began_s = time.perf_counter()
        watch.look()
        spent_s.append(time.perf_counter() - began_s)
        memory.append(process.memory_info().rss)
    looks(watch, 2)
    assert (queue.value("SELECT count(*) FROM films"), queue.value("SELECT sum(copies) FROM films")) == (FILES, 0)
    growth = median(memory[-len(memory) // 3 :]) / median(memory[: len(memory) // 3])
    print(f"{FILES} files in {len(spent_s)} looks of {median(spent_s):.2f} s, at most {max(spent_s):.2f} s")
    print(f"memory {memory[0] >> 20} to {memory[-1] >> 20} MB, {growth:.3f}")
    assert growth < 1.10


@pytest.mark.slow
def test_a_running_node_answers_a_file_that_is_written_for_half_a_minute_once(phantom: Path, tmp_path: Path) -> None:
    incoming, box = tmp_path / "incoming", '[[result]]\nname = "box"\nfolder = "box"\n'
    incoming.mkdir()
    node = Node(tmp_path, write_bundle(tmp_path / "tiny"), box, watch={"folder": "incoming", "after": "move"})
    whole = film(1, phantom, tmp_path).read_bytes()
    step = len(whole) // 30 + 1
    with running(node):
        for start in range(0, len(whole), step):
            with (incoming / "slow.dcm").open("ab") as stream:
                stream.write(whole[start : start + step])
            time.sleep(1)
        assert node.status()["all"]["received"] == 0
        node.settled(1, 120)
        until((incoming / "done" / "slow.dcm").exists, 30, "it is put away")
    assert [(record["status"], record["id"]) for record in node.records()] == [("ok", spool.file_hash(whole)[:16])]
    assert (incoming / "done" / "slow.dcm").read_bytes() == whole
