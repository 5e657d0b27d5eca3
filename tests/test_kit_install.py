"""The installer of a kit: it refuses in one line, and what was installed before goes on working until the new one does.

Its kits are real ones with a small program in place of ours (`kits`).
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.kits import (
    HERE,
    bare,
    computer,
    has_sh,
    is_root,
    make_kit,
    put_wheel,
    refused,
    run,
    say_otherwise,
    small_disk,
)
from tests.test_airgap import make_key

pytestmark = [pytest.mark.long, has_sh]


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    """Two kits of one maker, one behind the other, and one whose program finds no computer fit."""
    folder = tmp_path_factory.mktemp("several kits")
    keys = [folder / "key", folder / "another key"]
    for key in keys:
        make_key(key)
    return {
        "old": make_kit(folder, "1.0", key=keys[0]),
        "new": make_kit(folder, "2.0", key=keys[0]),
        "unfit": make_kit(folder, "3.0", doctor=14, key=keys[0]),
        "strange": make_kit(folder, "4.0", key=keys[1]),
        "unsigned": make_kit(folder, "5.0"),
    }


@pytest.fixture
def place(tmp_path):
    """A computer with nobody's files."""
    computer(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def installed(kits, tmp_path_factory):
    """A computer with the old kit, to be copied: installing takes seconds."""
    place = tmp_path_factory.mktemp("installed")
    computer(place)
    done = run(place, kits["old"] / "install.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture
def kit(kits, tmp_path):
    """A copy of a kit that may be broken."""
    return Path(shutil.copytree(kits["new"], tmp_path / "a kit"))


def version(place):
    """What answers."""
    program = place / "home" / "xraygpt-edge" / "bin" / "xraygpt-edge"
    return subprocess.run([program, "--version"], env=bare(place), capture_output=True, text=True).stdout.strip()


def as_0_1_0_left_it(place):
    """The folder of a kit of 0.1.0: an environment, with the program in its `bin`."""
    folder = place / "home" / "xraygpt-edge"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    (folder / "bin" / "python").symlink_to("/usr/bin/env")
    (folder / "pyvenv.cfg").touch()
    (folder / "example.dcm").touch()
    (folder / "bin" / "xraygpt-edge").write_text("#!/bin/sh\necho 0.1.0\n", "utf-8")
    (folder / "bin" / "xraygpt-edge").chmod(0o755)
    return folder


def everything(place):
    return sorted(str(path.relative_to(place / "home")) for path in (place / "home").rglob("*"))


def test_a_kit_over_an_older_one_keeps_models_and_can_be_undone_and_removed(kits, place):
    folder = as_0_1_0_left_it(place)
    assert version(place) == "0.1.0"
    installs(place, kits["old"])
    assert version(place) == "1.0"
    for answers in ("0.1.0", "1.0"):
        assert run(place, folder / "undo.sh").stdout == f"Now this program answers: {answers}\n"
        assert version(place) == answers
    installs(place, kits["new"])
    assert version(place) == "2.0"
    assert {path.name for path in (folder / "versions").iterdir()} == {"1", "2"}
    assert {path.name for path in (folder / "bin").iterdir()} == {"xraygpt-edge", "previous"}
    assert not (folder / "lib").exists()
    assert run(place, folder / "undo.sh").returncode == 0
    assert version(place) == "1.0"
    (folder / "mine.txt").touch()
    done = run(place, folder / "uninstall.sh")
    assert done.returncode == 0, done.stderr
    assert "Files of yours stay" in done.stdout
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    assert (place / "home/.local/share/xraygpt-edge/bundles/tiny/manifest.json").exists()


def installs(place, kit):
    done = run(place, kit / "install.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


def test_everything_is_removed_with_the_models(place, installed):
    take_over(installed, place)
    assert run(place, place / "home/xraygpt-edge/uninstall.sh", "models").returncode == 0
    assert everything(place) == [".local", ".local/share"]


def test_a_program_that_finds_the_computer_unfit_replaces_none_that_works(kits, place, installed):
    take_over(installed, place)
    before = everything(place)
    done = run(place, kits["unfit"] / "install.sh")
    assert done.returncode == 14
    assert done.stderr.startswith("Not installed: the new program does not work here")
    assert everything(place) == before
    assert version(place) == "1.0"


def test_where_nothing_was_before_an_unfit_program_stays_to_say_why(kits, place):
    done = run(place, kits["unfit"] / "install.sh", "elsewhere")
    assert done.returncode == 14
    assert done.stderr == "Installed, but it does not work here: the table above says why.\n"
    assert (place / "home" / "elsewhere" / "bin" / "xraygpt-edge").exists()


def take_over(installed, place):
    """Lay the files of an installed computer here; the environment knows its old place, as the test does not."""
    shutil.rmtree(place / "home")
    shutil.copytree(installed / "home", place / "home", symlinks=True)


@pytest.mark.parametrize(("name", "words"), [("strange", "is signed by SHA256:"), ("unsigned", "is not signed")])
def test_a_kit_of_somebody_else_does_not_replace_one_that_is_signed(kits, place, installed, name, words):
    take_over(installed, place)
    before = everything(place)
    line = refused(run(place, kits[name] / "install.sh"), 12)
    assert words in line
    assert (place / "home/xraygpt-edge/signer").read_text().strip() in line
    assert everything(place) == before


def test_the_signer_on_paper_is_the_one_that_counts(kits, place):
    assert "must be signed by SHA256:abc" in refused(run(place, kits["new"] / "install.sh", SIGNER="SHA256:abc"), 12)
    assert everything(place) == []


def test_a_kit_whose_sums_were_made_anew_is_not_the_one_that_was_signed(kit, place):
    say_otherwise(kit, "KIT_PYTHON", f"'{HERE} 3.99'")
    assert "is not what was signed" in refused(run(place, kit / "install.sh"), 12)
    assert everything(place) == []


def test_a_bit_turned_in_any_file_is_noticed(kit, place):
    for path in sorted(path for path in kit.rglob("*") if path.is_file() and path.name != "install.sh"):
        whole = path.read_bytes()
        broken = bytearray(whole)
        broken[len(broken) // 2] ^= 1
        path.write_bytes(broken)
        line = refused(run(place, kit / "install.sh"), 12)
        assert path.name in line or path.name.startswith("SHA256SUMS")
        path.write_bytes(whole)
    assert everything(place) == []


def test_a_turned_bit_in_the_installer_installs_nothing(kit, place):
    whole = (kit / "install.sh").read_bytes()
    lines_that_check = [whole.index(b"\n" + name) for name in (b"check_files\n", b"check_signer\n")]
    for at in (*(len(whole) * part // 12 for part in range(1, 12)), *lines_that_check):
        broken = bytearray(whole)
        broken[at] ^= 1
        (kit / "install.sh").write_bytes(broken)
        assert run(place, kit / "install.sh").returncode != 0
    assert everything(place) == []


def test_what_is_in_no_list_is_never_run(kit, place):
    """What is signed is the list, and the terminal is open in the kit's own folder."""
    ran = place / "ran"
    strange = f"open({str(ran)!r}, 'w')\n"
    for name in ("venv", "pip", "shutil", "platform", "xraygpt_edge"):
        (kit / f"{name}.py").write_text(strange)
    put_wheel(kit / "wheels", "pip-0.0", {"pip/__main__.py": strange})
    done = subprocess.run([place / "tools" / "sh", "install.sh"], cwd=kit, env=bare(place), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not ran.exists()
    assert version(place) == "2.0"


def test_a_missing_file_is_named(kit, place):
    (kit / "bundle/tiny/language-Q4_K_M.gguf").unlink()
    assert "language-Q4_K_M.gguf" in refused(run(place, kit / "install.sh"), 12)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("KIT_PYTHON", "'3.98 3.99'", f"found here: CPython {platform.system()} {platform.machine()} {HERE}"),
        ("KIT_SYSTEM", "Plan9", f"the kit is for CPython Plan9 {platform.machine()}"),
        ("KIT_MACHINE", "riscv64", "the kit is for CPython"),
        ("KIT_GLIBC", "2.999", "needs glibc 2.999"),
        ("KIT_ROOM_MIB", "999999999", "the program takes 999999999 MiB"),
        pytest.param(
            *("KIT_CPU", "avx9", "has no avx9"),
            marks=pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="the system does not list features"),
        ),
    ],
)
def test_the_installer_says_what_does_not_fit(kit, place, name, value, words):
    (kit / "SHA256SUMS.sig").unlink()
    say_otherwise(kit, name, value)
    assert words in refused(run(place, kit / "install.sh"), 16 if name == "KIT_ROOM_MIB" else 14)
    assert everything(place) == []


@pytest.mark.parametrize("mine", ["mine.txt", "versions/3.12/bin/python", "bin/xraygpt-edge"])
def test_the_installer_takes_no_folder_with_other_files(kits, place, mine):
    """As a home, pyenv's folder, or a `bin` into which pip has installed us."""
    (place / "home" / "taken" / mine).parent.mkdir(parents=True)
    (place / "home" / "taken" / mine).touch()
    before = everything(place)
    assert "holds something else" in refused(run(place, kits["new"] / "install.sh", "taken"), 2)
    assert everything(place) == before


def test_two_installers_do_not_meet_in_a_folder(kits, place):
    folder = as_0_1_0_left_it(place)
    (folder / ".installing").write_text(f"{os.getpid()}\n")
    assert f"process {os.getpid()}" in refused(run(place, kits["new"] / "install.sh"), 11)
    assert (folder / ".installing").exists()


def test_a_model_of_the_same_name_that_is_another_stays(kits, place):
    there = place / "home/.local/share/xraygpt-edge/bundles/tiny"
    there.mkdir(parents=True)
    (there / "manifest.json").write_text("{}")
    before = everything(place)
    assert "another model of the name tiny" in refused(run(place, kits["new"] / "install.sh"), 2)
    assert everything(place) == before


def test_packages_that_cannot_be_installed_leave_nothing(kit, place):
    wheel = next((kit / "wheels").glob("pip-*.whl"))
    wheel.write_bytes(b"no archive")
    (kit / "SHA256SUMS.sig").unlink()
    say_otherwise(kit, "KIT_ROOM_MIB", "1")
    assert "the packages could not be installed (" in refused(run(place, kit / "install.sh"), 16)
    assert everything(place) == []


@is_root
@pytest.mark.parametrize("folder", ["xraygpt-edge", "already-there"])
def test_a_disk_that_fills_at_any_step_is_one_line_and_leaves_nothing(kit, place, folder):
    (kit / "SHA256SUMS.sig").unlink()
    say_otherwise(kit, "KIT_ROOM_MIB", "0")
    words = []
    for pages in (2, 14, 22, 60):  # each fills somewhere else
        with small_disk(place / "home", pages * 4096):
            (place / "home" / "already-there").mkdir()
            done = run(place, kit / "install.sh", folder)
            words.append(refused(done, 14 if "cannot make an environment" in done.stderr else 16))
            assert [path for path in (place / "home").rglob("*") if path.is_file() or path.name == "bin"] == []
            assert (place / "home" / folder).exists() == (folder == "already-there")
    assert len(set(words)) > 2, words


COMMANDS = 170
"""Of an installation, less those after its last words."""


def kill_at(place, kit, moment):
    """Kill the installer and its children at or shortly behind a command of its trace; whether it came so far."""
    command = [str(place / "tools" / "sh"), "-x", str(kit / "install.sh")]
    options = {"env": bare(place), "cwd": place / "home", "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        for number, _ in enumerate(process.stderr):
            if number == moment:
                time.sleep(0.05 * (moment % 4))
                os.killpg(process.pid, signal.SIGKILL)
                return True
    return False


def check_kills(kits, place, shares):
    """Kill an upgrade at these shares of its commands: what was there answers, or the new one; then it goes through."""
    folder = as_0_1_0_left_it(place)
    answers = set()
    for share in shares:
        assert kill_at(place, kits["new"], int(COMMANDS * share))
        answers.add(version(place))
        assert answers <= {"0.1.0", "2.0"}
    installs(place, kits["new"])
    assert version(place) == "2.0"
    assert len(list((folder / "versions").iterdir())) <= 2
    assert not (folder / ".installing").exists()
    return answers


def test_an_installer_that_is_killed_leaves_a_program_that_answers(kits, place):
    check_kills(kits, place, (0.68, 0.7, 0.87, 0.94))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_installer_that_is_killed_at_50_moments_leaves_a_program_that_answers(kits, place):
    assert check_kills(kits, place, [0.1 + 0.88 * part / 50 for part in range(50)]) == {"0.1.0", "2.0"}
