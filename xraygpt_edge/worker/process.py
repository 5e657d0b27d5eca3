"""One child as the program sees it: started, asked, and killed when it is late."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.images import MAX_PX, Radiograph, Reading, ReadOptions
from xraygpt_edge.records import ReadWarning, Source, Step
from xraygpt_edge.sandbox import Protection

START_S = 30.0
"""Longest time for a child to import its libraries, on a slow disk."""
PIPE_BYTES = 1 << 20
ANSWER_MAX_BYTES = 1 << 20
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
KEEP_OUT_OF_CACHE = ("-B",) if sys.dont_write_bytecode else ()
"""Isolated, the child does not see the variable that the program was told this by."""
ENTRY = (
    "import json, sys; sys.path += [p for p in json.loads(sys.argv[1]) if p not in sys.path]; "
    "from xraygpt_edge.worker.child import serve; serve()"
)


class ChildDied(Exception):
    """The child ended before it answered."""


class Child:
    """One process. Blocking reads are ended by killing it from a timer: that works on every system."""

    def __init__(self, deadline_s: float, memory_bytes: int) -> None:
        self._deadline_s = deadline_s
        self.files = 0
        self._protection: Protection | None = None
        limits = (str(memory_bytes), str(deadline_s))
        self._process = subprocess.Popen(
            [sys.executable, "-I", *KEEP_OUT_OF_CACHE, "-c", ENTRY, json.dumps(_search_path()), *limits],
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
        return Reading(Radiograph(pixels, _source(answer["source"])), _steps(answer))

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
            source = _source(answer["source"]) if answer["source"] else None
            raise InputRefused(answer["error_id"], answer["why"]).about(source, _steps(answer))
        return answer

    def _pixels(self, answer: dict[str, Any]) -> NDArray[np.uint8]:
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


def _source(facts: dict[str, Any]) -> Source:
    return Source(**{**facts, "warnings": tuple(ReadWarning(**warning) for warning in facts["warnings"])})


def _steps(answer: dict[str, Any]) -> tuple[Step, ...]:
    return tuple(Step(**step) for step in answer["steps"])


def _search_path() -> list[str]:
    """Where the parent finds its libraries; never the folder in which the user happens to be."""
    root = str(Path(__file__).resolve().parents[2])
    return [*(os.path.abspath(entry) for entry in sys.path if entry), root]  # noqa: PTH100 - zip files, too


def _widen(pipe: IO[bytes]) -> None:
    """A larger pipe on Linux: 20 MB of pixels in 20 wake-ups instead of 300."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
