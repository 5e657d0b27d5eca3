"""llama.cpp's own measuring tools, built from the source that our llama.cpp comes from, with the same flags.

    pip download ──▶ source archive ── unpack ──▶ vendor/llama.cpp ── cmake ──▶ bin/ in the user's cache folder

A ratio between two programs says something about the programs only when both were compiled alike.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from export import llama_source, llama_wheel
from export.build_steps import SetupError, run_step, say
from export.llama_source import LLAMA_VERSION
from xraygpt_edge.devices import usable_cpus

TOOLS = ("llama-bench", "llama-batched-bench")
SWITCHES = (
    "-DCMAKE_BUILD_TYPE=Release",  # what the wheel's builder takes too
    "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",  # so that bin/ can be moved
    "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_OPENSSL=OFF",
)
"""What is not about speed: leave out what we do not run."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Paths of the tools."""

    llama_bench: Path
    batched_bench: Path


def folder_here() -> Path:
    """Where the tools for this computer are kept, beside the wheels and under the same key."""
    return llama_wheel.cache_folder().parent / "peers" / llama_wheel.key_here()


def kept(folder: Path) -> Peers | None:
    """The tools in a folder, if their build was finished; its receipt is written last."""
    if not (folder / "receipt.json").is_file():
        return None
    suffix = ".exe" if os.name == "nt" else ""
    paths = [folder / "bin" / f"{tool}{suffix}" for tool in TOOLS]
    return Peers(*paths) if all(path.is_file() for path in paths) else None


def ready() -> Peers:
    """The tools: the kept ones, or new ones. Raises SetupError when they cannot be built."""
    folder = folder_here()
    with llama_wheel.alone(folder):
        return kept(folder) or _made(folder)


def _made(folder: Path) -> Peers:
    if shutil.which("cmake") is None:
        raise SetupError("CMake was not found. Install it (apt install cmake, or pip install cmake), and try again.")
    say("Building llama.cpp's own measuring tools, with the flags of our own llama.cpp: about 8 minutes on two cores,")
    say(f"once. They are kept in {folder}.")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        log = folder / "build.log"
        log.unlink(missing_ok=True)
        source = llama_source.fetch(Path(scratch), log) / "vendor" / "llama.cpp"
        build = Path(scratch) / "build"
        jobs = str(usable_cpus())
        configure = ["cmake", "-S", str(source), "-B", str(build), *SWITCHES, *llama_wheel.flags_here()]
        run_step(configure, log, "llama.cpp's tools could not be set up")
        compile_ = ["cmake", "--build", str(build), "--config", "Release", "-j", jobs, "--target", *TOOLS]
        run_step(compile_, log, "llama.cpp's tools could not be built")
        shutil.rmtree(folder / "bin", ignore_errors=True)
        shutil.move(build / "bin", folder / "bin")
    receipt = {"llama_cpp_python": LLAMA_VERSION, "cmake_args": llama_wheel.flags_here(), "system": platform.system()}
    (folder / "receipt.json").write_text(json.dumps(receipt, indent=1) + "\n", "utf-8")
    tools = kept(folder)
    if tools is None:
        raise SetupError(f"The build ended well, but the tools are not in {folder / 'bin'}.")
    return tools
