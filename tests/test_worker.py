"""The process that reads files may crash, hang or fill its memory: the program does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.drawn_dicom import chest, write
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import ReadOptions, read_radiograph
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.isolated.process import ENTRY

ROOT = Path(__file__).resolve().parent.parent


def child_of(reader: Reader) -> psutil.Process:
    return psutil.Process(reader._child._process.pid)


def test_the_worker_reads_what_the_program_would_read(tmp_path: Path) -> None:
    path = write(tmp_path, chest(), PatientOrientation=["R", "F"], WindowCenter="1000", WindowWidth="1500")
    with Reader() as reader:
        for profile in ("mimic-jpg", "display"):
            there, here = (read(path, ReadOptions(profile)) for read in (reader.read, read_radiograph))
            np.testing.assert_array_equal(there.pixels, here.pixels)
            assert there.source == here.source
            assert there.pixels.dtype == np.uint8


def test_a_refusal_comes_back_with_its_id_and_reason(tmp_path: Path) -> None:
    path = write(tmp_path, chest(), NumberOfFrames=1, Rows=95)
    with Reader() as reader, pytest.raises(InputRefused) as refusal:
        reader.read(path)
    assert (refusal.value.error_id, refusal.value.why) == ("E-DCM-010", "160 bytes too many")


def test_names_with_spaces_and_odd_letters_are_no_problem(tmp_path: Path) -> None:
    path = write(tmp_path, chest()).rename(tmp_path / "Müller & Söhne\n1.dcm")
    with Reader() as reader:
        assert reader.read(path).pixels.shape == (96, 80)


def test_starting_does_not_wait_and_imports_go_on_beside() -> None:
    began_s = time.monotonic()
    with Reader():
        assert time.monotonic() - began_s < 0.25


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_on_linux_the_worker_is_limited_in_every_way() -> None:
    with Reader() as reader:
        protection = reader.protection
        assert protection.memory_limited
        assert protection.no_core_dump
        assert protection.dies_with_parent


@pytest.mark.skipif(sys.platform != "linux", reason="needs SIGSTOP")
def test_a_hang_ends_at_the_deadline_and_the_next_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, chest())
    with Reader(deadline_s=1.0) as reader:
        assert reader.protection
        child_of(reader).suspend()
        began_s = time.monotonic()
        with pytest.raises(InputRefused) as refusal:
            reader.read(path)
        assert refusal.value.error_id == "E-DCM-021"
        assert time.monotonic() - began_s < 3
        assert reader.read(path).pixels.any()


def test_a_crash_is_tried_once_again_and_then_refuses_the_file(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path, chest())
    with Reader() as reader:
        assert reader.protection
        child_of(reader).kill()
        assert reader.read(path).pixels.any()  # died once: read by a fresh one

    dying = "import os; from xraygpt_edge.imaging import images; images.read_with_account = lambda *a: os.abort()"
    start, serve = ENTRY.rsplit("; ", 1)
    assert serve == "serve()"
    monkeypatch.setattr("xraygpt_edge.imaging.isolated.process.ENTRY", f"{start}; {dying}; {serve}")
    with Reader() as reader:
        for _ in range(2):
            with pytest.raises(InputRefused) as refusal:
                reader.read(path)
            assert refusal.value.error_id == "E-DCM-022"


def test_too_little_memory_is_a_refusal(tmp_path: Path) -> None:
    huge = write(tmp_path, np.tile(chest(), (80, 110))).rename(tmp_path / "huge.dcm")
    small = write(tmp_path, chest())
    with Reader(memory_bytes=400 << 20) as reader:
        if not reader.protection.memory_limited:
            pytest.skip("no memory limit on this system")
        with pytest.raises(InputRefused) as refusal:
            reader.read(huge)
        assert refusal.value.error_id in {"E-DCM-020", "E-DCM-022"}
        assert reader.read(small).pixels.any()


def test_closing_leaves_no_process_behind(tmp_path: Path) -> None:
    reader = Reader()
    reader.start()
    child = child_of(reader)
    reader.close()
    assert not child.is_running()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_when_the_program_is_killed_the_worker_dies_too() -> None:
    code = (
        "from xraygpt_edge.imaging.isolated import Reader; import time; r = Reader(); r.start(); r.protection;"
        "print(r._child._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    gone, _ = psutil.wait_procs([child], timeout=3)
    assert gone or child.status() == psutil.STATUS_ZOMBIE


def test_the_worker_does_not_import_from_the_folder_of_the_user(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from the current folder')")
    (tmp_path / "pydicom.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    with Reader() as reader:
        assert reader.read(write(tmp_path, chest())).pixels.any()


def test_nothing_is_printed_by_the_worker(tmp_path: Path, capfd) -> None:
    path = tmp_path / "bad.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM" + os.urandom(500))
    with Reader() as reader, pytest.raises(InputRefused):
        reader.read(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["hang.dcm", "mem35.dcm"])
def test_hostile_files_end_as_refusals_while_the_programs_memory_stays_flat(shared: Path, name: str) -> None:
    before = psutil.Process().memory_info().rss
    began_s = time.monotonic()
    with Reader() as reader:
        for force in (False, True):
            with pytest.raises(InputRefused):
                reader.read(shared / "data" / "attacks" / name, ReadOptions(force=force))
    assert time.monotonic() - began_s < 25
    assert psutil.Process().memory_info().rss - before < 20 << 20


def test_a_large_radiograph_is_read_within_350_megabytes(tmp_path: Path) -> None:
    values = np.tile(chest(500, 500, 65535), (8, 10))
    path = write(tmp_path, values, BitsStored=16, HighBit=15)
    with Reader() as reader:
        for _ in range(3):
            reader.read(path)
        assert child_of(reader).memory_info().rss < 350 << 20
