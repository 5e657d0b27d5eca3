"""A disk that fails at any moment costs the record that was being written, and nothing else."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from tests.soak.faults import CALLS, FailingDisk, ModelInThisProcess
from tests.soak.folder import content, keys, lines, write_folder
from xraygpt_edge import batch
from xraygpt_edge.errors import OutputError
from xraygpt_edge.host import supervisor

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE)
FILES = 5


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> batch.Job:
    monkeypatch.setattr(supervisor, "ModelProcess", ModelInThisProcess)
    return batch.Job(write_folder(tmp_path / "films", FILES), tmp_path / "bundle", "0" * 64)


def go(job: batch.Job, out: Path) -> batch.Summary:
    return batch.run(job, out, batch.Running())


@pytest.mark.parametrize("error", ERRORS, ids=[errno.errorcode[error] for error in ERRORS])
@pytest.mark.parametrize(("call", "torn"), [*((call, False) for call in CALLS), ("write", True)])
def test_whichever_call_fails_the_batch_stops_with_16_and_the_next_run_completes_it(
    job: batch.Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int, *, torn: bool
) -> None:
    go(job, tmp_path / "calm")
    wanted = content(tmp_path / "calm")
    number, struck = 0, True
    while struck:
        number += 1
        out = tmp_path / f"out-{number}"
        disk = FailingDisk(out, call, number, error, torn=torn)
        with disk.installed(monkeypatch):
            if run_expecting_fault(job, out, disk) is None:
                struck = False
        before = lines(out)
        assert all(json.loads(line)["status"] == "ok" for line in before)
        go(job, out)
        assert lines(out)[: len(before)] == before
        assert content(out) == wanted
        assert len(keys(out)) == len(set(keys(out)))
        assert [path.name for path in out.iterdir() if path.name.endswith(".partial")] == []
    assert number > {"open": 4, "write": FILES + 2, "fsync": FILES + 2, "rename": 2}[call]


def run_expecting_fault(job: batch.Job, out: Path, disk: FailingDisk) -> OutputError | None:
    """The error that ended the run; None when no call was left to fail."""
    try:
        go(job, out)
    except OutputError as caught:
        error: OutputError | None = caught
    else:
        error = None
    assert disk.struck is (error is not None)
    assert error is None or int(error.code) == 16
    return error
