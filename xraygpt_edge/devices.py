"""Which device and how many threads: pure decisions from what was found and what was asked."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

Wish = Literal["auto", "cpu", "cuda"]

CGROUP_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


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
    return max(1, min(cores, affinity, _quota(CGROUP_CPU_MAX) or cores))


def available_memory_bytes() -> int:
    """Memory that a new program can have without swapping."""
    return int(psutil.virtual_memory().available)


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far, and what its child processes hold now."""
    process = psutil.Process()
    children = sum(child.memory_info().rss for child in process.children(recursive=True))
    if sys.platform == "win32":
        return int(process.memory_info().peak_wset + children)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit + children)


def trim_memory() -> None:
    """Give back to the system what was freed; GNU's C library keeps it otherwise, 0.7 GB after opening an encoder."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def _quota(cpu_max: Path) -> int | None:
    """Whole CPUs of the container's quota; None without one."""
    try:
        quota, period = cpu_max.read_text("ascii").split()[:2]
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, int(quota) // int(period))
