"""A kit for a machine with no network: whole, checked, and honest about where it fits."""

from __future__ import annotations

import base64
import errno
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export import airgap, airgap_wheels
from export.__main__ import app
from export.airgap_kit import verify
from export.airgap_wheels import LINUX, Target, lacking, oldest_glibc
from export.build_steps import SetupError
from tests.kits import facts, put_wheel, stand_in
from tests.test_bundle import write
from xraygpt_edge import bundle as bundles
from xraygpt_edge.files import sha256_of

SCRIPTS = ("install.sh", "undo.sh", "uninstall.sh", "verify.py")
LISTS = tuple(f"requirements-{python}.txt" for python in airgap.PYTHONS)
TEXTS = ("README.txt", *SCRIPTS, "kit.conf", *LISTS, "SHA256SUMS")


def made(folder, patch):
    """Put stand-ins for pip and the compiler in place; the list of what they are asked."""
    folder.mkdir()
    library = {"llama_cpp/lib/libggml.so": b"\0GLIBC_2.9\0GLIBC_2.17\0GLIBC_9.9"}
    llama = put_wheel(folder, "llama_cpp_python-0.3.36", library)
    wheels = [put_wheel(folder, name) for name in ("xraygpt_edge-0.1.0", "numpy-2.4.6", "pip-26.0")]
    patch.setattr(airgap.platform, "system", lambda: "Linux")
    patch.setattr(airgap.platform, "machine", lambda: "x86_64")
    return stand_in(patch, llama, wheels)


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """Stands in for pip and the compiler; the list of what they were asked."""
    return made(tmp_path / "made", monkeypatch)


@pytest.fixture
def bundle(pip, tmp_path):
    """A bundle of a few bytes: nobody asks it anything."""
    return write(tmp_path / "made" / "tiny")


def make(bundle, out, *more):
    return CliRunner().invoke(app, ["airgap", "--bundle", str(bundle), "--out", str(out), *map(str, more)])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A kit that nobody changes, and what pip and the compiler were asked for it."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        asked = made(folder / "made", patch)
        result = make(write(folder / "made" / "tiny"), folder / "a kit")
    assert result.exit_code == 0, result.output
    return folder / "a kit", asked


@pytest.fixture
def kit(whole):
    return whole[0]


@pytest.fixture
def asked(whole):
    return whole[1]


def left_over(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.name != "made")


def test_a_kit_holds_everything_and_nothing_else(kit):
    names = {path.name for path in kit.iterdir()}
    assert names == {*TEXTS, "bundle", "example.dcm", "wheels"}
    assert bundles.verify(bundles.load(kit / "bundle" / "tiny")) == []
    assert left_over(kit.parent) == ["a kit"]


def test_every_wheel_is_pinned_by_its_hash(kit):
    wheels = [wheel for wheel in sorted((kit / "wheels").iterdir()) if not wheel.name.startswith("pip-")]
    assert len(wheels) == 3
    for name in LISTS:
        lines = (kit / name).read_text("utf-8").splitlines()
        assert [line.split("sha256:")[1] for line in lines] == [sha256_of(wheel) for wheel in wheels]
        assert "llama_cpp_python==0.3.36 --hash=" in lines[0]


def test_every_file_is_in_the_sums(kit):
    lines = (kit / "SHA256SUMS").read_text("utf-8").splitlines()
    files = {path.relative_to(kit).as_posix() for path in kit.rglob("*") if path.is_file()}
    assert {line.split("  ", 1)[1] for line in lines} == files - {"SHA256SUMS"}
    assert all(sha256_of(kit / line.split("  ", 1)[1]) == line.split("  ", 1)[0] for line in lines)


def test_the_texts_name_no_host_and_no_place_of_this_machine(kit, root):
    places = ("http", "index-url", "find-links=", str(kit.parent), str(root), str(Path.home()), sys.prefix)
    text = "".join((kit / name).read_text("utf-8") for name in TEXTS)
    assert [place for place in (*places, socket.gethostname()) if place in text] == []


def test_the_kit_is_for_any_desktop_unless_told_otherwise(asked, kit):
    assert ("llama", "linux_x86_64") in asked
    assert "avx512" not in facts(kit)["KIT_CPU"]


def test_a_kit_for_this_cpu_says_so(pip, bundle, tmp_path):
    make(bundle, tmp_path / "kit", "--cpu", "native")
    assert ("llama", "for this computer") in pip


def test_llama_cpp_is_ours_and_nothing_is_compiled_on_the_way(asked, kit, root):
    for call in [call for call in asked if call[0] == "download"]:
        assert str(kit.parent / "made" / "llama_cpp_python-0.3.36-py3-none-any.whl") in call
        assert "--only-binary" in call
        assert str(root / "constraints.txt") in call


def test_a_kit_serves_several_pythons_on_a_linux_of_2018(asked, kit):
    calls = [call for call in asked if call[0] == "download"]
    assert [call[call.index("--python-version") + 1] for call in calls] == ["3.11", "3.12", "3.13"]
    assert all("--platform=manylinux_2_28_x86_64" in call and "2_29" not in "".join(call) for call in calls)
    assert facts(kit)["KIT_PYTHON"] == "'3.11 3.12 3.13'"


def test_a_kit_for_one_python_says_so(pip, bundle, tmp_path):
    assert make(bundle, tmp_path / "kit", "--pythons", "3.12").exit_code == 0
    assert facts(tmp_path / "kit")["KIT_PYTHON"] == "3.12"
    assert "Python       3.12 (" in (tmp_path / "kit" / "README.txt").read_text("utf-8")


def test_a_python_that_cannot_be_served_is_refused_before_anything_is_collected(pip, bundle, tmp_path):
    result = make(bundle, tmp_path / "kit", "--pythons", "3.12,3.14")
    assert result.exit_code == 4
    assert "not for 3.14" in result.stderr
    assert pip == []


def test_what_only_the_other_python_needs_is_fetched_as_well(tmp_path):
    needs = ['tomli>=2; python_version < "3.11"', 'colorama; sys_platform == "win32"', 'numpy; extra == "cpu"', "six"]
    wheels = [put_wheel(tmp_path, "xraygpt_edge-0.1.0", needs=needs), put_wheel(tmp_path, "six-1.0", needs=["Seven"])]
    wanted = "xraygpt-edge[cpu]"
    assert lacking(wheels, wanted, Target("3.12", LINUX)) == ["Seven", "numpy"]
    assert lacking(wheels, wanted, Target("3.10", LINUX)) == ["Seven", "numpy", "tomli>=2"]
    assert lacking(wheels, wanted, Target("3.12", (), {"sys_platform": "win32"})) == ["Seven", "colorama", "numpy"]


def test_what_pip_does_not_bring_is_asked_for_once_and_then_named(pip, bundle, tmp_path):
    put_wheel(tmp_path / "made", "xraygpt_edge-0.1.0", needs=["six"])
    result = make(bundle, tmp_path / "kit", "--pythons", "3.12")
    assert result.exit_code == 14
    assert "did not bring six for Python 3.12" in result.stderr
    assert [call[-1] for call in pip if call[0] == "download"] == ["pip", "six"]
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("extra", ["cpu", "cuda"])
def test_the_extra_is_the_one_that_was_asked_for(pip, bundle, tmp_path, extra):
    assert make(bundle, tmp_path / "kit", "--extra", extra).exit_code == 0
    assert any(argument.endswith(f".whl[{extra}]") for call in pip for argument in call)


def test_the_kit_knows_which_c_library_its_wheel_needs(kit, tmp_path):
    assert facts(kit)["KIT_GLIBC"] == "2.17"
    assert oldest_glibc([put_wheel(tmp_path, "other-1")]) == ""
    name = "more-2-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
    several = put_wheel(tmp_path, "more-2").rename(tmp_path / name)
    assert oldest_glibc([several]) == "2.27"


def test_the_readme_names_what_the_computer_must_be(kit):
    text = (kit / "README.txt").read_text("utf-8")
    assert "{" not in text
    assert "Python       3.11 or 3.12 or 3.13" in text
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

    monkeypatch.setattr(airgap_wheels, "pip", refuse)
    result = make(bundle, tmp_path / "kit")
    assert result.exit_code == 14
    assert result.stderr.splitlines()[-1] == "pip download failed, so there is no kit."
    assert left_over(tmp_path) == []


def test_pip_that_fails_is_an_error_with_its_own_words(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SetupError, match="pip download failed"):
        airgap_wheels.pip("download", "--dest", str(tmp_path), "no-such-package-here")
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


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A key of OpenSSH's, without a passphrase."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("OpenSSH is not installed")
    path = tmp_path_factory.mktemp("keys") / "key"
    make_key(path)
    return path


def make_key(path, kind="ed25519"):
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)], check=True)


def signed(folder, key, purpose="xraygpt-kit", text="sums\n"):
    folder.mkdir(exist_ok=True)
    (folder / "SHA256SUMS").write_text(text, "utf-8")
    (folder / "SHA256SUMS.sig").unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", purpose, str(folder / "SHA256SUMS")]
    subprocess.run(command, check=True)
    return folder


def test_a_signed_kit_names_the_key_that_openssh_names(pip, bundle, key, tmp_path):
    result = make(bundle, tmp_path / "kit", "--sign", str(key))
    assert result.exit_code == 0, result.output
    shown = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, text=True, check=True).stdout.split()
    assert verify.signer(tmp_path / "kit") == shown[1]
    assert shown[1] in result.stderr
    command = ["ssh-keygen", "-Y", "check-novalidate", "-n", "xraygpt-kit", "-s", "SHA256SUMS.sig"]
    sums = (tmp_path / "kit" / "SHA256SUMS").read_bytes()
    done = subprocess.run(command, cwd=tmp_path / "kit", input=sums, capture_output=True)
    assert done.returncode == 0
    assert shown[1] in done.stdout.decode()


def test_a_key_of_another_kind_is_refused_before_anything_is_collected(pip, bundle, tmp_path):
    make_key(tmp_path / "made" / "other", "ecdsa")
    for name, words in {"other": "must be Ed25519", "no-key": "no key of OpenSSH"}.items():
        result = make(bundle, tmp_path / "kit", "--sign", str(tmp_path / "made" / name))
        assert result.exit_code == 4
        assert words in result.stderr
    assert pip == []


def test_a_kit_without_a_signature_has_no_signer(tmp_path):
    assert verify.signer(tmp_path) == ""


def test_a_signature_for_something_else_or_of_another_kind_of_key_is_none(key, tmp_path):
    make_key(tmp_path / "other", "ecdsa")
    for folder in (signed(tmp_path / "a", key, "file"), signed(tmp_path / "b", tmp_path / "other")):
        with pytest.raises(verify.NotSigned):
            verify.signer(folder)


def test_any_bit_turned_in_sums_or_signature_is_noticed(key, tmp_path):
    folder = signed(tmp_path / "kit", key)
    for name in ("SHA256SUMS", "SHA256SUMS.sig"):
        whole = (folder / name).read_bytes()
        for bit in range(0, 8 * len(whole), 11):
            broken = bytearray(whole)
            broken[bit // 8] ^= 1 << bit % 8
            (folder / name).write_bytes(broken)
            with pytest.raises(verify.NotSigned):
                verify.signer(folder)
        (folder / name).write_bytes(whole)
    assert verify.signer(folder)


RFC_8032 = (
    (
        "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "",
        "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw==",
    ),
    (
        "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
        "cg==",
        "kqAJqfDUyrhyDoILX2QlQKKye1QWUD+Ps3YiI+vbadoIWsHkPhWZbkWPNhPQ8R2MOHsurrQwKu6wDSkWErsMAA==",
    ),
)
"""Public key, message, signature: the first two test vectors of the standard, in base64."""


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_signatures_of_the_standard_hold_and_no_others(public, message, signature):
    public, message, signature = map(base64.b64decode, (public, message, signature))
    order = int.to_bytes(int.from_bytes(signature[32:], "little") + verify.ORDER, 32, "little")
    assert verify.verifies(public, message, signature)
    assert not verify.verifies(public, message + b"x", signature)
    assert not verify.verifies(public, message, signature[:32] + order)
    assert not verify.verifies(bytes(32 * [255]), message, signature)
