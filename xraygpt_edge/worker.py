"""The decode worker: files are opened in a child process, where hostile bytes can do no harm.

The child has a memory limit, no core dump, no network where the kernel allows it, and a deadline for each
file. A crash, a hang or a memory bomb becomes one refused file, and a fresh child takes the next one.
What comes back is pixels and plain facts, never an object.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from xraygpt_edge.errors import InputRefused, OutOfTime
from xraygpt_edge.images import Radiograph, ReadOptions
from xraygpt_edge.native import Deadline, NativeThread
from xraygpt_edge.notes import Step
from xraygpt_edge.records import ReadWarning, Source

DEADLINE_S = 20.0
"""A 5000 x 4000 film takes about half a second; the slowest codec a few."""
MEMORY_MAX_BYTES = 2 << 30
FILES_PER_CHILD = 50
"""Codecs keep memory; a fresh child gives it back."""
LENGTH = struct.Struct("<QQ")
"""Bytes of the JSON head and of the pixels behind it."""
SPENT = frozenset({"E-DCM-008", "E-DCM-021"})
"""After these the child is replaced: a native error may have left something behind."""


class Reader:
    """Reads radiographs in a child process; a context manager."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = NativeThread("reader")
        self._files = 0

    def start(self) -> None:
        """Start the child and return at once; it loads its decoders meanwhile."""
        if self._child is None:
            self._child, self._files = _spawn(), 0

    def read(self, path: Path, options: ReadOptions) -> Radiograph:
        """Read one file; raises InputRefused."""
        for attempt in (1, 2):
            try:
                return self._read(path, options)
            except EOFError:  # the child died; a second death says that it was this file
                self._stop()
                if attempt == 2:
                    raise InputRefused("E-DCM-022") from None
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the child."""
        self._stop()
        self._thread.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, path: Path, options: ReadOptions) -> Radiograph:
        self.start()
        child = self._child
        assert child is not None
        request = {"path": os.fsencode(path.absolute()).hex(), **asdict(options)}
        try:
            head, pixels = self._thread.call(lambda: _exchange(child, request), Deadline(self._deadline_s), child.kill)
        except OutOfTime:
            self._stop()
            raise InputRefused("E-DCM-021", f"more than {self._deadline_s:g} s") from None
        except BaseException:
            self._stop()
            raise
        self._files += 1
        if head.get("error_id") in SPENT or self._files >= FILES_PER_CHILD:
            self._stop()
        if "error_id" in head:
            raise InputRefused(head["error_id"], head["why"])
        return _radiograph(head, pixels)

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was buffered for a dead child is lost with it


def _spawn() -> subprocess.Popen[bytes]:
    """A child that shares our code and nothing else: no site of the user's, no module of the folder we are in."""
    package = str(Path(__file__).resolve().parent.parent)
    code = f"import sys; sys.path.insert(0, {package!r}); from xraygpt_edge.worker import serve; serve()"
    return subprocess.Popen(
        [sys.executable, "-I", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # codecs print there what they stumble over
        start_new_session=True,  # Ctrl-C is for the program, which then ends its child
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )


def _exchange(child: subprocess.Popen[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Send a request and wait for the whole reply; raises EOFError when the child has died."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        _send(child.stdin, request)
    except OSError:
        raise EOFError from None
    return _receive(child.stdout)


def _send(pipe: IO[bytes], head: dict[str, Any], pixels: memoryview | bytes = b"") -> None:
    text = json.dumps(head).encode()
    pipe.write(LENGTH.pack(len(text), len(pixels)))
    pipe.write(text)
    pipe.write(pixels)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    head_bytes, pixel_bytes = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    return json.loads(_exactly(pipe, head_bytes)), _exactly(pipe, pixel_bytes)


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) != count:
        raise EOFError
    return data


def _radiograph(head: dict[str, Any], pixels: bytes) -> Radiograph:
    source = head["source"]
    warnings = tuple(ReadWarning(**warning) for warning in source.pop("warnings"))
    steps = tuple(Step(**step) for step in head["steps"])
    array = np.frombuffer(pixels, np.uint8).reshape(head["shape"])
    return Radiograph(array, Source(**source, warnings=warnings), steps)


def serve() -> None:
    """The child: answer requests until the program closes its end."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a codec prints is not a reply
    confine()
    from xraygpt_edge import dicom, images  # noqa: F401 - loaded now, while the program loads its model

    while True:
        try:
            request, _ = _receive(sys.stdin.buffer)
        except EOFError:
            return
        head, pixels = _answer(request)
        _send(replies, head, pixels)


def confine() -> None:
    """Give up what reading a file does not need; what a system does not know is left out."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    except (ImportError, ValueError, OSError):
        pass
    if sys.platform == "linux":
        _confine_linux()


def _confine_linux() -> None:
    """Die with the parent, leave no trace in /proc, and have no network where namespaces are allowed."""
    import ctypes

    set_parent_death_signal, set_dumpable, new_user, new_network = 1, 4, 0x10000000, 0x40000000
    libc = ctypes.CDLL(None)
    libc.unshare(new_user | new_network)
    libc.prctl(set_parent_death_signal, 9, 0, 0, 0)
    libc.prctl(set_dumpable, 0, 0, 0, 0)


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], memoryview | bytes]:
    from xraygpt_edge.images import read_radiograph

    path = Path(os.fsdecode(bytes.fromhex(request.pop("path"))))
    try:
        radiograph = read_radiograph(path, ReadOptions(**request))
    except InputRefused as error:
        return {"error_id": error.error_id, "why": error.why}, b""
    except MemoryError:
        return {"error_id": "E-DCM-021", "why": f"more than {MEMORY_MAX_BYTES >> 30} GB"}, b""
    except Exception as error:  # noqa: BLE001 - nothing that a file holds may end the worker
        return {"error_id": "E-DCM-001", "why": type(error).__name__}, b""
    head = {
        "source": asdict(radiograph.source),
        "steps": [asdict(step) for step in radiograph.steps],
        "shape": radiograph.pixels.shape,
    }
    return head, memoryview(np.ascontiguousarray(radiograph.pixels)).cast("B")
