"""Kills, crashes, signals and rivals: everything that was acknowledged stays. Long versions: `make soak`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.soak import kill, locks, signals
from tests.soak.driver import FAKE
from tests.soak.folder import command, content, finish, records, start, write_bundle, write_folder
from xraygpt_edge import batch
from xraygpt_edge.host import process, supervisor


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def by_status(out: Path) -> Counter[str]:
    return Counter(record.get("error_id", "ok") for record in records(out))


@pytest.mark.long
def test_kill_9_at_random_moments_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    tally = kill.soak(6, tmp_path, seed=3)
    assert tally.total >= 6
    assert tally.clean


@pytest.mark.long
def test_one_of_many_starts_wins_and_the_others_exit_11(tmp_path: Path) -> None:
    codes, _ = locks.contend(tmp_path, starts=4)
    assert codes == Counter({11: 3, 0: 1})


def test_a_signal_ends_the_batch_within_2_s_with_its_own_code(tmp_path: Path) -> None:
    tally = signals.soak(2, tmp_path, seed=5)
    assert tally.signals == 2
    assert tally.clean


def test_a_radiograph_that_crashes_the_model_twice_fails_and_the_others_do_not(tmp_path: Path, bundle: Path) -> None:
    folder = write_folder(tmp_path / "films", 9, (b"OK", b"OK", b"OK", b"OK", b"CRASH", b"OK"))
    assert finish(command(folder, tmp_path / "out", bundle)) == 3
    assert by_status(tmp_path / "out") == {"ok": 8, "E-BAT-020": 1}
    (failure,) = json.loads((tmp_path / "out" / "summary.json").read_text())["failures"]
    assert (failure["path"], failure["attempt"], failure["code"]) == ("study-1/00004.png", 2, 19)


def test_a_radiograph_that_crashes_the_model_once_is_answered(tmp_path: Path, bundle: Path) -> None:
    folder = write_folder(tmp_path / "films", 7, (b"OK", b"OK", b"ONCE"))
    assert finish(command(folder, tmp_path / "out", bundle)) == 0
    attempts = {record["path"]: record["attempt"] for record in records(tmp_path / "out")}
    assert len(attempts) == 7
    assert attempts["study-2/00002.png"] == 2


def test_a_model_process_that_hangs_is_given_up_and_the_others_are_answered(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "COMMAND", FAKE)
    monkeypatch.setattr(supervisor, "SILENCE_MAX_S", 1.5)
    folder = write_folder(tmp_path / "films", 5, (b"OK", b"OK", b"HANG", b"OK", b"OK"))
    summary = batch.run(batch.Job(folder, bundle, "0" * 64), tmp_path / "out", batch.Running())
    assert (summary.ok, summary.failed) == (4, 1)
    assert "silent" in summary.failures[0]["message"]


@pytest.mark.long
def test_three_deaths_in_a_row_end_the_batch_with_19_and_every_record_kept(tmp_path: Path, bundle: Path) -> None:
    folder = write_folder(tmp_path / "films", 10, (b"OK",) * 6 + (b"CRASH",) * 4)
    assert finish(command(folder, tmp_path / "out", bundle)) == 19
    before = content(tmp_path / "out")
    while finish(command(folder, tmp_path / "out", bundle)) == 19:  # it gets further each time
        assert set(content(tmp_path / "out")) > set(before)
        before = content(tmp_path / "out")
    assert by_status(tmp_path / "out") == {"ok": 6, "E-BAT-020": 4}


def test_a_model_process_that_cannot_start_ends_the_batch_with_19(tmp_path: Path, bundle: Path) -> None:
    folder = write_folder(tmp_path / "films", 3)
    dying = "process.COMMAND = (sys.executable, '-c', 'raise SystemExit(5)')"
    code = f"import sys; from xraygpt_edge.host import process; {dying}; from xraygpt_edge.cli import main; main()"
    words = command(folder, tmp_path / "out", bundle)
    words[1:3] = ["-c", code]
    running = start(words)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 19
    assert b"E-BAT-019" in said
    assert b"exit code 5" in said
    assert (tmp_path / "out" / "records.jsonl").read_bytes() == b""
