"""The kit for a machine with no network and no compiler: a folder to carry there.

    bundle ────────── verified, copied ───────────────────────▶ bundle/
    llama.cpp ─────── llama_wheel ─┐
    xraygpt-edge ──── pip wheel ───┴─ pip download ───────────▶ wheels/, requirements.txt
    airgap_kit/ ───── install.sh, README.txt ─────────────────▶ the same, and kit.conf with what the target must be
                                                                SHA256SUMS over all of it

The kit is for the system, the processor family and the Python version of the machine that makes it.
"""

from __future__ import annotations

import errno
import math
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

from export.build_steps import SetupError, say
from export.errors import ExportRefused
from export.llama_portable import LEAST_FEATURES
from export.llama_wheel import PORTABLE, Cpu, built_wheel, flags_here, needed_features
from export.measure import Meter
from export.staging import appearing_folder
from xraygpt_edge import __version__
from xraygpt_edge import bundle as bundles
from xraygpt_edge.bundle import Bundle, store
from xraygpt_edge.errors import BundleAltered
from xraygpt_edge.files import sha256_of

Extra = Literal["cpu", "cuda"]

ROOT = Path(__file__).parents[1]
TEMPLATES = Path(__file__).with_name("airgap_kit")
EXAMPLE = ROOT / "examples" / "phantom-1-effusion-right.dcm"
SUMS = "SHA256SUMS"
WHEELS_BYTES = {"cpu": 200 << 20, "cuda": 500 << 20}
"""More than the wheels take; installed they take about three times as much."""

EVERY_CPU = "with SSE 4.2: Intel since 2008, AMD since 2011 (the fastest code that it runs is taken)"
MOST_CPUS = "Intel since 2013, AMD since 2015, but not every Celeron, Pentium or Atom (the installer looks)"
LIKE_OURS = "of the same kind as in the computer where this kit was made (the installer looks)"


@dataclass(frozen=True, slots=True)
class Kit:
    """What goes along."""

    bundle: Path
    extra: Extra = "cpu"
    cpu: Cpu = "portable"


def make(kit: Kit, out: Path, meter: Meter) -> None:
    """Write the kit; out appears whole or not at all."""
    if out.exists():
        raise ExportRefused(f"{out} exists already.")
    say("Checking the bundle: a few seconds for each gigabyte.")
    bundle = _intact(kit.bundle)
    _require_room(out, _size(bundle) + WHEELS_BYTES[kit.extra])
    llama = built_wheel(kit.cpu)
    with appearing_folder(out) as folder:
        with meter.measuring("wheels"):
            say("Collecting the wheels: one to five minutes by the speed of the network.")
            _collect_wheels(folder / "wheels", kit.extra, llama)
        with meter.measuring("bundle"):
            say(f"Copying the bundle {bundle.manifest.id}, {_size(bundle) / 1e9:.2f} GB.")
            store.install(bundle.root, folder / "bundle")
        with meter.measuring("instructions and hashes"):
            _write_instructions(folder, kit, bundle, llama)
            _make_readable(folder)
            (folder / SUMS).write_text(_sums(folder), "utf-8")


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


def _collect_wheels(folder: Path, extra: Extra, llama: Path) -> None:
    """Our wheel, all that it needs, and pip, which installs them.

    The wheel of llama.cpp is named by its path: no other build of the same version can take its place.
    pip works in a folder for temporary files: a full stick is then our error, not a traceback of pip's.
    """
    with tempfile.TemporaryDirectory() as scratch:
        built, wheels = Path(scratch, "built"), Path(scratch, "wheels")
        _pip("wheel", "--no-deps", "--wheel-dir", str(built), str(ROOT))
        (ours,) = built.glob("*.whl")
        options = ("--only-binary", ":all:", "--constraint", str(ROOT / "constraints.txt"), "--dest", str(wheels))
        _pip("download", *options, f"{ours}[{extra}]", str(llama), "pip")
        folder.mkdir()
        for wheel in sorted(wheels.iterdir()):
            shutil.copyfile(wheel, folder / wheel.name)


def _pip(step: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", step, "-qq", "--no-input", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, check=False).returncode:
        raise SetupError(f"pip {step} failed, so there is no kit; its words are above.")


def _write_instructions(folder: Path, kit: Kit, bundle: Bundle, llama: Path) -> None:
    """Everything in the kit that is text."""
    facts = _facts(kit, bundle, llama)
    texts = {
        "requirements.txt": _requirements(folder / "wheels"),
        "kit.conf": "".join(f"{name}={shlex.quote(value)}\n" for name, value in facts.items()),
        "install.sh": (TEMPLATES / "install.sh").read_text("utf-8"),
        "README.txt": _readme(facts, bundle, kit.extra),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8", newline="\n")
    shutil.copyfile(EXAMPLE, folder / "example.dcm")


def _facts(kit: Kit, bundle: Bundle, llama: Path) -> dict[str, str]:
    """What the installer compares the other machine with."""
    return {
        "KIT_PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
        "KIT_SYSTEM": platform.system(),
        "KIT_MACHINE": platform.machine(),
        "KIT_GLIBC": oldest_glibc(llama),
        "KIT_CPU": " ".join(needed_features(flags_here(kit.cpu))),
        "KIT_BUNDLE": bundle.manifest.id,
    }


def oldest_glibc(wheel: Path) -> str:
    """The C library that the wheel's libraries ask for, such as 2.34; empty where they ask for none.

    The wheel's own name does not say it: it was built here, not in one of the images made for that.
    """
    with ZipFile(wheel) as archive:
        libraries = [name for name in archive.namelist() if name.startswith("llama_cpp/lib/")]
        asked = {int(n) for name in libraries for n in re.findall(rb"GLIBC_2\.(\d+)", archive.read(name))}
    return f"2.{max(asked)}" if asked else ""


def _requirements(wheels: Path) -> str:
    """Every wheel by name, version and hash, so that pip takes these and no others."""
    lines = []
    for wheel in sorted(wheels.iterdir()):
        name, version = wheel.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{sha256_of(wheel)}\n")
    return "".join(lines)


def _readme(facts: dict[str, str], bundle: Bundle, extra: Extra) -> str:
    room = _size(bundle) + 3 * WHEELS_BYTES[extra]
    values = {
        "version": __version__,
        "bundle": bundle.manifest.id,
        "system": facts["KIT_SYSTEM"],
        "machine": facts["KIT_MACHINE"],
        "glibc": f", glibc {facts['KIT_GLIBC']} or newer" if facts["KIT_GLIBC"] else "",
        "python": facts["KIT_PYTHON"],
        "cpu": _processor(facts["KIT_CPU"].split()),
        "room_gb": math.ceil(room / 1e9),
        "licence": bundle.manifest.licence or "see its LICENSES folder",
    }
    return (TEMPLATES / "README.txt").read_text("utf-8").format(**values)


def _processor(needs: list[str]) -> str:
    """What the other computer's processor must be, in words."""
    if needs == LEAST_FEATURES:
        return EVERY_CPU
    return MOST_CPUS if needs and set(needs) <= PORTABLE else LIKE_OURS


def _make_readable(folder: Path) -> None:
    """Another user, on another machine, reads it."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _sums(folder: Path) -> str:
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return "".join(f"{sha256_of(folder / name)}  {name}\n" for name in files)
