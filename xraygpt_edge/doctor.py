"""The machine, looked at from all sides: what works, what does not, and what to do about it.

Each check returns a result and prints nothing. Native code is tried in a child process, because
a build for another CPU ends the process that runs it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from xraygpt_edge import bundle, devices, offline
from xraygpt_edge.bundle import Manifest
from xraygpt_edge.bundle.store import demo_root, installed
from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.sandbox import NetworkCut

State = Literal["ok", "warn", "fail"]

CPUINFO = Path("/proc/cpuinfo")
WANTED_FLAGS = ("avx2", "fma", "f16c")
"""What llama.cpp needs to be fast on x86-64."""
DECODERS = {"pydicom": "DICOM", "jpeg_ls": "JPEG-LS", "openjpeg": "JPEG 2000", "gdcm": "lossless JPEG"}
LIMITS = {
    "memory_limited": "a limit of memory",
    "no_core_dump": "a ban on core dumps",
    "dies_with_parent": "an end when the program is killed",
    "no_network": "a cut from the network",
}
"""Of the isolated reader, by the fields of `Protection`."""
CUT_BY: dict[NetworkCut, str] = {
    "namespace": "it is in an empty network namespace, as --strict would be",
    "filter": "a filter of system calls refuses its sockets, as --strict would",
}
PROOF_S = 900
"""A 7B model needs half a minute; more is a machine that swaps."""
MEMORY_FOR_7B_BYTES = 6_000_000_000
PROOF = """
import sys
from pathlib import Path
from xraygpt_edge.devices import usable_cpus
from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.proof import prove
try:
    prove(Path(sys.argv[1]), usable_cpus()).require()
except XrayGPTError as error:
    sys.exit(error.message)
"""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    fix: str = ""
    """What to do; empty when all is well."""


def examine(store: Path) -> Iterator[CheckResult]:
    """Every check, one after another; a check that fails itself is a result, too."""
    yield from map(_result_of, (_cpu, _memory, _onnxruntime, _cuda, _decoders, _reader, _telemetry))
    yield from _bundles(store)
    yield _result_of(_llama)  # last, since the code for this CPU is chosen when the first bundle is loaded


def _result_of(check: Callable[[], CheckResult]) -> CheckResult:
    try:
        return check()
    except XrayGPTError as error:
        return CheckResult(check.__name__.strip("_"), "fail", error.message, f"explain {error.error_id}")


def _cpu() -> CheckResult:
    found = f"{platform.machine()}, {devices.usable_cpus()} cores"
    if not CPUINFO.is_file() or platform.machine() not in ("x86_64", "AMD64"):
        return CheckResult("CPU", "ok", found)
    flags = CPUINFO.read_text("ascii", errors="replace").split()
    missing = [flag for flag in WANTED_FLAGS if flag not in flags]
    if missing:
        return CheckResult("CPU", "warn", f"{found}, without {', '.join(missing)}", "Answers will be slow.")
    return CheckResult("CPU", "ok", found)


def _memory() -> CheckResult:
    free = devices.available_memory_bytes()
    found = f"{free / 1e9:.1f} GB are free"
    if free < MEMORY_FOR_7B_BYTES:
        return CheckResult("memory", "warn", found, "A 7B model needs about 6 GB: close other programs.")
    return CheckResult("memory", "ok", found)


def _onnxruntime() -> CheckResult:
    from xraygpt_edge.encoder import import_onnxruntime

    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if len(installed) > 1:
        fix = "Uninstall both, then install xraygpt-edge[cpu] or xraygpt-edge[cuda]."
        return CheckResult("ONNX Runtime", "fail", "both packages are installed and break each other", fix)
    ort = import_onnxruntime()
    return CheckResult("ONNX Runtime", "ok", f"{ort.__version__}: {', '.join(ort.get_available_providers())}")


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _llama() -> CheckResult:
    from xraygpt_edge.generation import cpu_backend
    from xraygpt_edge.generation.llama_library import import_llama, libraries

    info = import_llama().llama_print_system_info().decode("ascii", "replace").strip()
    chosen = cpu_backend.chosen(libraries())
    return CheckResult("llama.cpp", "ok", f"{version('llama_cpp_python')}: {f'code for {chosen}' if chosen else info}")


def _cuda() -> CheckResult:
    from xraygpt_edge.encoder import cuda_available
    from xraygpt_edge.generation.llama_library import gpu_offload_available

    there = {"ONNX Runtime": cuda_available(), "llama.cpp": gpu_offload_available()}
    if all(there.values()):
        return CheckResult("CUDA", "ok", "both libraries have it")
    if any(there.values()):
        missing = next(name for name, has in there.items() if not has)
        return CheckResult("CUDA", "warn", f"{missing} was built without it", "See docs/install.md.")
    return CheckResult("CUDA", "ok", "not installed; the CPU is used")


def _decoders() -> CheckResult:
    missing = [what for module, what in DECODERS.items() if find_spec(module) is None]
    if missing:
        return CheckResult("decoders", "fail", f"missing: {', '.join(missing)}", "Install xraygpt-edge again.")
    return CheckResult("decoders", "ok", ", ".join(DECODERS.values()))


def _reader() -> CheckResult:
    """The process that opens files: which limits the system really gives it."""
    with Reader() as reader:
        protection = reader.protection
    missing = [words for field, words in LIMITS.items() if not getattr(protection, field)]
    if missing:
        fix = "Only Linux has all of them. Read files from strangers on a machine without a network."
        return CheckResult("isolated reader", "warn", f"without {', '.join(missing)}", fix)
    cut = CUT_BY[protection.no_network] if protection.no_network else ""
    return CheckResult("isolated reader", "ok", f"memory limited, no core dump; no network: {cut}")


def _telemetry() -> CheckResult:
    if offline.came_too_late():
        return CheckResult(
            "offline", "fail", "ONNX Runtime was loaded before its telemetry was off", "explain E-RUN-020"
        )
    return CheckResult("offline", "ok", "the telemetry of ONNX Runtime is off; nothing here opens a socket")


def _bundles(store: Path) -> Iterator[CheckResult]:
    for root in [demo_root(), *installed(store)]:
        try:
            manifest = bundle.load(root).manifest
        except XrayGPTError as error:
            yield CheckResult(f"bundle {root.name}", "fail", error.message, f"explain {error.error_id}")
        else:
            yield _bundle(root, manifest)


def _bundle(root: Path, manifest: Manifest) -> CheckResult:
    name, kind = f"bundle {manifest.id}", "demonstration" if manifest.demo else manifest.kind
    if not any(entry.role == "receipts" for entry in manifest.files):
        fix = "Export it again: docs/export.md."
        return CheckResult(name, "warn", f"{kind}: it has no receipts to be proved by", fix)
    return _proof(name, kind, root)


def _proof(name: str, kind: str, root: Path) -> CheckResult:
    """The bundle's receipts, recomputed in a child process."""
    command = [sys.executable, "-c", PROOF, str(root)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROOF_S, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return CheckResult(name, "fail", f"{kind}: no answer in {PROOF_S} s", "Close other programs and try again.")
    if done.returncode < 0:
        fix = "Build llama-cpp-python for this CPU: docs/install.md."
        return CheckResult(name, "fail", f"{kind}: native code crashed (signal {-done.returncode})", fix)
    if done.returncode:
        why = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        return CheckResult(name, "fail", f"{kind}: {''.join(why)}", f"bundle prove {root}")
    return CheckResult(name, "ok", f"{kind}: computes here what the exporter measured; {_at_once(root)}")


def _at_once(root: Path) -> str:
    """How many radiographs a batch answers at the same time here."""
    from xraygpt_edge import loading

    try:
        count = loading.answers_at_once(loading.choose(root, loading.LoadOptions("cpu")))
    except XrayGPTError as error:
        return f"no room for it now ({error.error_id})"
    return f"a batch answers {count} at a time"
