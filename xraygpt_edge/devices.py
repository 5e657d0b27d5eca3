"""Which device and how many threads: pure decisions from what was found and what was asked."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

Wish = Literal["auto", "cpu", "cuda"]

CPUINFO = Path("/proc/cpuinfo")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
KERNEL_FEATURES = (
    *("pni", "ssse3", "sse4_1", "sse4_2", "avx", "f16c", "fma", "bmi2", "avx2", "avx_vnni", "avx_vnni_int8"),
    *("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd", "avx512vbmi", "avx512_vnni", "avx512_bf16"),
    *("avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
"""As Linux names them: what x86 has, then what ARM has."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where the model runs."""

    name: Literal["cpu", "cuda"]
    threads: int


def usable_cpus() -> int:
    """Physical cores that this process may use: affinity and the container's quota counted in.

    Hyper-threads are left out: two threads on one core slow llama.cpp down.
    """
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    quotas = (quota for folder in containers() if (quota := cpu_quota(folder)))
    return max(1, min([cores, affinity, *quotas]))


def processor() -> str:
    """Name and features of this processor, as far as the system tells."""
    try:
        lines = CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(wanted)))


def kind_of_cpu() -> str:
    """The architecture, and those features by which llama.cpp and ONNX Runtime choose kernels.

    Processors of one kind round alike. Where the system names no features, the processor's own name stands for them.
    """
    words = {word for line in processor().splitlines()[1:] for word in line.partition(":")[2].split()}
    features = [feature for feature in KERNEL_FEATURES if feature in words]
    return " ".join([platform.machine(), *(features or platform.processor().split())])


def available_memory_bytes() -> int:
    """Memory that a new program can have without swapping, the container's limit counted in."""
    rooms = (room for folder in containers() if (room := memory_room_bytes(folder)) is not None)
    return min([int(psutil.virtual_memory().available), *rooms])


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far, and what its child processes hold now."""
    process = psutil.Process()
    children = sum(child.memory_info().rss for child in process.children(recursive=True))
    if sys.platform == "win32":
        return int(process.memory_info().peak_wset + children)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit + children)


def is_running(pid: int) -> bool:
    """Whether there is a process of this number, not yet dead."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def trim_memory() -> None:
    """Give back to the system what was freed; GNU's C library keeps it otherwise, 0.7 GB after opening an encoder."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def containers() -> list[Path]:
    """Control groups (version 2) that this process is in, the innermost first; none on other systems."""
    try:
        lines = OWN_CGROUP.read_text("ascii", "replace").splitlines()
    except OSError:
        return []
    own = [line.removeprefix("0::").lstrip("/") for line in lines if line.startswith("0::")]
    folders = [CGROUPS / path for path in own]
    return [folder for path in folders for folder in (path, *path.parents) if folder.is_relative_to(CGROUPS)]


def cpu_quota(container: Path) -> int | None:
    """Whole CPUs that a control group may use; None without a limit."""
    try:
        quota, period = (container / "cpu.max").read_text("ascii").split()[:2]
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))


def memory_room_bytes(container: Path) -> int | None:
    """Memory that a control group can still give, pages of files counted as free; None without a limit."""
    try:
        limit, used = ((container / f"memory.{name}").read_text("ascii").strip() for name in ("max", "current"))
        stat = dict(line.split() for line in (container / "memory.stat").read_text("ascii").splitlines())
    except (OSError, ValueError):
        return None
    files = int(stat.get("active_file", 0)) + int(stat.get("inactive_file", 0))
    return None if limit == "max" else max(0, int(limit) - int(used) + files)
