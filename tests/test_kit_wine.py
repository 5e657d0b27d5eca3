"""What cmd does with the scripts of a kit for Windows, as far as Wine's cmd is like Windows' own.

Wine's certutil hashes nothing, and no Python for Windows is to be had here: a small program and Wine's own cmd stand in
for them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from export import airgap
from tests.wine import WINE, compiled, needs_wine, windows_path
from tests.wine import windows as a_windows

TEMPLATES = Path(__file__).parents[1] / "export" / "airgap_kit"
REFUSED = 1
"""Wine 8's `call` makes every code but 0 this one, whatever a script ends with; Windows passes the code on."""
RUN_UNSEEN = ("python/python.exe", "python/deep.dll", "install.py", "verify.py")
"""What runs before the installer itself can look at a file."""
LAUNCHES = "@echo version {number} %* & exit /b\n"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), needs_wine]


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    """The environment of a Windows of its own, its drive C, and a certutil."""
    folder = tmp_path_factory.mktemp("wine")
    own = compiled(Path(__file__).with_name("certutil.c"), folder, "-lbcrypt")
    with a_windows(folder) as environment:
        shutil.copyfile(own, folder / "c" / "drive_c" / "windows" / "system32" / own.name)
        yield {**environment, "WINEDLLOVERRIDES": "certutil.exe=n"}  # else Wine takes its own all the same


def write(path, text):
    """A text as cmd reads it."""
    path.write_text(text, "utf-8", newline="\r\n")


def run(windows, script, *arguments):
    """Run a script by Wine's cmd, from another, since that takes no such path on its command line; code and words."""
    caller = script.parent.with_name("caller.cmd")
    write(caller, f'@call "%~dp0{script.parent.name}\\{script.name}" {" ".join(arguments)}\n@echo code %errorlevel%\n')
    command = [WINE, "cmd", "/c", windows_path(caller)]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, env=windows, cwd=caller.parent, errors="replace", **options)
    said, _, code = done.stdout.rpartition("code ")
    return int(code), said


@pytest.fixture
def kit(windows, tmp_path):
    """What install.cmd sees of a kit, in a folder with a space and brackets in its name."""
    folder = tmp_path / "a kit (1)"
    (folder / "python").mkdir(parents=True)
    write(folder / "install.cmd", (TEMPLATES / "install.cmd").read_text("utf-8"))
    shutil.copy(Path(windows["WINEPREFIX"]) / "drive_c/windows/system32/cmd.exe", folder / "python" / "python.exe")
    for name in ("install.py", "verify.py", "python/deep.dll"):
        (folder / name).write_text(f"# {name}\n")
    (folder / "wheels").mkdir()
    (folder / "wheels" / "some.whl").write_bytes(b"a wheel")
    (folder / "SHA256SUMS").write_text(airgap.sums(folder))
    return folder


def test_install_cmd_starts_the_kits_own_python_when_it_is_whole(windows, kit):
    code, said = run(windows, kit / "install.cmd")
    assert code == 0
    assert "Not installed" not in said
    assert "Microsoft Windows" in said  # which is what stands in for Python says


@pytest.mark.parametrize("name", RUN_UNSEEN)
def test_install_cmd_runs_nothing_that_is_damaged(windows, kit, name):
    whole = (kit / name).read_bytes()
    (kit / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    code, said = run(windows, kit / "install.cmd")
    assert f"Not installed: the kit is damaged ({name.replace('/', chr(92))})." in said
    assert "Microsoft Windows" not in said
    assert code == REFUSED


def test_install_cmd_lets_pythons_folder_hold_nothing_more(windows, kit):
    """Windows would load a library from there first."""
    (kit / "python" / "version.dll").touch()
    code, said = run(windows, kit / "install.cmd")
    assert "Not installed: the kit is damaged (python: 1 files that are not in the list)." in said
    assert "Microsoft Windows" not in said
    assert code == REFUSED


def test_install_cmd_asks_no_certutil_of_the_kits_own(windows, kit):
    write(kit.parent / "certutil.cmd", "@echo.\n@echo not asked\n")  # where a double click would begin
    code, _ = run(windows, kit / "install.cmd")
    assert code == 0


def test_install_cmd_misses_the_sums(windows, kit):
    (kit / "SHA256SUMS").unlink()
    code, said = run(windows, kit / "install.cmd")
    assert "Not installed: the kit is damaged (SHA256SUMS)." in said
    assert code == REFUSED


@pytest.fixture
def installed(tmp_path):
    """What an installer leaves, with programs that only say what they are."""
    folder = tmp_path / "programs (x86)"
    (folder / "versions" / "2").mkdir(parents=True)
    for name in ("undo.cmd", "uninstall.cmd"):
        write(folder / name, (TEMPLATES / name).read_text("utf-8"))
    for name in (".installation", "signer", "example.dcm"):
        (folder / name).touch()
    write(folder / "bundle", "demo\n")
    write(folder / "xraygpt-edge.cmd", LAUNCHES.format(number=2))
    write(folder / "previous.cmd", LAUNCHES.format(number=1))
    return folder


def test_undo_cmd_gives_the_program_before_back_and_once_more_the_newer(windows, installed):
    for number in (1, 2):
        code, said = run(windows, installed / "undo.cmd")
        assert said.split() == ["Now", "this", "program", "answers:", "version", str(number), "--version"]
        assert code == 0
    (installed / "previous.cmd").unlink()
    code, said = run(windows, installed / "undo.cmd")
    assert said.startswith("Nothing is undone: no program was installed in")
    assert code == REFUSED
    assert not list(installed.glob("*.next"))


def test_uninstall_cmd_removes_the_program_and_itself_and_leaves_what_is_not_its(windows, installed):
    (installed / "mine.txt").touch()
    code, said = run(windows, installed / "uninstall.cmd")
    assert said.strip() == "xraygpt-edge is removed."
    assert code == 0
    assert [path.name for path in installed.iterdir()] == ["mine.txt"]


def test_uninstall_cmd_removes_nothing_where_nothing_is_installed(windows, installed):
    (installed / ".installation").unlink()
    before = sorted(installed.rglob("*"))
    code, said = run(windows, installed / "uninstall.cmd")
    assert said.startswith("Not removed: nothing is installed in")
    assert code == REFUSED
    assert sorted(installed.rglob("*")) == before
