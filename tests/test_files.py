"""Outputs on any disk: one that cannot sync a folder is written to all the same, one that fails is an error."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import in_one_process
from tests.tiny import write_bundle
from xraygpt_edge import files
from xraygpt_edge.bundle import store

UNABLE = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.ENOSYS)
FAILING = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

NO_FOLDER_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
int fsync(int handle) {
    struct stat facts;
    if (!fstat(handle, &facts) && S_ISDIR(facts.st_mode)) { errno = atoi(getenv("FOLDER_SYNC_SAYS")); return -1; }
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return real(handle);
}
"""


def names(errors: tuple[int, ...]) -> list[str]:
    return [errno.errorcode[error] for error in errors]


@pytest.fixture
def folder_sync(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """What syncing a folder says from now on; files are synced as ever."""
    says, real = {"errno": 0}, os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode) and says["errno"]:
            raise OSError(says["errno"], os.strerror(says["errno"]))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return says


@pytest.mark.parametrize("error", UNABLE, ids=names(UNABLE))
def test_a_folder_that_cannot_be_synced_is_written_to_all_the_same(
    tmp_path: Path, folder_sync: dict[str, int], error: int
) -> None:
    folder_sync["errno"] = error
    with files.replacing(tmp_path / "a") as stream:
        stream.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert store.install(write_bundle(tmp_path / "usb"), tmp_path / "store").root == tmp_path / "store" / "tiny"


@pytest.mark.parametrize("error", FAILING, ids=names(FAILING))
def test_a_folder_that_fails_or_refuses_is_an_error(tmp_path: Path, folder_sync: dict[str, int], error: int) -> None:
    folder_sync["errno"] = error
    with pytest.raises(OSError, match=os.strerror(error)), files.replacing(tmp_path / "a") as stream:
        stream.write(b"whole")


def test_a_file_that_cannot_be_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_handle: int) -> None:
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="no"), files.replacing(tmp_path / "a") as stream:
        stream.write(b"whole")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("gcc"), reason="needs gcc and LD_PRELOAD")
def test_the_program_writes_every_output_to_a_folder_that_cannot_be_synced(tmp_path: Path, phantom: Path) -> None:
    (tmp_path / "sync.c").write_text(NO_FOLDER_SYNC)
    library = tmp_path / "sync.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "sync.c", "-ldl"], check=True)
    bundle, out = write_bundle(tmp_path / "tiny"), tmp_path / "out"
    (tmp_path / "films").mkdir()
    shutil.copy(phantom, tmp_path / "films")

    def run(error: int, *commands: tuple[str | Path, ...]) -> int:
        told = {"LD_PRELOAD": str(library), "FOLDER_SYNC_SAYS": str(error), "XDG_DATA_HOME": str(tmp_path / "data")}
        done = in_one_process(told, *commands)
        assert b"E-BUG" not in done.stderr
        return done.returncode

    asked = ("batch", tmp_path / "films", "--bundle", bundle, "--max-tokens", "2", "--out")
    assert run(errno.EIO, (*asked, tmp_path / "failing")) == 16
    outputs = (
        (*asked, out),
        ("report", out, "--to", "html"),
        ("inspect", phantom, "--bundle", bundle, "--save", out / "seen.png"),
        ("bundle", "install", bundle),
    )
    assert run(errno.EINVAL, *outputs) == 0


NO_FLOCK = """
#include <errno.h>
int flock(int fd, int operation) { errno = ENOSYS; return -1; }
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("gcc"), reason="needs gcc and LD_PRELOAD")
def test_a_batch_works_on_a_folder_without_file_locks_and_prints_no_words_for_programmers(
    tmp_path: Path, phantom: Path
) -> None:
    (tmp_path / "flock.c").write_text(NO_FLOCK)
    library = tmp_path / "flock.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "flock.c"], check=True)
    (tmp_path / "films").mkdir()
    shutil.copy(phantom, tmp_path / "films")
    options = ("--bundle", write_bundle(tmp_path / "tiny"), "--max-tokens", "2", "--out", tmp_path / "out")
    words = [sys.executable, "-m", "xraygpt_edge", "batch", tmp_path / "films", *options]
    done = subprocess.run(words, env={**os.environ, "LD_PRELOAD": str(library)}, capture_output=True, check=False)
    assert (done.returncode, b"Warning" in done.stderr) == (0, False), done.stderr
