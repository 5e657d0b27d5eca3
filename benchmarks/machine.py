"""The computer that was measured: what it is, and whether it had anything else to do. No name and no path of it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.pairs import Measure, Raw
from export import llama_wheel
from xraygpt_edge.devices import usable_cpus

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("xraygpt-edge", "llama_cpp_python", "onnxruntime", "numpy", "torch", "transformers")
FEATURE = re.compile(r"avx|fma|f16c|bmi2|amx|sse4_2|neon|asimd|sve|i8mm")
QUIET_SHARE = 0.05
"""Of all cores: what an idle system does beside us."""
WATCHED_S = 3.0


def facts() -> dict[str, Any]:
    """What a reader needs to compare machines."""
    return {
        "cpu": cpu_model(),
        "cores": psutil.cpu_count(logical=False),
        "usable_cores": usable_cpus(),
        "features": sorted(name for name in llama_wheel.this_cpu() if FEATURE.match(name)),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def cpu_model() -> str:
    """The CPU as it calls itself."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text("utf-8", "replace") if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of everything that computes."""
    return {name: _version(name) for name in LIBRARIES}


def commit() -> str:
    """The checkout's commit, with a plus sign when files differ from it; empty where there is no git."""
    found = _git("rev-parse", "HEAD")
    return found + ("+" if found and _git("status", "--porcelain", "--untracked-files=no") else "")


def busy_share(seconds: float = WATCHED_S) -> float:
    """Share of all cores that are busy now, with nothing of ours running."""
    return float(psutil.cpu_percent(interval=seconds)) / 100


def watched(measure: Measure) -> Raw:
    """Run a side; adds what share of all cores others used meanwhile, and how long it took in all."""
    began_s, others_s = time.monotonic(), _others_s()
    found = measure()
    took_s = time.monotonic() - began_s
    share = max(0.0, _others_s() - others_s) / (took_s * (os.cpu_count() or 1))
    return {**found, "side_took_s": round(took_s, 3), "others_cpu_share": round(share, 4)}


def _others_s() -> float:
    """CPU seconds of the whole machine that are not ours or of a child that has ended."""
    times, ours = psutil.cpu_times(), os.times()
    whole = sum(times) - times.idle - getattr(times, "iowait", 0.0)
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted in user time already
    return float(whole - guests - ours.user - ours.system - ours.children_user - ours.children_system)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
