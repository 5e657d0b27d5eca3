"""A pool of machines: which worker has which film, what a death costs, and who may reach a cluster."""

from __future__ import annotations

import random
import time
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.soak.folder import write_bundle, write_folder
from xraygpt_edge.cli.app import run as command
from xraygpt_edge.errors import NotOffline, RuntimeMissing, WorkerCrashed, XrayGPTError
from xraygpt_edge.host import Record, Task
from xraygpt_edge.records import Failure
from xraygpt_edge.scale import guard, pool
from xraygpt_edge.scale.films import Films
from xraygpt_edge.scale.messages import Wish
from xraygpt_edge.scale.patience import Patience

DONE = Failure("E-IMG-002", "done", 4)


def films(count: int, *questions: str) -> Films:
    found = Films()
    for number in range(count):
        found.add(Task(number, f"{number}.dcm", questions or ("findings?",)))
    return found


def numbers(tasks: list[Task]) -> list[int]:
    return [task.number for task in tasks]


def record(number: int, question: str = "findings?") -> Record:
    return Record.of(number, question, DONE)


def test_chunks_are_small_towards_the_end_so_that_all_workers_end_together() -> None:
    found = films(100)
    sizes = [len(found.chunk(worker, 16, 2)) for worker in [0, 1] * 10]
    assert sizes[0] == 16
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == 100
    assert found.chunk(0, 16, 2) == []


def test_a_dead_workers_films_go_to_others_first_and_what_was_answered_does_not() -> None:
    found = films(8)
    assert numbers(found.chunk(0, 4, 1)) == [0, 1, 2, 3]
    found.begin(0)
    assert found.land(0, record(0))
    assert list(found.bury(0)) == []
    assert numbers(found.chunk(1, 7, 1)) == [1, 2, 3, 4]
    assert not found.land(1, record(0))  # somebody else has answered it already


def test_a_film_answered_by_two_workers_is_recorded_once() -> None:
    found = films(1, "a", "b")
    found.chunk(0, 1, 1)
    assert found.land(0, record(0, "a"))
    assert list(found.bury(0)) == []
    (task,) = found.chunk(1, 1, 1)
    assert task.questions == ("b",)
    assert not found.land(1, record(0, "a"))
    assert found.land(1, record(0, "b"))


def test_a_film_that_was_begun_in_two_dying_workers_is_tried_alone_and_then_fails() -> None:
    found = films(4)
    for worker in (0, 1):
        assert 0 in numbers(found.chunk(worker, 4, 1)) or worker
        found.chunk(worker, 4, 1)
        found.begin(0)
        assert list(found.bury(worker)) == []
    rest = numbers([task for _ in range(3) for task in found.chunk(2, 1, 1)])
    assert rest == [1, 2, 3]
    assert found.chunk(2, 4, 1) == []  # it has others still
    assert numbers(found.chunk(3, 4, 1)) == [0]
    assert found.chunk(3, 4, 1) == []  # alone
    found.begin(0)
    (failure,) = found.bury(3)
    assert (failure.task, failure.attempt, failure.result.error_id) == (0, 3, "E-SCA-022")
    assert [found.land(2, record(number)) for number in rest] == [True] * 3


def test_a_machine_that_is_lost_twice_blames_no_film_that_was_not_begun() -> None:
    found = films(2)
    for worker in range(5):
        assert numbers([*found.chunk(worker, 1, 1), *found.chunk(worker, 1, 1)]) == [0, 1]
        assert list(found.bury(worker)) == []


@pytest.mark.parametrize("seed", range(20))
def test_whatever_dies_when_every_film_gets_one_record_or_one_failure(seed: int) -> None:
    random_, found, recorded = random.Random(seed), films(50), list[int]()
    workers, away = [0, 1, 2], dict[int, list[int]]()
    for _ in range(5000):
        worker = random_.choice(workers)
        mine = away.setdefault(worker, [])
        mine += numbers(found.chunk(worker, random_.randint(1, 8), len(workers)))
        if mine and random_.random() < 0.6:
            number = random_.choice(mine)
            found.begin(number)
            if random_.random() < 0.8:
                mine.remove(number)
                recorded += [number] * found.land(worker, record(number))
        elif random_.random() < 0.05:
            recorded += [failure.task for failure in found.bury(worker)]
            workers[workers.index(worker)] = max(workers) + 1
    assert sorted(recorded) == list(range(50))


@pytest.mark.parametrize("host", ["192.0.2.2", "10.0.0.1", "::2", "0.0.0.0", "head", "localhost.example", ""])
def test_a_cluster_beyond_this_computer_is_refused_without_a_token(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setattr(pool, "COMMAND", ("/nobody/may/start/this",))
    folder, bundle = write_folder(tmp_path / "films", 1), write_bundle(tmp_path / "bundle")
    words = ["scale", "ray", str(folder), "--out", str(tmp_path / "out"), "--bundle", str(bundle)]
    assert command([*words, "--address", f"[{host}]:6379" if ":" in host else f"{host}:6379"]) == 20
    assert "E-SCA-020" in capfd.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_the_loopback_address_needs_no_token(host: str) -> None:
    guard.require_token({}, guard.host_of(f"[{host}]:6379" if ":" in host else f"{host}:6379"))


def test_a_machine_that_says_it_has_no_token_or_reports_its_use_is_refused() -> None:
    good = {"RAY_AUTH_MODE": "token", **guard.QUIET}
    guard.require_guarded(good, "192.0.2.2")
    guard.require_guarded({**good, "RAY_AUTH_MODE": ""}, "127.0.0.1")
    with pytest.raises(NotOffline, match="RAY_AUTH_MODE"):
        guard.require_guarded({**good, "RAY_AUTH_MODE": ""}, "192.0.2.2")
    for host in ("127.0.0.1", "192.0.2.2"):
        for name in guard.QUIET:
            with pytest.raises(NotOffline, match=name):
                guard.require_guarded({**good, name: ""}, host)


def test_a_cluster_of_our_own_has_a_token_of_one_run_and_another_one_keeps_its_own() -> None:
    own = guard.environment({"HOME": "x", "RAY_USAGE_STATS_ENABLED": "1"}, None, "secret")
    assert (own["RAY_AUTH_MODE"], own["RAY_AUTH_TOKEN"], own["RAY_USAGE_STATS_ENABLED"]) == ("token", "secret", "0")
    theirs = guard.environment({"RAY_AUTH_TOKEN": "theirs"}, "192.0.2.2:6379", "secret")
    assert theirs == {"RAY_AUTH_TOKEN": "theirs", **guard.QUIET}


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "find_spec", lambda name: None)
    with pytest.raises(RuntimeMissing) as caught:
        pool.Pool(None, Wish(), "")  # type: ignore[arg-type]
    assert caught.value.error_id == "E-SCA-014"


def test_a_pool_whose_process_cannot_start_ends_with_one_line_and_the_folder_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(pool, "COMMAND", ("/bin/sh", "-c", "exit 5"))
    folder, bundle = write_folder(tmp_path / "films", 2), write_bundle(tmp_path / "bundle")
    words = ["scale", "ray", str(folder), "--out", str(tmp_path / "out"), "--bundle", str(bundle), "--quiet"]
    before = set(Path("/tmp").glob("xraygpt-*"))
    assert command(words) == 19
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "E-SCA-019" in said
    assert (tmp_path / "out" / "records.jsonl").read_bytes() == b""
    assert set(Path("/tmp").glob("xraygpt-*")) <= before


def test_who_waits_too_long_is_told_what_was_waited_for_last_and_who_is_answered_goes_on() -> None:
    told: SimpleQueue[XrayGPTError] = SimpleQueue()
    patience = Patience(told.put)
    patience.at_most(60.0, RuntimeMissing("E-SCA-015"))
    patience.at_most(0.0, WorkerCrashed("E-SCA-019"))
    assert told.get(timeout=10).error_id == "E-SCA-019"
    lively = Patience(told.put)
    for _ in range(8):  # longer than it has patience, but never at one go
        lively.at_most(3.0, WorkerCrashed("E-SCA-019"))
        time.sleep(0.5)
    assert told.empty()
