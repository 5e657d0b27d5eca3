"""Time and peak memory of each step of an export."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from xraygpt_edge.devices import trim_memory

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What Linux takes as: forget the peak, start again from the memory in use."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One step."""

    name: str
    seconds: float | None
    """None when an earlier run had done it."""
    peak_bytes: int | None
    """Most resident memory during the step, mapped files included; None where Linux does not tell."""


class Meter:
    """Collects measurements; a step's own peak can be seen because it is reset before each."""

    def __init__(self) -> None:
        self.measurements: list[Measurement] = []

    @contextmanager
    def measuring(self, name: str) -> Iterator[None]:
        """Measure what runs inside."""
        _reset_peak()
        began = time.monotonic()
        yield
        self.measurements.append(Measurement(name, time.monotonic() - began, peak_bytes()))

    def note_skipped(self, name: str) -> None:
        """An earlier run has done this step."""
        self.measurements.append(Measurement(name, None, None))

    def rows(self) -> list[list[str]]:
        """A table: step, time, peak memory."""
        return [["step", "time", "peak memory"], *(_row(measurement) for measurement in self.measurements)]


def _row(measurement: Measurement) -> list[str]:
    if measurement.seconds is None:
        return [measurement.name, "done before", ""]
    peak = "" if measurement.peak_bytes is None else f"{measurement.peak_bytes / 1e9:.2f} GB"
    return [measurement.name, f"{measurement.seconds:.1f} s", peak]


def peak_bytes() -> int | None:
    """Most resident memory since the last reset."""
    try:
        lines = STATUS.read_text("ascii", errors="replace").splitlines()
    except OSError:
        return None
    peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
    return peaks[0] if peaks else None


def _reset_peak() -> None:
    gc.collect()
    trim_memory()  # what the step before has freed is not this step's
    try:
        CLEAR_REFS.write_text(RESET_PEAK)
    except OSError:
        return  # not Linux, or not allowed: the peak is then that of the whole process
