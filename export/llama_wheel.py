"""A llama-cpp-python wheel that runs on this very computer, built once and kept.

    CPU features ── cmake_flags ──▶ flags ── wheel_key ──▶ cache folder ── built_wheel ──▶ wheel
                             llama_source ── source ───────────────────────────┘
                                                            ── install ──▶ ── prove: one decode

Why not simply `pip install llama-cpp-python`: on a CPU with AMX its default build dies at the
first decode, and pip keeps the first wheel it built whatever the flags were. The reasons are in
docs/decisions/0001-llama-cpp-build.md. Only the standard library, since it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

from export import llama_portable, llama_source
from export.build_steps import SetupError, run_step, say
from export.llama_portable import SYSTEMS, system_of
from export.llama_source import LLAMA_VERSION

Cpu = Literal["native", "portable"]
"""For this computer's own CPU, or for every desktop of this kind."""

X86_FLAGS = {
    "GGML_SSE42": {"sse4_2"},
    "GGML_AVX": {"avx"},
    "GGML_AVX2": {"avx2"},
    "GGML_FMA": {"fma"},
    "GGML_F16C": {"f16c"},
    "GGML_BMI2": {"bmi2"},
    "GGML_AVX_VNNI": {"avx_vnni"},
    "GGML_AVX512": {"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"},
    "GGML_AVX512_VBMI": {"avx512vbmi"},
    "GGML_AVX512_VNNI": {"avx512_vnni"},
    "GGML_AVX512_BF16": {"avx512_bf16"},
}
"""llama.cpp's switch → what a CPU must have for it, as Linux spells it. AMX is absent on purpose."""

PORTABLE = frozenset({"sse4_2", "avx", "avx2", "fma", "f16c", "bmi2"})
"""What Intel's desktop CPUs have had since 2013 and AMD's since 2015."""

SCRATCH = "building-"
"""How the folders begin in which a wheel is being built."""

NO_COMPILER = (
    "No C++ compiler was found. Install one, then run the same command again. "
    "Debian, Ubuntu: apt install g++ cmake. Fedora: dnf install gcc-c++ cmake. macOS: xcode-select --install."
)


def cpu_features(cpuinfo: str) -> frozenset[str]:
    """Features that every processor in the text of /proc/cpuinfo has; empty when it names none."""
    lines = [line for line in cpuinfo.splitlines() if line.split(":")[0].strip() in {"flags", "Features"}]
    sets = [frozenset(line.partition(":")[2].split()) for line in lines]
    return frozenset.intersection(*sets) if sets else frozenset()


def cmake_flags(system: str, machine: str, features: frozenset[str]) -> list[str]:
    """CMake flags for a computer, AMX never among them.

    system, machine: as `platform` names them. features: from `cpu_features`.
    """
    flags = ["-DLLAVA_BUILD=OFF"]  # its own image encoders: we have our own, and the build is shorter
    flags.append("-DGGML_OPENMP=OFF")  # its threads would spin, and its library is not on every desktop
    if machine.lower() not in {"x86_64", "amd64"}:
        return flags  # ARM and others: llama.cpp's own detection is right, and Apple's gets Metal
    if system == "Darwin":
        return flags  # no Mac has AMX of this kind
    flags.append("-DGGML_NATIVE=OFF")
    if not features:
        return flags  # Windows: llama.cpp's portable set (AVX2, FMA, F16C, BMI2), which CPUs have since 2013
    return flags + [f"-D{flag}={'ON' if needs <= features else 'OFF'}" for flag, needs in X86_FLAGS.items()]


def portable_flags(system: str, machine: str) -> list[str]:
    """CMake flags for other people's computers of this kind."""
    return list(dict.fromkeys([*cmake_flags(system, machine, PORTABLE), "-DGGML_NATIVE=OFF"]))


def this_cpu() -> frozenset[str]:
    """Features of the CPU we run on; empty where the system does not list them."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpu_features(cpuinfo.read_text("utf-8", "replace")) if cpuinfo.exists() else frozenset()


def flags_here(cpu: Cpu = "native") -> list[str]:
    """Flags for this computer, then those the user adds in CMAKE_ARGS, which win; none are added for many CPUs."""
    here = platform.system(), platform.machine()
    if cpu == "portable" and here == ("Linux", "x86_64"):
        return list(SYSTEMS["linux"].flags)
    ours = portable_flags(*here) if cpu == "portable" else cmake_flags(*here, this_cpu())
    return ours + shlex.split(os.environ.get("CMAKE_ARGS", ""))


def needed_features(flags: list[str]) -> list[str]:
    """What an x86 CPU must have to run a wheel of these flags, as Linux spells it; the last word of a flag counts."""
    if system_of(flags):
        return llama_portable.LEAST_FEATURES
    switches = dict(flag.removeprefix("-D").split("=", 1) for flag in flags if "=" in flag)
    return sorted({need for flag, needs in X86_FLAGS.items() if switches.get(flag) == "ON" for need in needs})


def wheel_key(flags: list[str], features: frozenset[str]) -> str:
    """Name of the cache folder: equal only where the same wheel runs.

    The wheel serves every Python 3; one that this computer's compiler has built does not serve every C library. A
    native build depends on the CPU's own list of features; otherwise the flags and our repairs say everything.
    """
    fixed = [flag for flag in flags if flag.startswith("-DGGML_NATIVE=")][-1:] == ["-DGGML_NATIVE=OFF"]
    native = "" if fixed else " ".join(sorted(features))
    system = system_of(flags)
    made_of = "\n".join([*flags, native, llama_source.WAITING_REPAIRED, *(system.recipe if system else ())])
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    where = (system.tag,) if system else (sysconfig.get_platform(), "".join(platform.libc_ver()))
    return "-".join(part for part in (LLAMA_VERSION, *where, digest) if part)


def key_here(cpu: Cpu = "native") -> str:
    """The key of the wheel that this computer needs, or that all of its kind can use."""
    return wheel_key(flags_here(cpu), this_cpu())


def cache_folder() -> Path:
    """Where built wheels are kept: outside the checkout, so that a second clone finds them."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "xraygpt-edge" / "wheels"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process builds in the folder; a process that dies lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        if sys.platform == "win32":
            import msvcrt

            lock.seek(0)
            while True:
                try:
                    msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)  # gives up after 10 s
                    break
                except OSError:
                    say("Another build is running; waiting for it.")
        else:
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("Another build is running; waiting for it.")
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept_wheel(folder: Path) -> Path | None:
    """The wheel in a cache folder, if it is whole; its receipt is written last."""
    receipt = folder / "receipt.json"
    if not receipt.exists():
        return None
    facts = json.loads(receipt.read_text("utf-8"))
    wheel = folder / facts["wheel"]
    whole = wheel.exists() and hashlib.sha256(wheel.read_bytes()).hexdigest() == facts["sha256"]
    return wheel if whole else None


def keep(wheel: Path, folder: Path, flags: list[str]) -> Path:
    """Move a new wheel into its cache folder and write its receipt."""
    kept = folder / wheel.name
    shutil.move(wheel, kept)
    facts = {
        "wheel": kept.name,
        "sha256": hashlib.sha256(kept.read_bytes()).hexdigest(),
        "cmake_args": flags,
        "repaired": llama_source.REPAIRED_FILE,
    }
    partial = folder / "receipt.partial"
    partial.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    partial.replace(folder / "receipt.json")
    return kept


def build(folder: Path, flags: list[str]) -> Path:
    """Compile the wheel with pip into a scratch folder, then keep it."""
    log = folder / "build.log"
    log.unlink(missing_ok=True)
    for left in folder.glob(f"{SCRATCH}*"):  # by a build that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=place_for_building(folder), prefix=SCRATCH) as scratch:
        if system := system_of(flags):
            say(f"Building llama.cpp for every x86-64 desktop with {system.title}: 10 minutes on two idle cores, once.")
            llama_portable.build(system, llama_source.fetch(Path(scratch), log), Path(scratch), log)
        else:
            _build_here(Path(scratch), log, flags)
        (wheel,) = Path(scratch).glob("llama_cpp_python-*.whl")
        return keep(wheel, folder, flags)


def place_for_building(folder: Path) -> Path | None:
    """A wheel's folder, or None, the system's own place, where its path has a space: pip and compilers cut it there."""
    return None if any(map(str.isspace, str(folder))) else folder


def _build_here(scratch: Path, log: Path, flags: list[str]) -> None:
    """Put the wheel for one kind of CPU into scratch, by this computer's own compiler."""
    if os.name != "nt" and not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        raise SetupError(NO_COMPILER)
    say("Building llama.cpp: about 4 to 8 minutes on two idle cores, once.")
    say(f"  with {' '.join(flag for flag in flags if not flag.endswith('=OFF')) or 'its own choice of CPU features'}")
    command = [sys.executable, "-m", "pip", "wheel", "--no-cache-dir", "--no-deps"]
    command += ["--disable-pip-version-check", "--wheel-dir", str(scratch), str(llama_source.fetch(scratch, log))]
    run_step(command, log, "llama.cpp could not be built", {"CMAKE_ARGS": shlex.join(flags)})


def built_wheel(cpu: Cpu = "native") -> Path:
    """The wheel for this computer, or for all of its kind: the kept one, or a new one."""
    return wheel_of(flags_here(cpu))


def wheel_of(flags: list[str]) -> Path:
    """The wheel of these flags: the kept one, or a new one."""
    folder = cache_folder() / wheel_key(flags, this_cpu())
    with alone(folder):
        kept = kept_wheel(folder)
        if kept:
            say(f"Using the llama.cpp that was built on this computer before: {kept}")
        return kept or build(folder, flags)


def described(wheel: Path) -> str:
    """Name, size, hash and licences of a wheel, in words."""
    with ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/licenses/" in name]
        titles = [line[2:] for name in names for line in archive.read(name).decode().splitlines() if line[:2] == "# "]
    size_mb, digest = wheel.stat().st_size / 1e6, hashlib.sha256(wheel.read_bytes()).hexdigest()
    return (
        f"{wheel.name}: {size_mb:.1f} MB, sha256 {digest}, with the licences of {', '.join(['its package', *titles])}"
    )


def install(wheel: Path) -> None:
    """Put the wheel into the Python that runs us, over any other build of the same version."""
    command = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--force-reinstall"]
    command += ["--disable-pip-version-check", "--no-cache-dir", str(wheel)]
    if subprocess.run(command, check=False).returncode:
        raise SetupError(f"pip could not install {wheel}; its words are above.")


def prove(model: Path | None) -> None:
    """Let a child process decode once: a crash in native code cannot be caught, only survived.

    model: a GGUF file; None takes the demo bundle's, or a tiny drawn one where there is no bundle.
    """
    bundled = sorted(Path("models/demo").glob("language-*.gguf"))
    model = model or (bundled[-1] if bundled else None)
    command = [sys.executable, "-m", "export.decode_probe", *([str(model)] if model else [])]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        raise SetupError("llama.cpp did not finish one small decode in 5 minutes on this computer.") from None
    if done.returncode:
        say(done.stderr.strip())
        raise SetupError(
            f"llama.cpp cannot decode on this computer (status {done.returncode}). "
            f"Delete {cache_folder() / key_here()} and try a plainer build: "
            'CMAKE_ARGS="-DGGML_AVX512=OFF" make demo'
        )
    say(f"llama.cpp works here: {done.stdout.strip()}")


def main() -> int:
    """Run one step; words go to standard error, a path or key to standard output."""
    parser = argparse.ArgumentParser(prog="python -m export.llama_wheel", description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("path", "key", "install", "prove"), nargs="?", default="path")
    parser.add_argument("--model", type=Path, help="a GGUF file for prove")
    parser.add_argument("--cpu", choices=("native", "portable"), default="native", help="for which CPUs")
    parser.add_argument("--for", dest="system", choices=sorted(SYSTEMS), help="for every desktop with this system")
    options = parser.parse_args()
    flags = list(SYSTEMS[options.system].flags) if options.system else flags_here(options.cpu)
    try:
        if options.step == "path":
            wheel = wheel_of(flags)
            say(described(wheel))
            print(wheel)
        elif options.step == "key":
            print(wheel_key(flags, this_cpu()))
        elif options.step == "install":
            install(wheel_of(flags))
        else:
            prove(options.model)
    except SetupError as error:
        say(f"Error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
