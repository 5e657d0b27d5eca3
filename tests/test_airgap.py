"""A kit for a machine with no network: whole, checked, and honest about where it fits."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from export import airgap
from export.__main__ import app
from export.build_steps import SetupError
from tests.test_bundle import write
from xraygpt_edge import bundle as bundles
from xraygpt_edge.files import sha256_of

TEXTS = ("README.txt", "install.sh", "kit.conf", "requirements.txt", "SHA256SUMS")
TOOLS = ("sh", "cat", "cp", "date", "dirname", "grep", "head", "mkdir", "rm", "sha256sum")
"""All that the installer may count on, beside a Python."""
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"

has_sh = pytest.mark.skipif(os.name == "nt" or not shutil.which("sha256sum"), reason="the installer is for Linux")


def put_wheel(folder: Path, name: str, library: bytes = b"") -> Path:
    path = folder / f"{name}-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr("llama_cpp/lib/libggml.so", library)
    return path


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """Stands in for pip and the compiler; the list of what they were asked."""
    asked = []
    made = tmp_path / "made"
    made.mkdir()
    llama = put_wheel(made, "llama_cpp_python-0.3.36", b"\0GLIBC_2.9\0GLIBC_2.17\0GLIBC_9.9")

    def built(cpu):
        asked.append(("llama", cpu))
        return llama

    def run(step, *arguments):
        asked.append((step, *arguments))
        if step == "wheel":
            folder = Path(arguments[arguments.index("--wheel-dir") + 1])
            folder.mkdir()
            put_wheel(folder, "xraygpt_edge-0.1.0")
            return
        folder = Path(arguments[arguments.index("--dest") + 1])
        folder.mkdir()
        for name in ("xraygpt_edge-0.1.0", "numpy-2.4.6", "pip-26.0"):
            put_wheel(folder, name)
        shutil.copy(llama, folder)

    monkeypatch.setattr(airgap, "built_wheel", built)
    monkeypatch.setattr(airgap, "_pip", run)
    return asked


@pytest.fixture
def bundle(pip, tmp_path):
    """A bundle of a few bytes: nobody asks it anything."""
    return write(tmp_path / "made" / "tiny")


def make(bundle, out, *more):
    return CliRunner().invoke(app, ["airgap", "--bundle", str(bundle), "--out", str(out), *more])


@pytest.fixture
def kit(bundle, tmp_path):
    result = make(bundle, tmp_path / "a kit")
    assert result.exit_code == 0, result.output
    return tmp_path / "a kit"


def facts(kit):
    return dict(line.split("=", 1) for line in (kit / "kit.conf").read_text("utf-8").splitlines())


def left_over(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.name != "made")


def test_a_kit_holds_everything_and_nothing_else(kit, tmp_path):
    names = {path.name for path in kit.iterdir()}
    assert names == {*TEXTS, "bundle", "example.dcm", "wheels"}
    assert bundles.verify(bundles.load(kit / "bundle" / "tiny")) == []
    assert left_over(tmp_path) == ["a kit"]


def test_every_wheel_is_pinned_by_its_hash(kit):
    lines = (kit / "requirements.txt").read_text("utf-8").splitlines()
    wheels = sorted((kit / "wheels").iterdir())
    assert [line.split("sha256:")[1] for line in lines] == [sha256_of(wheel) for wheel in wheels]
    assert "llama_cpp_python==0.3.36 --hash=" in lines[0]


def test_every_file_is_in_the_sums(kit):
    lines = (kit / "SHA256SUMS").read_text("utf-8").splitlines()
    files = {path.relative_to(kit).as_posix() for path in kit.rglob("*") if path.is_file()}
    assert {line.split("  ", 1)[1] for line in lines} == files - {"SHA256SUMS"}
    assert all(sha256_of(kit / line.split("  ", 1)[1]) == line.split("  ", 1)[0] for line in lines)


def test_the_texts_name_no_host_and_no_place_of_this_machine(kit, tmp_path, root):
    places = ("http", "index-url", "find-links=", str(tmp_path), str(root), str(Path.home()), sys.prefix)
    text = "".join((kit / name).read_text("utf-8") for name in TEXTS)
    assert [place for place in (*places, socket.gethostname()) if place in text] == []


def test_the_kit_is_for_any_desktop_unless_told_otherwise(pip, kit):
    assert ("llama", "portable") in pip
    assert "avx512" not in facts(kit)["KIT_CPU"]


def test_a_kit_for_this_cpu_says_so(pip, bundle, tmp_path):
    make(bundle, tmp_path / "kit", "--cpu", "native")
    assert ("llama", "native") in pip


def test_llama_cpp_is_ours_and_nothing_is_compiled_on_the_way(pip, kit, tmp_path, root):
    (download,) = [call for call in pip if call[0] == "download"]
    assert str(tmp_path / "made" / "llama_cpp_python-0.3.36-py3-none-any.whl") in download
    assert "--only-binary" in download
    assert str(root / "constraints.txt") in download


@pytest.mark.parametrize("extra", ["cpu", "cuda"])
def test_the_extra_is_the_one_that_was_asked_for(pip, bundle, tmp_path, extra):
    assert make(bundle, tmp_path / "kit", "--extra", extra).exit_code == 0
    assert any(argument.endswith(f".whl[{extra}]") for call in pip for argument in call)


def test_the_kit_knows_which_c_library_its_wheel_needs(kit, tmp_path):
    assert facts(kit)["KIT_GLIBC"] == "2.17"
    assert airgap.oldest_glibc(put_wheel(tmp_path, "other-1")) == ""


def test_the_readme_names_what_the_computer_must_be(kit):
    text = (kit / "README.txt").read_text("utf-8")
    assert "{" not in text
    assert f"Python       {HERE}" in text
    assert "NOT A MEDICAL DEVICE" in text
    assert max(map(len, text.splitlines())) <= 120


def test_an_altered_bundle_is_refused_before_anything_is_collected(pip, bundle, tmp_path):
    weights = bundle / "language-Q4_K_M.gguf"
    weights.write_bytes(weights.read_bytes().swapcase())
    result = make(bundle, tmp_path / "kit")
    assert result.exit_code == 12
    assert "language-Q4_K_M.gguf" in result.stderr
    assert left_over(tmp_path) == []
    assert pip == []


def test_a_folder_without_a_bundle_ends_with_10(pip, tmp_path):
    assert make(tmp_path, tmp_path / "kit").exit_code == 10


def test_a_folder_that_exists_is_not_overwritten(pip, bundle, tmp_path):
    (tmp_path / "kit").mkdir()
    result = make(bundle, tmp_path / "kit")
    assert result.exit_code == 4
    assert "exists already" in result.stderr


def test_wheels_that_cannot_be_collected_end_with_14_and_one_line(pip, bundle, tmp_path, monkeypatch):
    def refuse(step, *arguments):
        raise SetupError("pip download failed, so there is no kit.")

    monkeypatch.setattr(airgap, "_pip", refuse)
    result = make(bundle, tmp_path / "kit")
    assert result.exit_code == 14
    assert result.stderr.splitlines()[-1] == "pip download failed, so there is no kit."
    assert left_over(tmp_path) == []


def test_pip_that_fails_is_an_error_with_its_own_words(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SetupError, match="pip download failed"):
        airgap._pip("download", "--dest", str(tmp_path), "no-such-package-here")
    assert "no-such-package-here" in capfd.readouterr().err


def test_a_disk_that_fills_leaves_nothing(pip, bundle, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xraygpt_edge.bundle.store._copy_synced", full)
    result = make(bundle, tmp_path / "kit")
    assert result.exit_code == 16
    assert "No space left" in result.stderr
    assert left_over(tmp_path) == []


def test_a_disk_without_room_is_noticed_first(pip, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(airgap.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 9, 1))
    assert make(bundle, tmp_path / "deep" / "kit").exit_code == 16
    assert pip == []


def install(kit, tmp_path, *arguments, before=()):
    """Run the installer as a new user would, with few tools and no compiler."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    python = Path(sys.base_prefix) / "bin" / f"python{HERE}"
    for name, tool in {**{name: shutil.which(name) for name in TOOLS}, "python3": python}.items():
        if not (tools / name).exists():
            (tools / name).symlink_to(tool)
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    command = [*before, str(tools / "sh"), str(kit / "install.sh"), *arguments]
    return subprocess.run(command, env=bare(tmp_path), capture_output=True, text=True, cwd=home)


def bare(tmp_path):
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "tools")}


def refused(done, code):
    """The one line of a refusal; nothing else went to standard error."""
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("Not installed: ")
    return line


def say_otherwise(kit, name, value):
    """Change what the kit asks for, sums and all."""
    told = facts(kit)
    told[name] = value
    (kit / "kit.conf").write_text("".join(f"{key}={value}\n" for key, value in told.items()), "utf-8")
    (kit / "SHA256SUMS").unlink()
    (kit / "SHA256SUMS").write_text(airgap._sums(kit), "utf-8")


@has_sh
@pytest.mark.parametrize("name", ["wheels/numpy-2.4.6-py3-none-any.whl", "bundle/tiny/vision-int8.onnx", "install.sh"])
def test_the_installer_notices_a_damaged_file(kit, tmp_path, name):
    with (kit / name).open("ab") as stream:
        stream.write(b"\n")
    assert name in refused(install(kit, tmp_path), 12)
    assert not any((tmp_path / "home").iterdir())


@has_sh
def test_the_installer_notices_a_missing_file(kit, tmp_path):
    (kit / "bundle/tiny/language-Q4_K_M.gguf").unlink()
    assert "language-Q4_K_M.gguf" in refused(install(kit, tmp_path), 12)


@has_sh
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("KIT_PYTHON", "3.99", f"found here: CPython {HERE} {platform.system()}"),
        ("KIT_MACHINE", "riscv64", "the kit is for CPython"),
        ("KIT_GLIBC", "2.999", "needs glibc 2.999"),
        pytest.param(
            *("KIT_CPU", "avx9", "has no avx9"),
            marks=pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="the system does not list features"),
        ),
    ],
)
def test_the_installer_says_what_does_not_fit(kit, tmp_path, name, value, words):
    say_otherwise(kit, name, value)
    assert words in refused(install(kit, tmp_path), 14)
    assert not any((tmp_path / "home").iterdir())


@has_sh
def test_the_installer_takes_no_folder_that_exists(kit, tmp_path):
    taken = tmp_path / "home" / "taken"
    taken.mkdir(parents=True)
    (taken / "mine.txt").touch()
    assert "exists already" in refused(install(kit, tmp_path, "taken"), 2)
    assert (taken / "mine.txt").exists()


@has_sh
def test_an_installation_that_fails_on_the_way_leaves_nothing(kit, tmp_path):
    done = install(kit, tmp_path)  # its pip is an empty archive
    assert done.returncode == 16, done.stderr
    assert done.stderr.splitlines()[-1].startswith("Not installed: the packages could not be installed")
    assert not any((tmp_path / "home").iterdir())


WITHOUT_NETWORK = (shutil.which("unshare") or "unshare", "--map-root-user", "--net")


def can_unshare() -> bool:
    trial = [*WITHOUT_NETWORK, "true"]
    return bool(shutil.which("unshare")) and subprocess.run(trial, capture_output=True).returncode == 0


@has_sh
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not can_unshare(), reason="this system lets nobody take the network away")
def test_a_real_kit_answers_where_there_is_no_network_and_no_compiler(demo, phantom, tmp_path):
    result = make(demo, tmp_path / "a kit")
    assert result.exit_code == 0, result.output
    done = install(tmp_path / "a kit", tmp_path, "a place", before=WITHOUT_NETWORK)
    assert done.returncode == 0, done.stdout + done.stderr
    program = tmp_path / "home" / "a place" / "bin" / "xraygpt-edge"
    assert f'"{program}" ask' in done.stdout
    command = [*WITHOUT_NETWORK, str(program), "ask", str(phantom), "Is there an effusion?", "--bundle", "demo"]
    answer = subprocess.run(command, env=bare(tmp_path), capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "effusion" in answer.stdout
    again = install(tmp_path / "a kit", tmp_path, "another place", before=WITHOUT_NETWORK)
    assert again.returncode == 0, again.stderr
    assert "it is installed already" in again.stdout
