"""Every way in which the program can fail, and the exit code of each.

XrayGPTError
├── UsageError            2   a wrong option or value, another job's folder
├── Incomplete            3   parts of what was asked for are missing
├── InputRefused          4   this file is not a radiograph that can be read
├── NoBundle             10   no model bundle was found
├── Locked               11   another process works in this folder
├── BundleAltered        12   a bundle file is missing, added or changed
├── BundleIncompatible   13   the bundle's parts or version do not fit
├── RuntimeMissing       14   a library, a CPU feature or CUDA is missing
├── ResourceExhausted    15   memory or another resource ran out
├── OutputError          16   output cannot be written
├── OutOfTime            17   a deadline has passed
├── UnusableOutput       18   the model computed NaN or nothing
├── WorkerCrashed        19   a native library died twice
└── NotOffline           20   --strict asked for a guarantee that is missing

An error carries an id. What the id means, and what to do, is in `catalogue`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Self

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.records import Source, Step


class ExitCode(IntEnum):
    """What the process says to a script; numbers are never used again."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    PARTIAL = 3
    INPUT = 4
    NO_BUNDLE = 10
    LOCKED = 11
    BUNDLE_ALTERED = 12
    BUNDLE_INCOMPATIBLE = 13
    RUNTIME = 14
    RESOURCES = 15
    OUTPUT = 16
    TIMEOUT = 17
    BAD_OUTPUT = 18
    WORKER_CRASHED = 19
    NOT_OFFLINE = 20
    NOT_RUNNING = 21
    INTERRUPTED = 130
    TERMINATED = 143


class XrayGPTError(Exception):
    """Something that a user can understand and act on.

    why: what was found here, in a few words; never a value of a DICOM tag.
    """

    code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, error_id: str, why: str = "") -> None:
        self.error_id = error_id
        self.why = why
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """One line: what, why, what is safe, what to do."""
        entry = CATALOGUE[self.error_id]
        reason = f" ({self.why})" if self.why else ""
        return " ".join(part for part in (f"{entry.what}{reason}.", entry.safe, entry.fix) if part)


class UsageError(XrayGPTError):
    """A wrong option or value, or a folder that belongs to another job."""

    code = ExitCode.USAGE


class Incomplete(XrayGPTError):
    """Parts of what was asked for are missing."""

    code = ExitCode.PARTIAL


class InputRefused(XrayGPTError):
    """A file that is not a radiograph, or that cannot be read without guessing."""

    code = ExitCode.INPUT
    source: Source | None = None
    """What is known of the file; None when not even its format is."""
    steps: tuple[Step, ...] = ()
    """What was found out about the file before."""

    def about(self, source: Source | None, steps: tuple[Step, ...]) -> Self:
        """The same refusal, with what was known before it."""
        self.source, self.steps = source, steps
        return self


class NoBundle(XrayGPTError):
    """No model bundle was found where one was expected."""

    code = ExitCode.NO_BUNDLE


class Locked(XrayGPTError):
    """Another process works in this folder."""

    code = ExitCode.LOCKED


class BundleAltered(XrayGPTError):
    """A bundle's files are not the ones that its manifest describes."""

    code = ExitCode.BUNDLE_ALTERED


class BundleIncompatible(XrayGPTError):
    """A bundle's parts do not fit each other or this version."""

    code = ExitCode.BUNDLE_INCOMPATIBLE


class RuntimeMissing(XrayGPTError):
    """A library, a CPU feature or CUDA is missing."""

    code = ExitCode.RUNTIME


class ResourceExhausted(XrayGPTError):
    """Memory, or another resource of the machine, is not enough."""

    code = ExitCode.RESOURCES


class OutputError(XrayGPTError):
    """Output cannot be written."""

    code = ExitCode.OUTPUT


class OutOfTime(XrayGPTError):
    """A deadline has passed."""

    code = ExitCode.TIMEOUT


class UnusableOutput(XrayGPTError):
    """The model computed NaN, Inf or nothing at all."""

    code = ExitCode.BAD_OUTPUT


class WorkerCrashed(XrayGPTError):
    """A child process that runs native code died twice."""

    code = ExitCode.WORKER_CRASHED


class NotOffline(XrayGPTError):
    """A guarantee asked for with --strict cannot be given here."""

    code = ExitCode.NOT_OFFLINE
