"""Reading in a process of its own: no hostile file can crash, hang or fill the program.

The child imports pydicom and the codecs while the parent loads the model. It gets a request as one line
of JSON and answers with one line of JSON and, for a picture, its raw pixels. Nothing that it sends is
executed or unpickled here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.images import DEFAULT, MAX_PX, Radiograph, Reading, ReadOptions
from xraygpt_edge.notes import Step
from xraygpt_edge.records import ReadWarning, Source
from xraygpt_edge.sandbox import Protection

DEADLINE_S = 20.0
"""For one file. The largest real ones take one second."""
MEMORY_BYTES = 1536 << 20
"""Address space of the child; a radiograph of 5000 x 4000 pixels needs a quarter."""
FILES_PER_CHILD = 50
ATTEMPTS = 2
START_S = 30.0
"""Longest time for a child to import its libraries, on a slow disk."""
ORPHAN_S = 5
"""How much longer than the deadline a child may live when its parent is gone."""
PIPE_BYTES = 1 << 20
ANSWER_MAX_BYTES = 1 << 20
RECYCLE_AFTER = frozenset({"E-DCM-008", "E-DCM-015", "E-DCM-020", "E-DCM-023", "E-IMG-006"})
"""Refusals that come out of native code, which may have left memory in any state."""
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
ENTRY = (
    "import json, sys; sys.path += [p for p in json.loads(sys.argv[1]) if p not in sys.path]; "
    "from xraygpt_edge.worker import serve; serve()"
)


class ChildDied(Exception):
    """The child ended before it answered."""


class Reader:
    """Reads files in a child process; a context manager, safe to use from several threads."""

    def __init__(self, deadline_s: float = DEADLINE_S, memory_bytes: int = MEMORY_BYTES) -> None:
        self._deadline_s, self._memory_bytes = deadline_s, memory_bytes
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin the child and return at once; it imports its libraries meanwhile."""
        if self._child is None:
            self._child = _Child(self._deadline_s, self._memory_bytes)

    def read(self, path: Path, options: ReadOptions = DEFAULT) -> Radiograph:
        """Read one file; raises InputRefused, also when the child hung, crashed or ran out of memory."""
        return self.read_with_account(path, options).radiograph

    def read_with_account(self, path: Path, options: ReadOptions = DEFAULT) -> Reading:
        """As `read`, with the steps from file to picture."""
        with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    return self._read_once(path, options)
                except ChildDied:
                    self._recycle()
        raise InputRefused("E-DCM-022")

    @property
    def protection(self) -> Protection:
        """Which limits hold in the child."""
        with self._lock:
            return self._ready_child().protection

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_once(self, path: Path, options: ReadOptions) -> Reading:
        child = self._ready_child()
        try:
            reading = child.read(path, options)
        except InputRefused as refusal:
            if not child.alive or refusal.error_id in RECYCLE_AFTER:
                self._recycle()
            raise
        except BaseException:  # interrupted in the middle of an answer: what follows belongs to it
            self.close()
            raise
        if child.files >= FILES_PER_CHILD:
            self._recycle()
        return reading

    def _ready_child(self) -> _Child:
        self.start()
        if self._child is None:
            raise ChildDied
        self._child.wait_until_ready()
        return self._child

    def _recycle(self) -> None:
        """A fresh child, which starts while the model looks at the last picture."""
        self.close()
        self.start()


class _Child:
    """One process. Blocking reads are ended by killing it from a timer: that works on every system."""

    def __init__(self, deadline_s: float, memory_bytes: int) -> None:
        self._deadline_s = deadline_s
        self.files = 0
        self._protection: Protection | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", ENTRY, json.dumps(_search_path()), str(memory_bytes), str(deadline_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **SINGLE_THREAD},
            start_new_session=True,  # Ctrl-C in the terminal is for the parent
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise ChildDied
        self._requests: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        _widen(self._answers)

    @property
    def alive(self) -> bool:
        """The process has not ended."""
        return self._process.poll() is None

    @property
    def protection(self) -> Protection:
        """Which limits hold."""
        self.wait_until_ready()
        if self._protection is None:
            raise ChildDied
        return self._protection

    def wait_until_ready(self) -> None:
        """Until its libraries are imported."""
        if self._protection is None:
            with self._killed_after(START_S):
                self._protection = Protection(**self._answer())

    def read(self, path: Path, options: ReadOptions) -> Reading:
        """Ask for one file; raises InputRefused or ChildDied."""
        self.files += 1
        request = {"path": os.fspath(path), **asdict(options)}
        with self._killed_after(self._deadline_s) as late:
            try:
                self._requests.write(json.dumps(request).encode() + b"\n")
                self._requests.flush()
                answer = self._answer()
                pixels = self._pixels(answer)
            except (ChildDied, OSError):
                if late.is_set():
                    raise InputRefused("E-DCM-021", f"more than {self._deadline_s:g} s") from None
                raise ChildDied from None
        return _reading(answer, pixels)

    def kill(self) -> None:
        """End it and forget it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()

    @contextlib.contextmanager
    def _killed_after(self, seconds: float) -> Any:
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline(ANSWER_MAX_BYTES)
        if not line.endswith(b"\n"):
            raise ChildDied
        answer: dict[str, Any] = json.loads(line)
        if "error_id" in answer:
            raise InputRefused(answer["error_id"], answer["why"])
        return answer

    def _pixels(self, answer: dict[str, Any]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        rows, columns = answer["shape"]
        if not 0 < rows * columns <= 2 * MAX_PX:
            raise ChildDied
        pixels = np.empty((rows, columns), np.uint8)
        buffer = pixels.data.cast("B")
        while buffer:
            count = self._answers.readinto(buffer)  # type: ignore[attr-defined]
            if not count:
                raise ChildDied
            buffer = buffer[count:]
        return pixels


def _reading(answer: dict[str, Any], pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> Reading:
    facts = answer["source"]
    facts["warnings"] = tuple(ReadWarning(**warning) for warning in facts["warnings"])
    steps = tuple(Step(**step) for step in answer["steps"])
    return Reading(Radiograph(pixels, Source(**facts)), steps)


def _search_path() -> list[str]:
    """Where the parent finds its libraries; never the folder in which the user happens to be."""
    root = str(Path(__file__).resolve().parent.parent)
    return [*(os.path.abspath(entry) for entry in sys.path if entry), root]  # noqa: PTH100 - zip files, too


def _widen(pipe: IO[bytes]) -> None:
    """A larger pipe on Linux: 20 MB of pixels in 20 wake-ups instead of 300."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def serve() -> None:
    """The child: protect itself, import, then answer until its input ends."""
    from xraygpt_edge.sandbox import protect

    protection = protect(int(sys.argv[2]))
    answers = _private_output()
    from xraygpt_edge import dicom, images  # noqa: F401 - what takes long is imported before the first request

    _send(answers, asdict(protection))
    for line in sys.stdin.buffer:
        _end_by_itself(float(sys.argv[3]) + ORPHAN_S)
        request = json.loads(line)
        path = Path(request.pop("path"))
        try:
            reading = images.read_with_account(path, ReadOptions(**request))
        except InputRefused as refusal:
            _send(answers, {"error_id": refusal.error_id, "why": refusal.why})
        else:
            _send_reading(answers, reading)
            del reading
        _end_by_itself(0)


def _private_output() -> IO[bytes]:
    """Keep the answers apart from what native libraries print: that goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def _end_by_itself(seconds: float) -> None:
    """Let the kernel end this process even inside native code, should the parent be gone by then."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _send(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _send_reading(answers: IO[bytes], reading: Reading) -> None:
    pixels = np.ascontiguousarray(reading.radiograph.pixels)
    source, steps = asdict(reading.radiograph.source), [asdict(step) for step in reading.steps]
    _send(answers, {"shape": pixels.shape, "source": source, "steps": steps})
    answers.write(pixels.data.cast("B"))
    answers.flush()
