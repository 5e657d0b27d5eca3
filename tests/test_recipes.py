"""The recipes of docs/scale.md run as they are printed, and leave what one batch leaves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.folder import ROOT, command, content, finish, write_bundle, write_folder

SBATCH = """#!/bin/sh
# Stands in for sbatch: the numbers of its array one after another, as Slurm sets them.
range=$(sed -n 's/^#SBATCH.*--array=\\([0-9-]*\\).*/\\1/p' "$1")
SLURM_CPUS_PER_TASK=$(sed -n 's/^#SBATCH.*--cpus-per-task=\\([0-9]*\\).*/\\1/p' "$1")
export SLURM_CPUS_PER_TASK
for SLURM_ARRAY_TASK_ID in $(seq "${range%-*}" "${range#*-}"); do
    export SLURM_ARRAY_TASK_ID
    sh "$1" || exit
done
"""


def recipe(title: str) -> str:
    """The first shell block below a heading."""
    page = (ROOT / "docs" / "scale.md").read_text("utf-8")
    return re.search(rf"^### {title}\n.*?^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with films, a bundle, and the program on the path, its model process replaced."""
    write_folder(tmp_path / "films", 12)
    bundle = write_bundle(tmp_path / "bundle")
    tools = tmp_path / "tools"
    tools.mkdir()
    program = f'#!/bin/sh\nexec env PYTHONPATH="{ROOT}" "{sys.executable}" -m tests.soak.driver "$@"\n'
    for name, text in (("xraygpt-edge", program), ("sbatch", SBATCH)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o700)
    assert finish(command(tmp_path / "films", tmp_path / "one", bundle)) == 0
    return tmp_path


def go(shop: Path, script: str) -> None:
    environment = {
        **os.environ,
        "PATH": f"{shop / 'tools'}{os.pathsep}{os.environ['PATH']}",
        "XRAYGPT_BUNDLE": str(shop / "bundle"),
        "HOME": str(shop),
    }
    done = subprocess.run(["sh", "-ec", script], cwd=shop, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert content(shop / "answers") == content(shop / "one")


@pytest.mark.slow
def test_two_computers_and_a_disk(shop: Path) -> None:
    go(shop, recipe("Two computers and a disk"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("parallel") is None, reason="no GNU parallel")
def test_gnu_parallel(shop: Path) -> None:
    script = recipe("GNU parallel")
    go(shop, script)
    shutil.rmtree(shop / "answers")
    log = (shop / "parallel.log").read_text()
    go(shop, script)
    assert (shop / "parallel.log").read_text() == log  # nothing was done twice


@pytest.mark.long
def test_slurm(shop: Path) -> None:
    script = recipe("Slurm")
    assert "--array=0-499%50" in script
    assert "$SLURM_ARRAY_TASK_ID/500" in script
    (shop / "films.sh").write_text(script.replace("0-499%50", "0-2%2").replace("ID/500", "ID/3"))  # as short as it gets
    go(shop, "xraygpt-edge plan films/ --out films.list; sbatch films.sh; xraygpt-edge merge shards/* --out answers")
