r"""Installs xraygpt-edge on Windows from the kit that this file is in: `install.cmd` runs it with the kit's own Python.

    every file ─▶ this computer ─▶ versions/N: Python, packages ─▶ the model ─▶ doctor ─▶ one rename ─▶ sweep

    install.py [FOLDER]         FOLDER: where the program goes; %LOCALAPPDATA%\Programs\xraygpt-edge without it
    SIGNER=SHA256:...           in the environment: takes the kit only if that key has signed it

What is installed in FOLDER already goes on working until the new program has been tried, and can be had back by its
undo.cmd. Ends with 0, or with one line and: 2 the folder is something else's, 11 another installer is at work, 12 the
kit is damaged or not signed as it must be, 14 this computer does not fit, 16 it could not be written. Only the
standard library.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import platform
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING

KIT = Path(__file__).absolute().parent
if TYPE_CHECKING:
    from export.airgap_kit import verify
else:  # by its text: an import would take a file of byte code that lies beside it, and is in no list
    verify = SimpleNamespace(**runpy.run_path(str(KIT / "verify.py")))

LAUNCHER, PREVIOUS = "xraygpt-edge.cmd", "previous.cmd"
"""Each names one version: the one that answers, and the one before it."""
LAUNCHES = '@"%~dp0versions\\{number}\\python.exe" -m xraygpt_edge %* & exit /b\r\n'
"""One line, which cmd reads whole: the file may be replaced while the program runs."""
OURS = ".installation"
COPIED = ("example.dcm", "undo.cmd", "uninstall.cmd")
PLACED = (*COPIED, "bundle", "signer", OURS)
"""What lies beside the versions, but for the names of those that answer."""
MODULES = "{series}.zip\n.\nLib\\site-packages\nimport site\n"
"""Where the embeddable package looks for modules: in its archive, in its folder, and where pip puts them."""
BLOCK_BYTES = 1 << 20
BEGAN_S = time.monotonic()


class Refused(Exception):
    """It cannot be installed; the words are one line."""

    def __init__(self, code: int, words: str) -> None:
        self.code = code
        super().__init__(words)


def say(words: str) -> None:
    """Tell the person who waits."""
    print(f"[{time.monotonic() - BEGAN_S:3.0f} s] {words}", flush=True)


def check_files() -> None:
    """Compare every file of the kit with its sums, before anything else in it is used."""
    for name, digest in listed().items():
        if not name or _digest(KIT / name) != digest:
            raise Refused(12, f"the kit is damaged ({name or verify.SUMS}). Copy it to the stick again.")


def listed() -> dict[str, str]:
    """The files of the kit, and what they must be; of others that lie there none is used."""
    lines = (line.partition("  ") for line in (KIT / verify.SUMS).read_text("utf-8").splitlines())
    return {name: digest for digest, _, name in lines}


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty for one that cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                found.update(block)
    except OSError:
        return ""
    return found.hexdigest()


def facts() -> dict[str, str]:
    """What the kit is, and is for."""
    lines = (KIT / "kit.conf").read_text("utf-8").splitlines()
    return {name: " ".join(shlex.split(value)) for name, _, value in (line.partition("=") for line in lines)}


def check_computer(kit: dict[str, str]) -> None:
    """Refuse another system or processor than the kit's."""
    wanted, here = f"{kit['KIT_SYSTEM']} {kit['KIT_MACHINE']}", f"{platform.system()} {platform.machine()}"
    if here != wanted:
        raise Refused(14, f"the kit is for {wanted}; found here: {here}. Make the kit again for what is here.")


def check_signer(folder: Path) -> str:
    """Who has signed the kit: the key that is asked for, or the one that has signed what is installed."""
    try:
        signer = verify.signer(KIT)
    except verify.NotSigned as error:
        raise Refused(12, f"the kit is not what was signed ({error}). Ask who made it.") from None
    known = os.environ.get("SIGNER") or _line(folder / "signer")
    if known and signer != known:
        found = f"signed by {signer}" if signer else "not signed"
        raise Refused(12, f"the kit must be signed by {known}, and is {found}. Ask who made it.")
    if signer:
        say(f"  signed by {signer}")
    return signer


def _line(path: Path) -> str:
    return path.read_text("utf-8").strip() if path.exists() else ""


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """The folder is ours from here on, and no other installer's; with no program in it at the end it is as it was."""
    fresh = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / OURS).exists() and any(folder.iterdir()):
            raise Refused(2, f"{folder} holds something else. Name another folder: install.cmd FOLDER")
        (folder / OURS).touch()
        note = (folder / ".installing").open("a")
    except OSError as error:
        raise Refused(16, f"nothing can be written in {folder} ({error.strerror}).") from None
    with note:
        _lock(note, folder)
        try:
            yield
        finally:
            note.close()
            for name in (".installing", *(() if (folder / LAUNCHER).exists() else PLACED)):
                (folder / name).unlink(missing_ok=True)
            for begun in (folder / "versions", folder) if fresh else (folder / "versions",):
                with suppress(OSError):  # somebody's files are in it
                    begun.rmdir()


def _lock(note: IO[str], folder: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(note.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Refused(11, f"another installer is at work in {folder}. Wait for it.") from None


def in_use(folder: Path) -> set[str]:
    """The versions that answer, or did before the last installation."""
    texts = "".join(_line(folder / name) for name in (LAUNCHER, PREVIOUS))
    return set(re.findall(r"versions\\(\d+)\\", texts))


def sweep(folder: Path) -> None:
    """Remove what nothing leads to any more: a version before the last, or one that an interrupted installer left."""
    for old in folder.glob("versions/*"):
        if old.name not in in_use(folder):
            shutil.rmtree(old, ignore_errors=True)  # a program that still runs keeps its files, until the next time


def check_room(folder: Path, needed_mib: int) -> None:
    """Refuse a disk on which the program has no room."""
    free_mib = shutil.disk_usage(folder).free >> 20
    if free_mib < needed_mib:
        words = f"the program takes {needed_mib} MiB, and {free_mib} are free in {folder}."
        raise Refused(16, f"{words} Make room, or name a folder elsewhere.")


@dataclass
class Program:
    """A version of the program, installed and not yet the one that answers."""

    home: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run its Python; what it says is kept."""
        command = [str(self.home / "python.exe"), *words]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

    def ask(self, *words: str) -> int:
        """Run the program itself, which speaks to the person; its exit code."""
        return subprocess.run([str(self.home / "python.exe"), "-m", "xraygpt_edge", *words], check=False).returncode


def install_program(home: Path, series: str) -> Program:
    """Put a Python of its own, and all packages, into a new folder."""
    try:
        shutil.copytree(KIT / "python", home, symlinks=True)
        modules = f"python{series.replace('.', '')}"
        (home / f"{modules}._pth").write_text(MODULES.format(series=modules), "utf-8")
    except (OSError, shutil.Error) as error:
        raise Refused(16, f"the program could not be copied to {home} ({type(error).__name__}).") from None
    program = Program(home)
    (pip,) = (KIT / name for name in listed() if name.startswith("wheels/pip-"))  # it runs as it is: Python has none
    options = ["--isolated", "-qq", "--no-cache-dir", "--disable-pip-version-check", "--no-index", "--require-hashes"]
    options += ["--no-warn-script-location", "--find-links", str(KIT / "wheels")]
    done = program.run("-B", str(pip / "pip"), "install", *options, "-r", str(KIT / f"requirements-{series}.txt"))
    if done.returncode:
        raise Refused(16, f"the packages could not be installed ({last_line(done)}).")
    return program


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a program said at the end."""
    lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with {done.returncode}"


def install_bundle(program: Program, name: str) -> Path | None:
    """Put the model where the program looks for it; its folder, or None where it was there already."""
    bundle = KIT / "bundle" / name
    done = program.run("-c", "from xraygpt_edge.bundle.store import bundle_store; print(bundle_store())")
    if done.returncode:
        raise Refused(14, f"the new program does not start here ({last_line(done)}).")
    there = Path(done.stdout.strip()) / name
    if not there.exists():
        done = program.run("-m", "xraygpt_edge", "bundle", "install", str(bundle))
        if done.returncode:
            raise Refused(done.returncode, last_line(done))
        return there
    if not _same(there / "manifest.json", bundle / "manifest.json"):
        words = f"another model of the name {name} is installed, and stays. Remove it first (the folder {there}),"
        raise Refused(2, f"{words} or make the kit with this one under another name.")
    say("  it is installed already, and stays")
    return None


def tried_out(program: Program, *, first: bool) -> bool:
    """Whether the program works here. Where it does not, only a first one is left to say why."""
    works = program.ask("doctor") == 0
    if not works and not first:
        words = "the new program does not work here: the table above says why."
        raise Refused(14, f"{words} The one before it stays.")
    return works


def _same(one: Path, other: Path) -> bool:
    return one.exists() and filecmp.cmp(one, other, shallow=False)


def switch(folder: Path, number: int, signer: str, bundle: str) -> None:
    """From the last rename on the new program answers; each step before leaves the old one."""
    for name in COPIED:
        place(folder / name, (KIT / name).read_bytes())
    place(folder / "bundle", f"{bundle}\r\n".encode())
    if signer:
        place(folder / "signer", f"{signer}\r\n".encode())
    if (folder / LAUNCHER).exists():
        place(folder / PREVIOUS, (folder / LAUNCHER).read_bytes())
    place(folder / LAUNCHER, LAUNCHES.format(number=number).encode())


def place(path: Path, content: bytes) -> None:
    """One file of the installation, whole or as it was."""
    following = path.with_name(f"{path.name}.next")
    try:
        with following.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        following.replace(path)
    except OSError as error:
        following.unlink(missing_ok=True)
        raise Refused(16, f"{path} cannot be written ({error.strerror}).") from None


def install(folder: Path) -> int:
    """All of it, in order; the exit code. Raises Refused, and leaves nothing behind then."""
    say("Checking every file of the kit: 10 s for each gigabyte, longer from a slow stick.")
    check_files()
    kit = facts()
    say("Looking at this computer.")
    check_computer(kit)
    signer = check_signer(folder)
    with holding(folder):
        first = not (folder / LAUNCHER).exists()
        sweep(folder)
        check_room(folder, int(kit["KIT_ROOM_MIB"]))
        works = install_version(folder, kit, signer, first=first)
        sweep(folder)
    if not works:
        print("Installed, but it does not work here: the table above says why.", file=sys.stderr)
        return 14
    say_ready(folder, kit["KIT_BUNDLE"])
    return 0


def install_version(folder: Path, kit: dict[str, str], signer: str, *, first: bool) -> bool:
    """Install, prove and switch; whether the program works here."""
    number = max((int(name) for name in in_use(folder)), default=0) + 1
    home = folder / "versions" / str(number)
    shutil.rmtree(home, ignore_errors=True)
    brought: Path | None = None
    try:
        say(f"Installing the program in {folder}: some minutes.")
        program = install_program(home, kit["KIT_PYTHON"])
        say(f"Installing the model {kit['KIT_BUNDLE']}: it is copied, and checked before and after.")
        brought = install_bundle(program, kit["KIT_BUNDLE"])
        say("Trying it out.")
        works = tried_out(program, first=first)
        switch(folder, number, signer, kit["KIT_BUNDLE"])
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        if brought:
            shutil.rmtree(brought, ignore_errors=True)
        raise
    failed = program.ask("serve", "--shortcut", "--bundle", kit["KIT_BUNDLE"])
    say("  it has no entry in the Start menu: the line above says why" if failed else "  it is in the Start menu")
    return works


def say_ready(folder: Path, bundle: str) -> None:
    """What to do next."""
    program = folder / LAUNCHER
    say("Ready. Ask about a drawn picture first, then about your own:")
    question = '"Describe the given chest x-ray image in detail."'
    print(f'\n    "{program}" ask "{folder / "example.dcm"}" {question} --bundle {bundle}\n')


def main() -> int:
    """Install into the folder that is named, or the usual one."""
    usual = Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "Programs" / "xraygpt-edge"
    try:
        return install(Path(sys.argv[1]).absolute() if sys.argv[1:] else usual)
    except Refused as refusal:
        print(f"Not installed: {refusal}", file=sys.stderr)
        return refusal.code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
