"""A llama-cpp-python wheel for every x86-64 desktop with one system: code for each kind of CPU, chosen when it runs.

    source, repaired ── narrow ──▶ seven kinds of CPU ── zig, for Linux or Windows ──▶ wheel

`xraygpt_edge/generation/cpu_backend.py` chooses. Only the standard library, since it runs before anything is installed.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from export import llama_source
from export.build_steps import SetupError, run_step

ZIG = "ziglang==0.17.1"
"""A C and C++ compiler as a wheel, for other systems and for an older glibc than this computer's."""
PACKER = "scikit-build-core==1.1.2"
"""What llama-cpp-python's source is built with; it writes its own version into each wheel."""
FLAGS = (
    "-DLLAVA_BUILD=OFF",
    "-DGGML_OPENMP=OFF",
    "-DGGML_NATIVE=OFF",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU_ALL_VARIANTS=ON",
    "-DCMAKE_INSTALL_LIBDIR=llama_cpp/lib",
    "-DCMAKE_INSTALL_BINDIR=llama_cpp/lib",  # the kinds are installed by llama.cpp's own rule, and it puts them here
    "-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON",  # a wheel has no links: one library would be loaded as two
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
    "-DCMAKE_SHARED_LINKER_FLAGS=-s",  # stripped by zig: this computer's own tool may be another, or none
    "-DCMAKE_MODULE_LINKER_FLAGS=-s",
    "-DLLAMA_OPENSSL=OFF",
)
HALF_WIDE = "-mprefer-vector-width=256"
"""Of loops that zig widens by itself, in bits: with 512 one thread of Zen 4 answered 3 % slower (docs/log.md)."""
LEFT_OUT = (
    "include/**",
    "lib/**",
    "llama_cpp/lib/cmake/**",
    "llama_cpp/lib/pkgconfig/**",
    "llama_cpp/lib/*.a",  # what another program would be linked with, on Windows
)
PACKAGE_FILE = "CMakeLists.txt"
COMMON = "set(LLAMA_BUILD_COMMON ON CACHE"
"""What llama.cpp's own programs share: 53 of 236 files to compile, and nothing of ours uses it."""
PATHS = "set(CMAKE_BUILD_WITH_INSTALL_RPATH FALSE)"
"""Else a library first names its build's folder, and keeps as much room as that name had letters."""
KINDS_FILE = "vendor/llama.cpp/ggml/src/CMakeLists.txt"
NOT_BUILT = ("x64", "ivybridge", "piledriver", "cannonlake", "cascadelake", "cooperlake", "sapphirerapids")
"""AMX ends the process (decision 0001); numpy asks for SSE 4.2; the others gain little over their neighbours."""
LEAST_FEATURES = ["sse4_2"]
"""What a CPU must have, as Linux spells it."""
DATED = "1767225600"
"""Of every file in the wheel, in seconds: else each build is another."""

LINKED_IN = {
    "zig": "LICENSE",
    "libc++": "lib/libcxx/LICENSE.TXT",
    "libc++abi": "lib/libcxxabi/LICENSE.TXT",
    "libunwind": "lib/libunwind/LICENSE.TXT",
}
"""What comes into each of our libraries by zig → the file of its licence there."""


@dataclass(frozen=True, slots=True)
class System:
    """What a wheel is for."""

    title: str
    target: str
    """By zig's name."""
    tag: str
    """By pip's name."""
    flags: tuple[str, ...]
    """All that CMake is told which does not depend on a folder."""
    licences: Mapping[str, str]
    """As LINKED_IN."""
    exporting: tuple[str, ...] = ()
    """Headers that must name what their library exports."""

    @property
    def recipe(self) -> tuple[str, ...]:
        """What a wheel depends on beside the flags and the source."""
        return (ZIG, PACKER, self.target, *NOT_BUILT, COMMON, PATHS, HALF_WIDE, *self.exporting, *self.licences)


EXPORTING, EXPORTING_REPAIRED = "defined(_WIN32) && !defined(__MINGW32__)", "defined(_WIN32)"
"""A library that names none exports everything, C's `atexit` too: zig's linker then finds it twice."""
SYSTEMS = {
    "linux": System(
        "Linux",
        "x86_64-linux-gnu.2.28",  # ONNX Runtime's own wheel asks for no older glibc
        "linux_x86_64",
        FLAGS,
        {**LINKED_IN, "glibc": "lib/libc/glibc/LICENSES"},
    ),
    "windows": System(
        "Windows",
        "x86_64-windows-gnu",
        "win_amd64",
        (*FLAGS, "-DCMAKE_SYSTEM_NAME=Windows", "-DCMAKE_SYSTEM_PROCESSOR=AMD64"),
        {**LINKED_IN, "mingw-w64": "lib/libc/mingw/COPYING"},
        tuple(
            f"vendor/llama.cpp/{name}"
            for name in ("ggml/include/ggml.h", "ggml/include/ggml-backend.h", "include/llama.h")
        ),
    ),
}


def system_of(flags: list[str]) -> System | None:
    """The system that a wheel of these flags is for; None for one that has code for one kind of CPU alone."""
    return next((system for system in SYSTEMS.values() if list(system.flags) == flags), None)


def build(system: System, source: Path, scratch: Path, log: Path) -> None:
    """Put the wheel into scratch. source: as `llama_source.fetch` leaves it. Raises SetupError."""
    narrow(source)
    forget_folder(source)
    export_by_name(system, source)
    zig = compiler(scratch, log)
    add_licences(system, zig, source)
    build_folder = scratch / "build"
    places = {source: ".", build_folder: "build", zig: "zig"}
    everywhere = " ".join(["-g0", HALF_WIDE, *(f"-ffile-prefix-map={place}={name}" for place, name in places.items())])
    tools = [f"-DCMAKE_{name}={path}" for name, path in _tools(system, zig, scratch).items()]
    flags = [*system.flags, *tools, f"-DCMAKE_C_FLAGS={everywhere}", f"-DCMAKE_CXX_FLAGS={everywhere}"]
    command = [sys.executable, "-m", "pip", "wheel", "--no-cache-dir", "--no-deps", "--disable-pip-version-check"]
    command += ["-C", f"build-dir={build_folder}", "-C", "install.strip=false", "-C", "wheel.reproducible=true"]
    command += ["-C", f"wheel.tags=py3-none-{system.tag}", "-C", f"wheel.exclude={';'.join(LEFT_OUT)}"]
    command += ["--wheel-dir", str(scratch), str(source)]
    pins = scratch / "pins.txt"
    pins.write_text(f"{PACKER}\n", "utf-8")
    environment = {"CMAKE_ARGS": shlex.join(flags), "SOURCE_DATE_EPOCH": DATED}
    environment["GIT_DIR"] = str(scratch / "none")  # a commit would be written in, where there is git and it trusts us
    environment |= {"PIP_CONSTRAINT": str(pins), "PIP_BUILD_CONSTRAINT": str(pins)}  # pip before 25.3, and since
    run_step(command, log, "llama.cpp could not be built", environment)


def narrow(source: Path) -> None:
    """Take what is not built out of the source. Raises SetupError for a source that is another."""
    for kind in NOT_BUILT:
        _change(source / KINDS_FILE, rf"^ *ggml_add_cpu_backend_variant\({kind}[ )].*\n", "", kind)
    _change(source / PACKAGE_FILE, re.escape(COMMON), COMMON.replace(" ON ", " OFF "), "LLAMA_BUILD_COMMON")


def forget_folder(source: Path) -> None:
    """Let libraries look for each other beside themselves from the start. Raises SetupError as narrow does."""
    _change(source / PACKAGE_FILE, re.escape(PATHS), PATHS.replace("FALSE", "TRUE"), "CMAKE_BUILD_WITH_INSTALL_RPATH")


def export_by_name(system: System, source: Path) -> None:
    """Let libraries export what their headers name, and no more. Raises SetupError for a source that is another."""
    for header in system.exporting:
        _change(source / header, re.escape(EXPORTING), EXPORTING_REPAIRED, "__MINGW32__")


def _change(file: Path, pattern: str, new: str, name: str) -> None:
    """Replace what a file of the source must hold exactly once."""
    text, found = re.subn(pattern, new, file.read_text("utf-8") if file.is_file() else "", flags=re.MULTILINE)
    if found != 1:
        raise SetupError(f"llama.cpp's {file.name} names {name} {found} times: compare export/llama_portable.py.")
    file.write_text(text, "utf-8")


def add_licences(system: System, zig: Path, source: Path) -> None:
    """Let the wheel hold the licences of what is linked into its libraries."""
    for title, file in system.licences.items():
        llama_source.add_licence(source, title, (zig / file).read_text("utf-8", "replace"))


def compiler(scratch: Path, log: Path) -> Path:
    """Zig's folder inside scratch, downloaded. Raises SetupError."""
    home = scratch / "zig"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    run_step([*command, "--target", str(home), ZIG], log, "The compiler could not be downloaded")
    return home / "ziglang"


def _tools(system: System, zig: Path, scratch: Path) -> dict[str, Path]:
    """Zig's compilers and archivers as CMake takes them: one program each."""
    compiling = f"-target {system.target}"
    tools = {"C_COMPILER": f"cc {compiling}", "CXX_COMPILER": f"c++ {compiling}", "AR": "ar", "RANLIB": "ranlib"}
    found = {}
    for name, words in tools.items():
        found[name] = scratch / f"zig-{name.lower()}"
        found[name].write_text(f'#!/bin/sh\nexec {shlex.quote(str(zig / "zig"))} {words} "$@"\n', "utf-8")
        found[name].chmod(0o755)
    return found
