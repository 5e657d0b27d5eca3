"""Kits of a few wheels that need no network: the maker's own code, with a small program and a small pip in them.

They know only what an installer asks them. What a real kit does is tested in `test_kit_real.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from zipfile import ZipFile

import pytest

from export import airgap, airgap_wheels
from export.airgap import Kit
from export.llama_portable import system_of
from export.measure import Meter
from tests.test_bundle import write

HERE = airgap.THIS_PYTHON
TOOLS = ("sh", "cat", "cmp", "cp", "date", "dirname", "grep", "head", "ln", "ls", "mkdir", "mv", "rm", "rmdir")
TOOLS += ("sha256sum", "sleep", "sync", "tail", "uname")
"""All that the installer may count on, beside a Python."""
NOTHING: Mapping[str, str] = MappingProxyType({})

has_sh = pytest.mark.skipif(os.name == "nt" or not shutil.which("sha256sum"), reason="the installer is for Linux")

PROGRAM = """
import shutil, sys, time
from pathlib import Path

def bundle_store():
    return Path.home() / ".local/share/xraygpt-edge/bundles"

def main():
    match sys.argv[1:]:
        case ["--version"]:
            print("{version}")
        case ["bundle", "install", folder]:
            there = bundle_store() / Path(folder).name
            try:
                shutil.copytree(folder, there)
            except OSError:
                shutil.rmtree(there)
                print("no room for the model", file=sys.stderr)
                return 16
        case ["doctor"]:
            print("what works here")
            return {doctor}
        case ["serve", "--shortcut", *options]:
            Path.home().joinpath("menu").write_text(" ".join([sys.executable, *options]))
"""


PIP = """
import sys, sysconfig
from pathlib import Path
from zipfile import ZipFile

options = dict(zip(sys.argv[1:], sys.argv[2:]))
for line in Path(options["-r"]).read_text().splitlines():
    name = line.split()[0].replace("==", "-")
    (wheel,) = Path(options["--find-links"]).glob(f"{name}-*.whl")
    ZipFile(wheel).extractall(sysconfig.get_path("purelib"))
program = Path(sysconfig.get_path("scripts"), "xraygpt-edge")
program.write_text(f"#!{sys.executable}\\nimport sys, xraygpt_edge\\nsys.exit(xraygpt_edge.main())\\n")
program.chmod(0o755)
"""


def put_wheel(folder: Path, name: str, files: Mapping[str, str | bytes] = NOTHING, needs: Sequence[str] = ()) -> Path:
    """A wheel for every Python and system."""
    title, version = name.split("-")
    info = f"{title}-{version}.dist-info"
    asked = "".join(f"Requires-Dist: {need}\n" for need in needs)
    words = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {title}\nVersion: {version}\n{asked}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
        **files,
    }
    path = folder / f"{name}-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        for inside, content in words.items():
            archive.writestr(inside, content)
    return path


def program_wheel(folder: Path, version: str, doctor: int = 0) -> Path:
    """A program that says its version, and finds this computer fit or not."""
    code = PROGRAM.format(version=version, doctor=doctor)
    files = {
        "xraygpt_edge/__init__.py": code,
        "xraygpt_edge/__main__.py": "import sys, xraygpt_edge\nsys.exit(xraygpt_edge.main())\n",
        "xraygpt_edge/bundle/__init__.py": "",
        "xraygpt_edge/bundle/store.py": "from xraygpt_edge import bundle_store\n",
        f"xraygpt_edge-{version}.dist-info/entry_points.txt": "[console_scripts]\nxraygpt-edge = xraygpt_edge:main\n",
    }
    return put_wheel(folder, f"xraygpt_edge-{version}", files)


def pip_wheel(folder: Path) -> Path:
    """The little of pip that an installer needs; pip itself takes seconds."""
    return put_wheel(folder, "pip-26.0", {"pip/__main__.py": PIP})


def stand_in(monkeypatch: pytest.MonkeyPatch, llama: Path, wheels: Sequence[Path]) -> list[tuple[str, ...]]:
    """Put these wheels in place of what pip and the compiler would bring; the list of what they are asked."""
    asked: list[tuple[str, ...]] = []

    def built(flags: list[str]) -> Path:
        system = system_of(flags)
        asked.append(("llama", system.tag if system else "for this computer"))
        return llama

    def pip(step: str, *arguments: str) -> None:
        asked.append((step, *arguments))
        folder = Path(arguments[arguments.index("--wheel-dir" if step == "wheel" else "--dest") + 1])
        for wheel in wheels[:1] if step == "wheel" else [*wheels, llama]:
            shutil.copy(wheel, folder)

    monkeypatch.setattr(airgap, "wheel_of", built)
    monkeypatch.setattr(airgap_wheels, "pip", pip)
    return asked


def make_kit(folder: Path, version: str, doctor: int = 0, key: Path | None = None, bundle: str = "tiny") -> Path:
    """A kit that installs, for the Python that runs us."""
    made = folder / f"made-{version}"
    made.mkdir(parents=True)
    wheels = [program_wheel(made, version, doctor), pip_wheel(made)]
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, put_wheel(made, "llama_cpp_python-0.3.36"), wheels)
        kit = Kit(write(made / bundle), pythons=(HERE,), key=key)
        airgap.make(kit, folder / f"kit-{version}", Meter())
    return folder / f"kit-{version}"


def bare(place: Path) -> dict[str, str]:
    """The environment of a new user: few tools, no compiler, a home of their own."""
    return {"HOME": str(place / "home"), "PATH": str(place / "tools")}


def computer(place: Path) -> Path:
    """A folder with the tools and the home of a new user; returns the home."""
    tools, home = place / "tools", place / "home"
    tools.mkdir(parents=True)
    home.mkdir()
    python = str(Path(sys.base_prefix) / "bin" / f"python{HERE}")
    for name, tool in {**{name: shutil.which(name) for name in TOOLS}, "python3": python}.items():
        (tools / name).symlink_to(tool)
    return home


Done = subprocess.CompletedProcess[str]


def run(place: Path, script: Path, *arguments: str, before: Sequence[str] = (), **more: str) -> Done:
    """Run a script of a kit as that user would. before: what runs it; more: variables."""
    command = [*before, str(place / "tools" / "sh"), str(script), *arguments]
    return subprocess.run(command, env={**bare(place), **more}, capture_output=True, text=True, cwd=place / "home")


def refused(done: Done, code: int) -> str:
    """The one line of a refusal; nothing else went to standard error."""
    assert done.returncode == code, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("Not installed: ")
    return line


is_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can lay a small disk here")


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[None]:
    """A disk of its own on a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def facts(kit: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (kit / "kit.conf").read_text("utf-8").splitlines())


def say_otherwise(kit: Path, name: str, value: str) -> None:
    """Change what the kit asks for, sums and all."""
    told = {**facts(kit), name: value}
    (kit / "kit.conf").write_text("".join(f"{key}={word}\n" for key, word in told.items()), "utf-8")
    (kit / "SHA256SUMS").unlink()
    (kit / "SHA256SUMS").write_text(airgap.sums(kit), "utf-8")
