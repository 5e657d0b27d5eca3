"""The kit for a machine with no network and no compiler: a folder to carry there.

    bundle ────────── verified, copied ─────────────▶ bundle/
    llama.cpp ─────── llama_wheel ─┐
    xraygpt-edge ──── pip wheel ───┴─ airgap_wheels ▶ wheels/, requirements-3.12.txt for each Python
    airgap_kit/ ──── copied ───────────────────────▶ install.sh, README.txt ...; kit.conf: what the target must be
                                                      SHA256SUMS over all of it ── airgap_signing ──▶ SHA256SUMS.sig

The kit is for the system and the processor family of the machine that makes it, or for Windows (`airgap_windows`).
"""

from __future__ import annotations

import errno
import math
import platform
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from export import airgap_signing, airgap_wheels, airgap_windows
from export.airgap_kit import verify
from export.airgap_wheels import LINUX, ROOT, Target
from export.build_steps import say
from export.errors import ExportRefused
from export.llama_portable import LEAST_FEATURES, SYSTEMS
from export.llama_wheel import PORTABLE, Cpu, flags_here, needed_features, wheel_of
from export.measure import Meter
from export.staging import appearing_folder
from xraygpt_edge import __version__
from xraygpt_edge import bundle as bundles
from xraygpt_edge.bundle import Bundle, store
from xraygpt_edge.errors import BundleAltered
from xraygpt_edge.files import sha256_of

Extra = Literal["cpu", "cuda"]
System = Literal["here", "windows"]
"""This computer's own, or one that a kit is made for from anywhere."""

TEMPLATES = Path(__file__).with_name("airgap_kit")
SCRIPTS: Mapping[System, Sequence[str]] = {
    "here": ("install.sh", "undo.sh", "uninstall.sh", "verify.py"),
    "windows": airgap_windows.SCRIPTS,
}
READMES: Mapping[System, str] = {"here": "README.txt", "windows": "README-windows.txt"}
EXAMPLE = ROOT / "examples" / "phantom-1-effusion-right.dcm"
WHEELS_BYTES = {"cpu": 120 << 20, "cuda": 350 << 20}
"""More than the wheels of one Python take."""
MIB = 1 << 20

THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = ("3.11", "3.12", "3.13")
"""Those for which all dependencies have wheels."""

EVERY_CPU = "with SSE 4.2: Intel since 2008, AMD since 2011 (the fastest code that it runs is taken)"
MOST_CPUS = "Intel since 2013, AMD since 2015, but not every Celeron, Pentium or Atom (the installer looks)"
LIKE_OURS = "of the same kind as in the computer where this kit was made (the installer looks)"


@dataclass(frozen=True, slots=True)
class Kit:
    """What goes along."""

    bundle: Path
    extra: Extra = "cpu"
    cpu: Cpu = "portable"
    pythons: tuple[str, ...] = ()
    """Such as 3.12; none: every one that a kit of this computer can serve."""
    key: Path | None = None
    """Private key that signs it, a file of OpenSSH's."""
    system: System = "here"
    python: Path | None = None
    """Python's embeddable package, for Windows: that Python, and no other, comes along."""

    @property
    def flags(self) -> list[str]:
        """What its llama.cpp is built with."""
        return list(SYSTEMS["windows"].flags) if self.system == "windows" else flags_here(self.cpu)


def make(kit: Kit, out: Path, meter: Meter) -> None:
    """Write the kit; out appears whole or not at all."""
    if out.exists():
        raise ExportRefused(f"{out} exists already.")
    targets = targets_of(kit)
    if kit.key:
        airgap_signing.fingerprint(kit.key)
    say("Checking the bundle: a few seconds for each gigabyte.")
    bundle = _intact(kit.bundle)
    _require_room(out, _size(bundle) + len(targets) * WHEELS_BYTES[kit.extra])
    llama = wheel_of(kit.flags)
    with appearing_folder(out) as folder:
        with meter.measuring("wheels"):
            say("Collecting the wheels: one to five minutes for each Python by the speed of the network.")
            wheels = _collect(folder / "wheels", kit, targets, llama)
        with meter.measuring("bundle"):
            say(f"Copying the bundle {bundle.manifest.id}, {_size(bundle) / 1e9:.2f} GB.")
            store.install(bundle.root, folder / "bundle")
        with meter.measuring("instructions and hashes"):
            if kit.python:
                airgap_windows.unpack(kit.python, folder)
            _write_instructions(folder, kit, bundle, wheels)
            _seal(folder, kit.key)


def targets_of(kit: Kit) -> list[Target]:
    """The Pythons that a kit is for. Raises ExportRefused for one that cannot be served from here."""
    if kit.system == "windows":
        return [_windows_target(kit)]
    if kit.python:
        raise ExportRefused("Only a kit for Windows takes a Python along: --for windows.")
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        there = {python: Target(python, LINUX) for python in PYTHONS}
    else:
        there = {THIS_PYTHON: Target(THIS_PYTHON)}
    if strangers := [python for python in kit.pythons if python not in there]:
        raise ExportRefused(f"A kit made here can be for Python {', '.join(there)}, not for {', '.join(strangers)}.")
    return [there[python] for python in kit.pythons or there]


def _windows_target(kit: Kit) -> Target:
    """The Python that comes along. Raises ExportRefused for what a kit for Windows cannot have."""
    if not kit.python:
        raise ExportRefused(f"A kit for Windows takes a Python along: --python FILE. Fetch {airgap_windows.WANTED}.")
    if kit.pythons or (kit.extra, kit.cpu) != ("cpu", "portable"):
        raise ExportRefused("A kit for Windows has the Python of --python and code for every CPU: no other options.")
    target = airgap_windows.target(kit.python)
    if target.python not in PYTHONS:
        raise ExportRefused(f"{kit.python} is Python {target.python}, and a kit can be for {', '.join(PYTHONS)}.")
    return target


def _intact(folder: Path) -> Bundle:
    """The bundle, all of it compared with its manifest, before minutes are spent on the rest."""
    bundle = bundles.load(folder)
    if problems := bundles.verify(bundle):
        raise BundleAltered("E-BND-010", str(problems[0]))
    return bundle


def _size(bundle: Bundle) -> int:
    return sum(entry.size for entry in bundle.manifest.files)


def _require_room(out: Path, wanted: int) -> None:
    there = next(folder for folder in out.absolute().parents if folder.is_dir())
    if shutil.disk_usage(there).free < wanted:
        raise OSError(errno.ENOSPC, f"the kit takes up to {wanted / 1e9:.1f} GB, which are not free", str(there))


Wheels = Mapping[str, Sequence[Path]]
"""Python, such as 3.12 → the wheels that it gets."""


def _collect(folder: Path, kit: Kit, targets: Sequence[Target], llama: Path) -> Wheels:
    with tempfile.TemporaryDirectory() as scratch:
        ours = airgap_wheels.our_wheel(Path(scratch))
        return {target.python: airgap_wheels.collect(folder, target, kit.extra, ours, llama) for target in targets}


def _write_instructions(folder: Path, kit: Kit, bundle: Bundle, wheels: Wheels) -> None:
    """Everything in the kit that is text."""
    facts = _facts(kit, bundle, wheels)
    texts = {
        **{f"requirements-{python}.txt": airgap_wheels.pins(files) for python, files in wheels.items()},
        **{name: (TEMPLATES / name).read_text("utf-8") for name in SCRIPTS[kit.system]},
        "kit.conf": "".join(f"{name}={shlex.quote(value)}\n" for name, value in facts.items()),
        "README.txt": _readme(TEMPLATES / READMES[kit.system], facts, bundle),
    }
    for name, text in texts.items():
        read_by_windows = name.endswith(".cmd") or (name, kit.system) == ("README.txt", "windows")
        (folder / name).write_text(text, "utf-8", newline="\r\n" if read_by_windows else "\n")
    shutil.copyfile(EXAMPLE, folder / "example.dcm")


def _facts(kit: Kit, bundle: Bundle, wheels: Wheels) -> dict[str, str]:
    """What the installer compares the other machine with."""
    windows = kit.system == "windows"
    files = {"KIT_PYTHON_FILE": kit.python.name, "KIT_PYTHON_SHA256": sha256_of(kit.python)} if kit.python else {}
    return {
        "KIT_PYTHON": " ".join(wheels),
        **files,
        "KIT_SYSTEM": "Windows" if windows else platform.system(),
        "KIT_MACHINE": "AMD64" if windows else platform.machine(),
        "KIT_GLIBC": airgap_wheels.oldest_glibc([wheel for files in wheels.values() for wheel in files]),
        "KIT_CPU": " ".join(needed_features(kit.flags)),
        "KIT_ROOM_MIB": str(max(map(airgap_wheels.installed_bytes, wheels.values())) // MIB + 1),
        "KIT_BUNDLE": bundle.manifest.id,
    }


def _readme(template: Path, facts: dict[str, str], bundle: Bundle) -> str:
    values = {
        "version": __version__,
        "bundle": bundle.manifest.id,
        "system": facts["KIT_SYSTEM"],
        "machine": facts["KIT_MACHINE"],
        "glibc": f", glibc {facts['KIT_GLIBC']} or newer" if facts["KIT_GLIBC"] else "",
        "python": facts["KIT_PYTHON"].replace(" ", " or "),
        "cpu": _processor(facts["KIT_CPU"].split()),
        "room_gb": math.ceil((_size(bundle) + int(facts["KIT_ROOM_MIB"]) * MIB) / 1e9),
        "licence": bundle.manifest.licence or "see its LICENSES folder",
    }
    return template.read_text("utf-8").format(**values)


def _processor(needs: list[str]) -> str:
    """What the other computer's processor must be, in words."""
    if needs == LEAST_FEATURES:
        return EVERY_CPU
    return MOST_CPUS if needs and set(needs) <= PORTABLE else LIKE_OURS


def _seal(folder: Path, key: Path | None) -> None:
    """Let another user read all of it, and write down what it holds; signed where there is a key."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / verify.SUMS).write_text(sums(folder), "utf-8", newline="\n")
    if key:
        airgap_signing.sign(folder, key)


def sums(folder: Path) -> str:
    """The hash of each file of a kit, as `sha256sum` writes and checks them."""
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return "".join(f"{sha256_of(folder / name)}  {name}\n" for name in files)
