"""A kit for Windows, made here: what is in it, and what its installer does.

The installer is Python, so it runs here as well, with a Python of this computer where the kit's own would be.
"""

from __future__ import annotations

import os
import platform
import py_compile
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import venv
from importlib.util import cache_from_source
from pathlib import Path
from zipfile import ZipFile

import pytest

from export import airgap, airgap_signing
from export.airgap import Kit
from export.measure import Meter
from tests.kits import facts, is_root, pip_wheel, program_wheel, put_wheel, refused, say_otherwise, small_disk, stand_in
from tests.test_airgap import left_over, made, make, make_key
from tests.test_bundle import write
from xraygpt_edge.files import sha256_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a script of Unix")
SCRIPTS = {"install.cmd", "install.py", "undo.cmd", "uninstall.cmd", "verify.py"}
LINK = '#!/bin/sh\nexec "$(dirname "$0")/venv/bin/python" "$@"\n'


def embeddable(folder, series="312", machine=0x8664):
    """A file like Python's embeddable package; its programs are heads alone."""
    program = bytearray(256)
    struct.pack_into("<I", program, 0x3C, 128)
    struct.pack_into("<4sH", program, 128, b"PE\0\0", machine)
    path = folder / f"python-{series}-{machine}.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("python.exe", bytes(program))
        archive.writestr(f"python{series}._pth", f"python{series}.zip\n.\n")
        archive.writestr("LICENSE.txt", "PSF")
    return path


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """Stands in for pip and the compiler; the list of what they were asked."""
    return made(tmp_path / "made", monkeypatch)


@pytest.fixture
def bundle(pip, tmp_path):
    return write(tmp_path / "made" / "tiny")


@pytest.fixture
def python(pip, tmp_path):
    return embeddable(tmp_path / "made")


def test_a_kit_for_windows_holds_a_python_and_an_installer_that_needs_no_typing(pip, bundle, python, tmp_path):
    result = make(bundle, tmp_path / "kit", "--for", "windows", "--python", python)
    assert result.exit_code == 0, result.output
    kit = tmp_path / "kit"
    names = {path.name for path in kit.iterdir()}
    assert names == {*SCRIPTS, "README.txt", "kit.conf", "requirements-3.12.txt", "SHA256SUMS"} | {
        "bundle",
        "example.dcm",
        "python",
        "wheels",
    }
    assert {path.name for path in (kit / "python").iterdir()} == {"python.exe", "python312._pth", "LICENSE.txt"}
    assert "python/python.exe" in (kit / "SHA256SUMS").read_text("utf-8")
    assert "install.cmd" in result.stderr
    told = facts(kit)
    assert (told["KIT_PYTHON_FILE"], told["KIT_PYTHON_SHA256"]) == (python.name, sha256_of(python))
    assert (told["KIT_SYSTEM"], told["KIT_MACHINE"], told["KIT_PYTHON"]) == ("Windows", "AMD64", "3.12")


def test_what_windows_itself_reads_has_its_line_ends_and_the_sums_have_not(pip, bundle, python, tmp_path):
    make(bundle, tmp_path / "kit", "--for", "windows", "--python", python)
    for path in (tmp_path / "kit").iterdir():
        if path.suffix == ".cmd" or path.name == "README.txt":
            assert re.search(rb"[^\r]\n", path.read_bytes()) is None, path.name
        elif path.is_file() and path.suffix != ".dcm":
            assert b"\r" not in path.read_bytes(), path.name


def test_windows_gets_its_own_wheels_and_microsofts_run_time(pip, bundle, python, tmp_path):
    make(bundle, tmp_path / "kit", "--for", "windows", "--python", python)
    (call,) = [call for call in pip if call[0] == "download"]
    assert ("llama", "win_amd64") in pip
    assert "--platform=win_amd64" in call
    assert call[call.index("--python-version") + 1] == "3.12"
    assert call[-1] == "msvc-runtime"


def test_the_readme_for_windows_says_what_was_never_tried(pip, bundle, python, tmp_path):
    make(bundle, tmp_path / "kit", "--for", "windows", "--python", python)
    text = (tmp_path / "kit" / "README.txt").read_text("utf-8")
    assert "{" not in text
    assert "NOT TRIED ON WINDOWS ITSELF" in text
    assert "NOT A MEDICAL DEVICE" in text
    assert "Microsoft's own terms" in text
    assert max(map(len, text.splitlines())) <= 120


def test_without_a_python_for_windows_one_line_says_what_to_fetch(pip, bundle, tmp_path):
    folder = tmp_path / "made"
    (folder / "python-3.12.9-amd64.exe").write_bytes(b"MZ an installer")
    wrong = [folder / "python-3.12.9-amd64.exe", folder / "none.zip"]
    wrong += [embeddable(folder, machine=0x14C), pip_wheel(folder)]
    for options in ([], *(["--python", path] for path in wrong)):
        result = make(bundle, tmp_path / "kit", "--for", "windows", *options)
        assert result.exit_code == 4
        assert "embed-amd64.zip" in result.stderr.replace("\n", " ")
    assert pip == []
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--for", "windows", "--pythons", "3.12"], "no other options"),
        (["--for", "windows", "--extra", "cuda"], "no other options"),
        (["--for", "windows", "--cpu", "native"], "no other options"),
        ([], "--for windows"),
    ],
)
def test_what_a_kit_cannot_have_is_refused_before_anything_is_collected(pip, bundle, python, tmp_path, options, words):
    result = make(bundle, tmp_path / "kit", "--python", python, *options)
    assert result.exit_code == 4
    assert words in result.stderr.replace("\n", " ")
    assert pip == []


def test_a_python_that_has_no_wheels_is_refused(pip, bundle, tmp_path):
    result = make(bundle, tmp_path / "kit", "--for", "windows", "--python", embeddable(tmp_path / "made", "314"))
    assert result.exit_code == 4
    assert "is Python 3.14" in result.stderr.replace("\n", " ")


def windows_kit(folder, version, doctor=0, key=None):
    """A kit whose Python runs here, and whose program is a small one."""
    parts = folder / f"made-{version}"
    parts.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        wheels = [program_wheel(parts, version, doctor), pip_wheel(parts)]
        stand_in(patch, put_wheel(parts, "llama_cpp_python-0.3.36"), wheels)
        kit = folder / f"kit-{version}"
        airgap.make(Kit(write(parts / "tiny"), key=key, system="windows", python=embeddable(parts)), kit, Meter())
    venv.create(kit / "python" / "venv", symlinks=True)
    (kit / "python" / "python.exe").write_text(LINK, "utf-8")
    (kit / "python" / "python.exe").chmod(0o755)
    (kit / "SHA256SUMS.sig").unlink(missing_ok=True)
    say_otherwise(kit, "KIT_SYSTEM", platform.system())
    say_otherwise(kit, "KIT_MACHINE", platform.machine())
    if key:
        airgap_signing.sign(kit, key)
    return kit


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    """Two kits of one maker, one whose program finds no computer fit, and one that somebody else has signed."""
    folder = tmp_path_factory.mktemp("windows")
    keys = [folder / "key", folder / "another key"]
    for key in keys:
        make_key(key)
    return {
        "old": windows_kit(folder, "1.0", key=keys[0]),
        "new": windows_kit(folder, "2.0", key=keys[0]),
        "unfit": windows_kit(folder, "3.0", doctor=14, key=keys[0]),
        "strange": windows_kit(folder, "4.0", key=keys[1]),
        "unsigned": windows_kit(folder, "5.0"),
    }


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def broken(kits, tmp_path):
    """A copy of a kit that may be changed."""
    return Path(shutil.copytree(kits["unsigned"], tmp_path / "a kit", symlinks=True))


def environment(home, **more):
    return {"HOME": str(home), "LOCALAPPDATA": str(home / "local"), "PATH": os.environ["PATH"], **more}


def run(kit, home, *arguments, **more):
    """Run the installer as install.cmd does."""
    command = [str(kit / "python" / "python.exe"), "-B", str(kit / "install.py"), *map(str, arguments)]
    return subprocess.run(command, env=environment(home, **more), capture_output=True, text=True, cwd=home)


def place(home):
    return home / "local" / "Programs" / "xraygpt-edge"


def version(home, launcher="xraygpt-edge.cmd"):
    """What a launcher would start, and what that says."""
    text = (place(home) / launcher).read_bytes().decode()
    (found,) = re.findall(r'^@"%~dp0(versions\\\d+)\\python\.exe" -m xraygpt_edge %\* & exit /b\r\n$', text)
    command = [place(home) / found.replace("\\", "/") / "python.exe", "-m", "xraygpt_edge", "--version"]
    return subprocess.run(command, env=environment(home), capture_output=True, text=True, cwd=home).stdout.strip()


def everything(home):
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def installs(kit, home):
    done = run(kit, home)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.long
def test_a_kit_for_windows_over_an_older_one_keeps_it_to_go_back_to(kits, home):
    assert "Ready." in installs(kits["old"], home)
    assert version(home) == "1.0"
    assert "it is installed already, and stays" in installs(kits["new"], home)
    assert (version(home), version(home, "previous.cmd")) == ("2.0", "1.0")
    menu = (home / "menu").read_text()
    assert str(place(home) / "versions" / "2") in menu
    assert menu.endswith("--bundle tiny")
    installs(kits["old"], home)
    assert sorted(path.name for path in (place(home) / "versions").iterdir()) == ["2", "3"]
    assert sorted(path.name for path in place(home).iterdir() if path.is_file()) == [
        *(".installation", "bundle", "example.dcm", "previous.cmd", "signer", "undo.cmd", "uninstall.cmd"),
        "xraygpt-edge.cmd",
    ]
    assert (
        place(home) / "versions/3/python312._pth"
    ).read_text() == "python312.zip\n.\nLib\\site-packages\nimport site\n"


@pytest.mark.long
def test_a_program_that_finds_windows_unfit_replaces_none_that_works(kits, home):
    installs(kits["old"], home)
    before = everything(home)
    assert "the new program does not work here" in refused(run(kits["unfit"], home), 14)
    assert (version(home), everything(home)) == ("1.0", before)
    done = run(kits["unfit"], home, home / "elsewhere")
    assert done.returncode == 14
    assert done.stderr == "Installed, but it does not work here: the table above says why.\n"


@pytest.mark.long
def test_a_kit_for_windows_of_somebody_else_does_not_replace_one_that_is_signed(kits, home):
    installs(kits["old"], home)
    before = everything(home)
    assert "is signed by SHA256:" in refused(run(kits["strange"], home), 12)
    assert "is not signed" in refused(run(kits["unsigned"], home), 12)
    assert "must be signed by SHA256:abc" in refused(run(kits["new"], home, SIGNER="SHA256:abc"), 12)
    assert (version(home), everything(home)) == ("1.0", before)


@pytest.mark.long
def test_a_bit_turned_in_any_file_for_windows_is_noticed(broken, home):
    checked = [path for path in sorted(broken.rglob("*")) if path.is_file() and "python" not in path.parts]
    for path in [path for path in checked if path.name not in {"install.py", "verify.py"}]:
        whole = path.read_bytes()
        turned = bytearray(whole)
        turned[len(turned) // 2] ^= 1
        path.write_bytes(turned)
        assert "the kit is damaged" in refused(run(broken, home), 12), path.name
        path.write_bytes(whole)
    (broken / "example.dcm").unlink()
    assert "(example.dcm)" in refused(run(broken, home), 12)
    assert everything(home) == []


@pytest.mark.long
def test_what_is_in_no_list_is_never_run_on_windows(broken, home, tmp_path):
    strange = tmp_path / "strange.py"
    strange.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    beside = cache_from_source(str(broken / "verify.py"))
    py_compile.compile(str(strange), beside, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    put_wheel(broken / "wheels", "pip-0.0", {"pip/__main__.py": strange.read_text()})
    assert "Ready." in installs(broken, home)
    assert not (tmp_path / "ran").exists()


@pytest.mark.long
def test_a_signature_of_other_sums_installs_nothing_on_windows(kits, home, tmp_path):
    kit = Path(shutil.copytree(kits["new"], tmp_path / "a kit", symlinks=True))
    say_otherwise(kit, "KIT_ROOM_MIB", "1")
    assert "is not what was signed" in refused(run(kit, home), 12)
    assert everything(home) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "value", "words", "code"),
    [
        ("KIT_SYSTEM", "Plan9", "the kit is for Plan9", 14),
        ("KIT_MACHINE", "riscv64", "the kit is for", 14),
        ("KIT_ROOM_MIB", "999999999", "the program takes 999999999 MiB", 16),
    ],
)
def test_the_installer_for_windows_says_what_does_not_fit(broken, home, name, value, words, code):
    say_otherwise(broken, name, value)
    assert words in refused(run(broken, home), code)
    assert [path for path in everything(home) if "xraygpt" in path] == []


@pytest.mark.long
def test_packages_that_cannot_be_installed_on_windows_leave_nothing(broken, home):
    next((broken / "wheels").glob("pip-*.whl")).write_bytes(b"no archive")
    say_otherwise(broken, "KIT_ROOM_MIB", "1")
    assert "the packages could not be installed (" in refused(run(broken, home), 16)
    assert [path for path in everything(home) if "xraygpt" in path] == []


@pytest.mark.long
@is_root
def test_a_disk_that_fills_while_windows_gets_its_files_is_one_line_and_leaves_nothing(broken, home):
    say_otherwise(broken, "KIT_ROOM_MIB", "0")
    words = []
    for pages in (2, 14, 22, 60):  # each fills somewhere else
        with small_disk(home, pages * 4096):
            words.append(refused(run(broken, home), 16))
            assert [path for path in home.rglob("*") if path.is_file() or path == place(home)] == []
    assert len(set(words)) > 2, words


@pytest.mark.long
def test_the_installer_for_windows_takes_no_folder_with_other_files(kits, home):
    (home / "mine.txt").touch()
    assert "holds something else" in refused(run(kits["new"], home, home), 2)
    assert everything(home) == ["mine.txt"]


@pytest.mark.long
def test_two_installers_do_not_meet_in_a_folder_of_windows(kits, home):
    import fcntl

    place(home).mkdir(parents=True)
    (place(home) / ".installation").touch()
    with (place(home) / ".installing").open("a") as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        assert "another installer is at work" in refused(run(kits["new"], home), 11)
    assert (place(home) / ".installing").exists()
    installs(kits["new"], home)


@pytest.mark.long
def test_another_model_of_the_same_name_stays_on_windows(kits, home):
    there = home / ".local/share/xraygpt-edge/bundles/tiny"
    there.mkdir(parents=True)
    (there / "manifest.json").write_text("{}")
    assert "another model of the name tiny" in refused(run(kits["new"], home), 2)
    assert [path for path in everything(home) if "Programs/" in path] == []
    assert (there / "manifest.json").read_text() == "{}"


def kill_after(kit, home, seconds):
    """Start an installation and kill it, children and all."""
    command = [str(kit / "python" / "python.exe"), "-B", str(kit / "install.py")]
    options = {"env": environment(home), "cwd": home, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)


def check_kills(kits, home, moments):
    installs(kits["old"], home)
    begin_s = time.monotonic()
    installs(kits["old"], home)
    took_s = time.monotonic() - begin_s
    for moment in range(moments):
        kill_after(kits["new"], home, took_s * (moment + 0.5) / moments)
        assert version(home) in {"1.0", "2.0"}
    installs(kits["new"], home)
    assert version(home) == "2.0"
    assert len(list((place(home) / "versions").iterdir())) == 2
    assert not (place(home) / ".installing").exists()


@pytest.mark.long
def test_an_installer_for_windows_that_is_killed_leaves_a_program_that_answers(kits, home):
    check_kills(kits, home, 4)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_installer_for_windows_that_is_killed_at_50_moments_leaves_a_program_that_answers(kits, home):
    check_kills(kits, home, 50)


WITHOUT_UNIX = """
import asyncio, builtins, importlib, multiprocessing, os, pkgutil, signal, socket, subprocess, sys

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {os: "fork getuid geteuid getpgid killpg setsid sched_getaffinity statvfs O_NOFOLLOW O_DIRECTORY",
         signal: "SIGKILL SIGHUP SIGUSR1 SIGALRM SIGCHLD SIGPIPE setitimer pthread_kill",
         socket: "AF_UNIX"}
real = builtins.__import__

def imported(name, globals=None, *more, **named):
    caller = (globals or {}).get("__name__", "")
    if caller.startswith("xraygpt_edge") and name in MODULES:
        raise ImportError(f"{caller} needs {name}, which Windows lacks")
    return real(name, globals, *more, **named)

for module in MODULES | set(sys.argv[1:]):
    sys.modules.get(module) or importlib.import_module(module)
for module, names in NAMES.items():
    for name in names.split():
        delattr(module, name)
builtins.__import__ = imported
import xraygpt_edge
for module in pkgutil.walk_packages(xraygpt_edge.__path__, "xraygpt_edge."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
"""Other packages are imported first: on Windows they are made for it."""
THEIRS = ("filelock", "jinja2", "llama_cpp", "onnxruntime", "platformdirs", "psutil", "pydicom", "pynetdicom", "rich")
THEIRS += ("typer", "uvicorn")


def test_no_module_needs_one_of_unix_to_be_imported(root):
    done = subprocess.run([sys.executable, "-c", WITHOUT_UNIX, *THEIRS], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
