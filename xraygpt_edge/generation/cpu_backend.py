"""Which of llama.cpp's libraries computes: a build for many CPUs has one for each kind, and chooses when it runs.

    libraries beside llama.cpp ─▶ kept choice of this computer ─────────────▶ loaded
                                 └─ none: a child decodes with each, best first ─▶ kept

A build for one CPU has its code inside and needs none of this.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from xraygpt_edge.errors import BundleIncompatible, RuntimeMissing
from xraygpt_edge.files import replacing
from xraygpt_edge.generation.llama_library import import_backends

VARIANTS = ("zen4", "icelake", "skylakex", "alderlake", "haswell", "sandybridge", "sse42")
"""By what they demand, most first. The one with AMX is absent on purpose: it ends the process (decision 0001)."""
PROOF_S = 120
UNSUPPORTED, NO_MODEL = 3, 4
"""What the child ends with where this CPU lacks what a library is made of, and where the file is no model."""
EXCEPTION = 0xC0000000
"""What a process that has crashed on Windows ends with begins here."""
PROOF = """
import sys
from pathlib import Path
from xraygpt_edge.generation import cpu_backend
sys.exit(cpu_backend.try_out(Path(sys.argv[1]), Path(sys.argv[2])))
"""
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Variant:
    """One library, for one kind of CPU."""

    name: str
    path: Path


def make_ready(ggml: Any, libraries: Path, model: Path) -> None:
    """Load what computes on this CPU, if nothing has been loaded yet; once in a process.

    ggml: the library that knows the others. libraries: their folder. model: the GGUF file that is loaded next, with
    which a child tries them out, on a computer where none was kept. Raises RuntimeMissing when none works.
    """
    if ggml.ggml_backend_reg_count():
        return
    there = list(variants(libraries))
    name = kept(there) or _best(there, model)
    if not load(ggml, next(variant for variant in there if variant.name == name)):
        raise RuntimeMissing("E-RUN-004", f"{name}: could not be loaded")


def variants(libraries: Path) -> Iterator[Variant]:
    """The libraries in a folder that may be taken, most demanding first."""
    for name in VARIANTS:
        yield from (Variant(name, path) for path in sorted(libraries.glob(f"*ggml-cpu-{name}.*")))


def load(ggml: Any, variant: Variant) -> bool:
    """Load a library; whether this CPU has what it is made of."""
    ggml.ggml_backend_load.restype = ctypes.c_void_p
    return bool(ggml.ggml_backend_load(os.fsencode(variant.path)))


def try_out(library: Path, model: Path) -> int:
    """Decode once with one library, in a process that may die of it; returns what that is to end with."""
    from xraygpt_edge.generation.llama import decode_once  # which needs this module

    if not load(import_backends(), Variant("", library)):
        return UNSUPPORTED
    try:
        decode_once(model)
    except BundleIncompatible:
        return NO_MODEL
    return 0


def chosen(libraries: Path) -> str:
    """The kind of CPU that the library was made for which computes here; empty for a build for one CPU alone."""
    return kept(list(variants(libraries))) or ""


def kept(there: list[Variant]) -> str | None:
    """What was found to work on this computer with these libraries; None where nothing is known."""
    try:
        found = json.loads(_kept_file().read_text("utf-8"))
        name = found["variant"] if found["identity"] == _identity(there) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if any(variant.name == name for variant in there) else None


def _best(there: list[Variant], model: Path) -> str:
    """The most demanding library that decodes here; it is kept."""
    found = []
    for variant in there:
        status = _tried(variant, model)
        if status == 0:
            _keep(variant.name, there)
            return variant.name
        if status == NO_MODEL:  # whoever loads it says so
            return variant.name
        if status != UNSUPPORTED:
            found.append(f"{variant.name}: {_words(status)}")
    raise RuntimeMissing("E-RUN-004", "; ".join(found) or f"{len(there)} libraries, none for this processor")


def _tried(variant: Variant, model: Path) -> int | None:
    """What a child that decodes with a library ends with; None when it does not end."""
    command = [sys.executable, "-c", PROOF, str(variant.path), str(model)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        return subprocess.run(command, capture_output=True, env=environment, timeout=PROOF_S, check=False).returncode
    except subprocess.TimeoutExpired:
        return None


def _words(status: int | None) -> str:
    if status is None:
        return f"no decode in {PROOF_S} s"
    if status >= EXCEPTION:
        return f"ended by exception {status:#x}"
    return f"ended by signal {-status}" if status < 0 else "could not decode"


def _keep(name: str, there: list[Variant]) -> None:
    """Write the choice down; where that is impossible, it is made again the next time."""
    words = json.dumps({"identity": _identity(there), "variant": name})
    with suppress(OSError):
        _kept_file().parent.mkdir(parents=True, exist_ok=True)
        with replacing(_kept_file()) as stream:
            stream.write(words.encode())


def _kept_file() -> Path:
    return platformdirs.user_cache_path("xraygpt-edge", appauthor=False) / "cpu.json"


def _identity(there: list[Variant]) -> str:
    """Hash of this processor's features and of what there is to choose from."""
    lines = CPUINFO.read_text("ascii", "replace").splitlines() if CPUINFO.is_file() else []
    features = next((line for line in lines if line.startswith("flags")), platform.processor())
    facts = [f"{v.path.name} {v.path.stat().st_size} {v.path.stat().st_mtime_ns}" for v in there]
    return hashlib.sha256("\n".join([features, *facts]).encode()).hexdigest()
