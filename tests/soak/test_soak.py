"""The long versions of `tests/test_batch_crashes.py`: `make soak`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.soak import kill, locks, signals
from tests.soak.folder import ROOT, command, finish, keys, records, write_bundle, write_folder
from xraygpt_edge import Sampling, batch, bundle
from xraygpt_edge.loading import LoadOptions

pytestmark = pytest.mark.soak

REFUSED = (
    "bomb_20000x10000.png",
    "constant_16bit.dcm",
    "cr_fuji_no_pixeldata.dcm",
    "frames_lie.dcm",
    "jpeg_fragment_half.dcm",
    "us_jpegxl_recompression.dcm",
)
"""Files of the shared folder that are meant as images and are refused."""


def test_2000_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    tally = kill.soak(2000, tmp_path)
    assert tally.total >= 2000
    assert tally.clean


def test_100_signals_end_the_batch_within_2_s(tmp_path: Path) -> None:
    assert signals.soak(100, tmp_path).clean


def test_20_starts_at_once_have_one_winner_50_times(tmp_path: Path) -> None:
    for number in range(50):
        codes, _ = locks.contend(tmp_path / str(number))
        assert codes == Counter({11: locks.STARTS - 1, 0: 1})


def test_2000_radiographs_leave_memory_descriptors_and_threads_flat() -> None:
    watched = [sys.executable, "-m", "tests.soak.long", "--count", "2000"]
    assert subprocess.run(watched, cwd=ROOT).returncode == 0


def test_100_000_small_files_are_counted_in_flat_memory(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "films", 30)
    for number in range(100_000):
        path = folder / f"text-{number % 100}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    out = tmp_path / "out"
    measure = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    words = command(folder, out, write_bundle(tmp_path / "bundle"))[3:]
    code = (
        "import sys; from tests.soak.driver import FAKE; "
        "from xraygpt_edge.host import process; process.COMMAND = FAKE; "
        f"from xraygpt_edge.cli.app import run; code = run({words!r}); {measure}; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert len(records(out)) == 30
    assert int(done.stdout) < 120


def test_500_files_with_100_bad_ones_give_400_answers_and_100_failures(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "films", 500, (b"OK", b"OK", b"OK", b"OK", b"BAD"))
    assert finish(command(folder, tmp_path / "out", write_bundle(tmp_path / "bundle"))) == 3
    assert Counter(record["status"] for record in records(tmp_path / "out")) == {"ok": 400, "failed": 100}
    assert len(set(keys(tmp_path / "out"))) == 500


@pytest.mark.shared
def test_400_radiographs_are_answered_among_100_bad_files_of_every_kind(
    tmp_path: Path, shared: Path, demo: Path, root: Path
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    good = sorted((root / "examples").glob("*.dcm"))
    bad = [shared / "data" / "radiographs" / name for name in REFUSED]
    for number in range(400):
        shutil.copy(good[number % len(good)], folder / f"good-{number:03d}.dcm")
    for number in range(96):
        shutil.copy(bad[number % len(bad)], folder / f"bad-{number:03d}-{bad[number % len(bad)].name}")
    for name in ("hang.dcm", "mem35.dcm"):
        shutil.copy(shared / "data" / "attacks" / name, folder)
    (folder / "empty.dcm").touch()
    (folder / "cut.dcm").write_bytes(good[0].read_bytes()[:3000])
    job = batch.Job(
        folder, demo, bundle.opened(demo).manifest_sha256, settings=batch.Settings(sampling=Sampling(max_tokens=24))
    )
    summary = batch.run(job, tmp_path / "out", batch.Running(LoadOptions("cpu")))
    assert (summary.ok, summary.failed, summary.skipped) == (400, 100, 0)
    assert all(failure["error_id"].startswith(("E-IMG", "E-DCM")) for failure in summary.failures)
