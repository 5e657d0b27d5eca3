"""The wheels of a kit: ours, all that it needs, and pip, for each Python that a kit is for.

ours, llama.cpp ── pip download ──▶ wheels ── lacking ──▶ what the other computer needs beside ── again
                                      └────── pins ─────▶ requirements, by hash

What pip takes must load on a Linux of 2018, or on Windows, whatever the computer is that makes the kit.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path
from zipfile import ZipFile

from packaging.markers import default_environment  # ONNX Runtime brings it
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from export.build_steps import SetupError
from xraygpt_edge.files import sha256_of

ROOT = Path(__file__).parents[1]
OLDEST_GLIBC = 28
"""The 2.28 of ONNX Runtime's own wheels."""
LINUX = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(OLDEST_GLIBC, 4, -1)),
    *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"),
)
"""pip's names of the wheels that an x86-64 Linux of 2018 can load; the last is our llama.cpp's."""


@dataclass(frozen=True, slots=True)
class Target:
    """A Python on another computer."""

    python: str
    """Such as 3.12."""
    platforms: tuple[str, ...] = ()
    """The wheels that it can load, by pip's names; none: those of this computer, for the Python that runs us."""
    markers: Mapping[str, str] = field(default_factory=dict)
    """Where its system differs from this one, as wheels ask for it."""
    beside: tuple[str, ...] = ()
    """What its system lacks and no wheel asks for, by name."""

    @property
    def environment(self) -> dict[str, str]:
        """What conditions in wheels are held against."""
        here = {name: str(value) for name, value in default_environment().items()}
        return {**here, "python_version": self.python, "python_full_version": f"{self.python}.0", **self.markers}


def our_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into a folder."""
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (ours,) = folder.glob("*.whl")
    return ours


def collect(folder: Path, target: Target, extra: str, ours: Path, llama: Path) -> list[Path]:
    """Put all wheels for one Python into a folder, which may hold those of another; returns them, sorted.

    The wheel of llama.cpp is named by its path: no other build of the same version can take its place.
    pip works in a folder for temporary files: a full stick is then our error, not a traceback of pip's.
    """
    options = ["--only-binary", ":all:", "--constraint", str(ROOT / "constraints.txt")]
    if target.platforms:
        options += ["--python-version", target.python, *(f"--platform={name}" for name in target.platforms)]
    wanted = [f"{ours}[{extra}]", str(llama), "pip", *target.beside]
    with tempfile.TemporaryDirectory() as scratch:
        while True:
            pip("download", *options, "--dest", scratch, *wanted)
            wheels = sorted(Path(scratch).glob("*.whl"))
            more = lacking(wheels, f"xraygpt-edge[{extra}]", target)
            if not more:
                break
            if set(more) <= set(wanted):
                raise SetupError(f"pip did not bring {', '.join(more)} for Python {target.python}, so there is no kit.")
            wanted += more
        folder.mkdir(exist_ok=True)
        return [Path(shutil.copyfile(wheel, folder / wheel.name)) for wheel in wheels]


def lacking(wheels: Sequence[Path], wanted: str, target: Target) -> list[str]:
    """Requirements that no wheel meets on the other computer: pip holds conditions against this one."""
    by_name = {canonicalize_name(wheel.name.split("-")[0]): wheel for wheel in wheels}
    asked = [Requirement(wanted)]
    seen: set[str] = set()
    found: set[str] = set()
    while asked:
        requirement = asked.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        if wheel := by_name.get(canonicalize_name(requirement.name)):
            asked += _asked(wheel, requirement.extras, target.environment)
        else:
            found.add(f"{requirement.name}{requirement.specifier}")
    return sorted(found)


def _asked(wheel: Path, extras: set[str], environment: dict[str, str]) -> Iterator[Requirement]:
    """What a wheel asks for in an environment."""
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        lines = BytesHeaderParser().parsebytes(archive.read(name)).get_all("Requires-Dist", [])
    for requirement in map(Requirement, lines):
        conditions = ({**environment, "extra": extra} for extra in ("", *extras))
        if requirement.marker is None or any(map(requirement.marker.evaluate, conditions)):
            yield requirement


def pins(wheels: Sequence[Path]) -> str:
    """Every wheel by name, version and hash, so that pip takes these and no others; pip itself runs from its wheel."""
    names = {wheel: wheel.name.split("-")[:2] for wheel in wheels}
    lines = (
        f"{name}=={version} --hash=sha256:{sha256_of(wheel)}\n"
        for wheel, (name, version) in names.items()
        if name != "pip"
    )
    return "".join(lines)


def oldest_glibc(wheels: Sequence[Path]) -> str:
    """The C library that a kit's wheels ask for, such as 2.28; empty where they ask for none.

    llama.cpp's name does not say it: it was built by us, not in one of the images made for that.
    """
    asked = {0}
    for wheel in wheels:
        asked.add(min(map(int, re.findall(r"manylinux_2_(\d+)", wheel.name)), default=0))
        with ZipFile(wheel) as archive:
            libraries = [name for name in archive.namelist() if name.startswith("llama_cpp/lib/")]
            asked.update(int(n) for name in libraries for n in re.findall(rb"GLIBC_2\.(\d+)", archive.read(name)))
    return f"2.{max(asked)}" if any(asked) else ""


def installed_bytes(wheels: Sequence[Path]) -> int:
    """What wheels take when they are installed, with the byte code of their modules."""
    total = 0
    for wheel in wheels:
        with ZipFile(wheel) as archive:
            total += sum(file.file_size * (2 if file.filename.endswith(".py") else 1) for file in archive.infolist())
    return total


def pip(step: str, *arguments: str) -> None:
    """Run pip. Raises SetupError after pip's own words."""
    command = [sys.executable, "-m", "pip", step, "-qq", "--no-input", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, check=False).returncode:
        raise SetupError(f"pip {step} failed, so there is no kit; its words are above.")
