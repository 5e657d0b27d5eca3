"""A whole kit, as somebody would carry it: made with the network, installed and asked without one. Minutes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.__main__ import app
from tests.kits import HERE, bare, computer, has_sh, is_root, run, say_otherwise, small_disk
from tests.test_airgap import make_key

WITHOUT_NETWORK = (shutil.which("unshare") or "unshare", "--map-root-user", "--net")
SMALL_DISK_BYTES = 60 << 20


def can_unshare() -> bool:
    trial = [*WITHOUT_NETWORK, "true"]
    return bool(shutil.which("unshare")) and subprocess.run(trial, capture_output=True).returncode == 0


pytestmark = [
    has_sh,
    pytest.mark.slow,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(not can_unshare(), reason="this system lets nobody take the network away"),
]


@pytest.fixture(scope="module")
def kit(demo, tmp_path_factory):
    """A signed kit of the demonstration, for every Python that it can serve."""
    folder = tmp_path_factory.mktemp("carried")
    make_key(folder / "key")
    out = folder / "a kit"
    result = CliRunner().invoke(
        app, ["airgap", "--bundle", str(demo), "--out", str(out), "--sign", str(folder / "key")]
    )
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def place(tmp_path):
    computer(tmp_path)
    return tmp_path


def test_a_real_kit_answers_where_there_is_no_network_and_no_compiler(kit, phantom, place):
    done = run(place, kit / "install.sh", "a place", before=WITHOUT_NETWORK)
    assert done.returncode == 0, done.stdout + done.stderr
    program = place / "home" / "a place" / "bin" / "xraygpt-edge"
    assert f'"{program}" ask' in done.stdout
    command = [*WITHOUT_NETWORK, str(program), "ask", str(phantom), "Is there an effusion?", "--bundle", "demo"]
    answer = subprocess.run(command, env=bare(place), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "effusion" in answer.stdout
    again = run(place, kit / "install.sh", "a place", before=WITHOUT_NETWORK)
    assert again.returncode == 0, again.stderr
    assert "it is installed already" in again.stdout
    assert sorted(path.name for path in (place / "home/a place/versions").iterdir()) == ["1", "2"]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_a_real_kit_serves_every_python_that_it_names(kit, place, python):
    found = next((path for path in pythons() if path.name == f"python{python}"), None)
    if found is None or python == HERE:
        pytest.skip(f"no other Python {python} here")
    done = run(place, kit / "install.sh", before=WITHOUT_NETWORK, PYTHON=str(found))
    assert done.returncode == 0, done.stdout + done.stderr


def pythons():
    """Pythons of this computer: on the PATH, and those that pyenv keeps."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += (Path.home() / ".pyenv" / "versions").glob("*/bin")
    return [path for folder in folders for path in folder.glob("python3.1?") if "shims" not in path.parts]


@is_root
def test_a_disk_that_fills_is_one_line_and_leaves_nothing(kit, place):
    """The room is checked first; here somebody else takes it while the packages are written."""
    home = place / "home"
    with small_disk(home, SMALL_DISK_BYTES):
        short = shutil.copytree(kit, place / "short")
        (short / "SHA256SUMS.sig").unlink()
        say_otherwise(short, "KIT_ROOM_MIB", "0")
        full = run(place, short / "install.sh")
        left = sorted(home.rglob("*"))
        early = run(place, kit / "install.sh")
    assert (full.returncode, early.returncode) == (16, 16)
    assert "No space left on device" in full.stderr
    assert "are free in" in early.stderr
    assert [len(done.stderr.splitlines()) for done in (full, early)] == [1, 1]
    assert left == []
