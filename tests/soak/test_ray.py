"""Pools of machines that die: nothing is missing and nothing is there twice. `make soak`; each takes about a minute."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.soak.folder import ROOT, command, content, finish, keys, write_bundle, write_folder

pytest.importorskip("ray")
from tests.soak.clusters import Cluster, scale, timed, until

pytestmark = pytest.mark.soak

FILMS = int(os.environ.get("SCALE_FILMS", "10000"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def lines(out: Path) -> int:
    path = out / "records.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def require_each_once(folder: Path, out: Path) -> None:
    found = [path for path, _ in keys(out)]
    assert sorted(found) == sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def require_ended(running: subprocess.Popen[bytes], said: bytes, code: int, error_id: bytes) -> None:
    """With an exit code, and one line that names the error."""
    assert (running.returncode, said.count(b"\n")) == (code, 1)
    assert error_id in said


def test_a_pool_on_this_computer_leaves_what_a_batch_leaves_and_nothing_else(tmp_path: Path, bundle: Path) -> None:
    folder = write_folder(tmp_path / "films", 60, (b"OK", b"OK", b"BAD", b"SR", b"CRASH", b"OK"))
    for path in sorted(folder.rglob("*.png"))[6:]:
        if path.read_bytes().startswith(b"CRASH"):
            path.write_bytes(b"OK" + path.read_bytes()[5:])
    assert finish(command(folder, tmp_path / "one", bundle)) == 3
    running = scale(folder, tmp_path / "pool", bundle, "--send-files")
    until(lambda: lines(tmp_path / "pool") > 0)
    family = psutil.Process(running.pid).children(recursive=True)
    _, said = running.communicate(timeout=120)
    assert (running.returncode, said) == (3, b"")
    assert content(tmp_path / "pool") == content(tmp_path / "one")
    assert sorted(path.name for path in (tmp_path / "pool").iterdir()) == sorted(
        path.name for path in (tmp_path / "one").iterdir()
    )
    assert (tmp_path / "pool" / "job.json").read_bytes() == (tmp_path / "one" / "job.json").read_bytes()
    assert psutil.wait_procs(family, timeout=15)[1] == []


def test_ten_thousand_films_have_the_same_records_from_one_batch_seven_shards_and_a_pool(
    tmp_path: Path, bundle: Path
) -> None:
    """`SCALE_FILMS=500` makes it short."""
    folder = write_folder(tmp_path / "films", FILMS, (b"OK", b"OK", b"BAD", b"OK"))
    outs = [tmp_path / "shards" / str(number) for number in range(7)]
    for number, out in enumerate(outs):
        assert finish(command(folder, out, bundle, "--shard", f"{number}/7")) == 3
    words = ["merge", *map(str, outs), "--out", str(tmp_path / "merged"), "--partial", "--quiet"]
    assert subprocess.run([sys.executable, "-m", "xraygpt_edge", *words], cwd=ROOT).returncode == 3
    assert finish(command(folder, tmp_path / "one", bundle)) == 3
    pool = scale(folder, tmp_path / "pool", bundle)
    _, said = pool.communicate()
    assert (pool.returncode, said) == (3, b"")
    require_each_once(folder, tmp_path / "one")
    assert content(tmp_path / "merged") == content(tmp_path / "one") == content(tmp_path / "pool")


def test_batch_finishes_what_a_pool_began_whose_driver_was_killed_and_no_process_stays(
    tmp_path: Path, bundle: Path
) -> None:
    folder, out = write_folder(tmp_path / "films", 200), tmp_path / "out"
    running = scale(folder, out, bundle, delay_s=0.05)
    until(lambda: lines(out) > 20)
    family = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    _, alive = psutil.wait_procs(family, timeout=15)
    assert alive == []
    assert 20 < lines(out) < 200
    assert finish(command(folder, out, bundle)) == 0
    require_each_once(folder, out)


def test_a_signal_ends_a_pool_within_2_s(tmp_path: Path, bundle: Path) -> None:
    folder, out = write_folder(tmp_path / "films", 200), tmp_path / "out"
    running = scale(folder, out, bundle, delay_s=0.05)
    until(lambda: lines(out) > 5)
    began_s = time.monotonic()
    running.send_signal(signal.SIGTERM)
    running.communicate()
    assert time.monotonic() - began_s < 2.5
    assert running.returncode == 143


@pytest.mark.parametrize("killed", ["ray::FakeWorker", "tests.soak.fake_model"])
def test_a_worker_or_its_model_that_is_killed_as_without_memory_costs_no_film_and_no_record(
    tmp_path: Path, bundle: Path, killed: str
) -> None:
    folder, out = write_folder(tmp_path / "films", 200), tmp_path / "out"
    running = scale(folder, out, bundle, delay_s=0.05)
    for number in (20, 100):
        until(lambda number=number: lines(out) > number)
        family = psutil.Process(running.pid).children(recursive=True)
        (victim,) = (process for process in family if killed in " ".join(process.cmdline()))
        victim.kill()
    _, said = running.communicate(timeout=240)
    assert (running.returncode, said) == (0, b"")
    require_each_once(folder, out)


def test_machines_that_die_join_and_die_again_cost_no_film_and_no_record(tmp_path: Path, bundle: Path) -> None:
    folder, out = write_folder(tmp_path / "films", 600), tmp_path / "out"
    with Cluster(delay_s=0.1) as cluster, timed("600 films, 0.1 s each, two of three machines killed, one added"):
        first, second = cluster.add(), cluster.add()
        running = cluster.scale(folder, out, bundle, "--chunk", "8")
        until(lambda: lines(out) > 30)
        cluster.kill(first)
        before = lines(out)
        until(lambda: lines(out) > before + 30)
        cluster.add()
        cluster.kill(second)  # the last one but that which is about to join
        running.communicate(timeout=240)
    assert running.returncode == 0
    require_each_once(folder, out)


def test_a_lost_head_ends_with_19_and_a_new_cluster_goes_on(tmp_path: Path, bundle: Path) -> None:
    folder, out = write_folder(tmp_path / "films", 3000), tmp_path / "out"
    with Cluster(delay_s=0.2) as cluster, timed("until the command ended after its head was killed"):
        cluster.add()
        running = cluster.scale(folder, out, bundle)
        until(lambda: lines(out) > 10)
        cluster.kill(cluster.head)
        _, said = running.communicate(timeout=180)
    require_ended(running, said, 19, b"E-SCA-019")
    kept = (out / "records.jsonl").read_bytes()
    with Cluster() as cluster:
        cluster.add()
        again = cluster.scale(folder, out, bundle)
        again.communicate(timeout=240)
    assert again.returncode == 0
    assert (out / "records.jsonl").read_bytes().startswith(kept)
    require_each_once(folder, out)


def test_a_head_that_stands_still_ends_with_19_as_a_lost_one_does(tmp_path: Path, bundle: Path) -> None:
    folder, out = write_folder(tmp_path / "films", 3000), tmp_path / "out"
    with Cluster(delay_s=0.2) as cluster, timed("until the command ended after its head stood still"):
        cluster.add()
        running = cluster.scale(folder, out, bundle)
        until(lambda: lines(out) > 10)
        family = [psutil.Process(cluster.head.pid), *psutil.Process(cluster.head.pid).children(recursive=True)]
        for process in family:
            process.suspend()
        _, said = running.communicate(timeout=180)
    require_ended(running, said, 19, b"E-SCA-019")


def test_an_address_where_no_head_answers_is_told_within_two_minutes(tmp_path: Path, bundle: Path) -> None:
    with timed("until the command ended without a cluster"):
        running = scale(write_folder(tmp_path / "films", 1), tmp_path / "out", bundle, "--address", "127.0.0.1:1")
        _, said = running.communicate(timeout=120)
    require_ended(running, said, 14, b"E-SCA-015")


def test_two_thousand_quick_films_have_one_record_each_and_what_a_film_costs_is_told(
    tmp_path: Path, bundle: Path
) -> None:
    folder = write_folder(tmp_path / "films", 2000)
    with Cluster() as cluster:
        cluster.add()
        few = write_folder(tmp_path / "few", 1)
        times = {}
        for name, films in (("few", few), ("films", folder)):
            began_s = time.monotonic()
            cluster.scale(films, tmp_path / f"out-{name}", bundle).communicate(timeout=240)
            times[name] = time.monotonic() - began_s
    cost_ms = 1000 * (times["films"] - times["few"]) / 2000
    print(f"{cost_ms:.1f} ms a film")
    require_each_once(folder, tmp_path / "out-films")


def test_eight_workers_that_have_started_are_at_least_7_6_times_as_fast_as_one(tmp_path: Path, bundle: Path) -> None:
    speeds = {}
    for cpus in (1, 8):
        folder, out = write_folder(tmp_path / f"films-{cpus}", 240 * cpus), tmp_path / f"out-{cpus}"
        with Cluster(delay_s=0.25) as cluster:
            machine = psutil.Process(cluster.add(cpus).pid)
            running = cluster.scale(folder, out, bundle, "--cpus-per-worker", "1", "--chunk", "16")
            until(lambda cpus=cpus, machine=machine: models(machine) == cpus)
            before = until_more(out)
            began_s = time.monotonic()
            running.communicate(timeout=400)
            speeds[cpus] = (240 * cpus - before) / (time.monotonic() - began_s)
        require_each_once(folder, out)
    print(f"{speeds[8] / speeds[1]:.2f} times: {speeds}")
    assert speeds[8] >= 7.6 * speeds[1]


def models(machine: psutil.Process) -> int:
    """Model processes that live on a machine."""
    return sum("tests.soak.fake_model" in process.cmdline() for process in machine.children(recursive=True))


def until_more(out: Path) -> int:
    """Wait until there are more records than now; how many there are."""
    before = lines(out)
    until(lambda: lines(out) > before)
    return lines(out)


@pytest.mark.network
def test_what_ray_opens_on_this_computer_is_open_to_this_computer_alone(tmp_path: Path, bundle: Path) -> None:
    if shutil.which("ss") is None:
        pytest.skip("no ss")
    folder, out = write_folder(tmp_path / "films", 400), tmp_path / "out"
    running = scale(folder, out, bundle, delay_s=0.1)
    until(lambda: lines(out) > 5)
    pids = {process.pid for process in psutil.Process(running.pid).children(recursive=True)}
    sockets = subprocess.run(["ss", "-Hltnup"], capture_output=True, text=True).stdout.splitlines()
    running.kill()
    running.communicate()
    ours = [line.split()[4] for line in sockets if {int(pid) for pid in re.findall(r"pid=(\d+)", line)} & pids]
    print(len(ours), "listeners")
    assert ours
    assert [address for address in ours if "127.0.0.1" not in address] == []


@pytest.mark.network
def test_ray_looks_nobody_up_and_connects_to_this_computer_alone(tmp_path: Path, bundle: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("no strace")
    folder, log = write_folder(tmp_path / "films", 5), tmp_path / "calls"
    running = scale(folder, tmp_path / "out", bundle)
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-e", "trace=connect,sendto", "-o", str(log), "-p", str(running.pid)],
        stderr=subprocess.DEVNULL,
    )
    running.communicate(timeout=200)
    tracer.wait(timeout=20)
    calls = log.read_text("ascii", "replace")
    addresses = set(re.findall(r'(?:inet_addr\("|inet_pton\(AF_INET6, ")([^"]+)', calls))
    print(sorted(addresses))
    assert addresses
    assert {address for address in addresses if address not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")} == set()


@pytest.mark.network
def test_machines_that_are_begun_as_documented_send_nothing_to_anybody_but_each_other(
    tmp_path: Path, bundle: Path
) -> None:
    """Ray asks the kernel by which address of its own it would reach 8.8.8.8: no packet leaves for that."""
    if shutil.which("strace") is None:
        pytest.skip("no strace")
    log = tmp_path / "calls"
    sending = "trace=connect,sendto,sendmsg,sendmmsg,write,writev"
    with Cluster(watched_by=("strace", "-f", "-q", "-yy", "-s", "0", "-e", sending, "-A", "-o", str(log))) as cluster:
        cluster.add()
        running = cluster.scale(write_folder(tmp_path / "films", 20), tmp_path / "out", bundle)
        running.communicate(timeout=200)
    assert running.returncode == 0
    calls = log.read_text("ascii", "replace").splitlines()
    assert any(cluster.host in call for call in calls)
    known = {"127.0.0.1", "0.0.0.0", cluster.host}
    strangers = [call for call in calls if set(re.findall(r"\d+\.\d+\.\d+\.\d+", call)) - known]
    assert {re.sub(r"^\d+ +(\w+)\(.*inet_addr\(\"([^\"]+).*", r"\1 \2", call) for call in strangers} <= {
        "connect 8.8.8.8"
    }
