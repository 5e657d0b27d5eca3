"""One child as the program sees it: started, asked, and killed when it is late."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.imaging.images import Radiograph, Reading, ReadOptions, require_size
from xraygpt_edge.imaging.isolated import messages
from xraygpt_edge.imaging.isolated.messages import (
    ForViewer,
    Identified,
    Picture,
    ReadIdentity,
    ReadPicture,
    Ready,
    Refused,
    described,
)
from xraygpt_edge.imaging.pixels import MAX_PX, Level
from xraygpt_edge.imaging.values import Shown
from xraygpt_edge.sandbox import Protection

Wanted = TypeVar("Wanted", Ready, Picture, Identified)

START_S = 30.0
"""Longest time for a child to import its libraries, on a slow disk."""
PIPE_BYTES = 1 << 20
ANSWER_MAX_BYTES = 1 << 20
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
KEEP_OUT_OF_CACHE = ("-B",) if sys.dont_write_bytecode else ()
"""Isolated, the child does not see the variable that the program was told this by."""
ENTRY = (
    "import json, sys; sys.path += [p for p in json.loads(sys.argv[1]) if p not in sys.path]; "
    "from xraygpt_edge.sandbox import end_with_parent; end_with_parent(); "
    "from xraygpt_edge.imaging.isolated.child import serve; serve()"
)


class ChildDied(Exception):
    """The child ended before it answered, or said what no child of ours says."""


class Child:
    """One process, for one caller at a time. Blocking reads are ended by killing it from a timer.

    Once a call was interrupted, or has raised ChildDied, the pipes may hold half an answer: kill it.
    """

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
        _widen(self._requests)
        _widen(self._answers)

    @property
    def alive(self) -> bool:
        """The process has not ended."""
        return self._process.poll() is None

    def wait_until_ready(self) -> Protection:
        """Wait until its libraries are imported; gives the limits that hold. Raises ChildDied."""
        if self._protection is None:
            with self._killed_after(START_S):
                self._protection = self._answer(Ready).protection
        return self._protection

    def read(self, file: Path | bytes, options: ReadOptions, shown_px: int | None = None) -> Reading:
        """Ask for the picture in a file; raises InputRefused or ChildDied."""
        with self._asked(ReadPicture(described(file), options, shown_px), file):
            picture = self._answer(Picture)
            radiograph = Radiograph(self._pixels(picture.rows, picture.columns, np.uint8), picture.source)
            return Reading(radiograph, picture.steps, self._shown(picture.for_viewer))

    def identify(self, file: Path | bytes) -> Identity:
        """Ask for patient and study of a DICOM file; raises InputRefused or ChildDied."""
        with self._asked(ReadIdentity(described(file)), file):
            return self._answer(Identified).identity

    def kill(self) -> None:
        """End it and forget it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):
                pipe.close()

    @contextlib.contextmanager
    def _asked(self, request: messages.Request, file: Path | bytes) -> Iterator[None]:
        """Send a request; the answer is read inside, before the deadline."""
        if isinstance(file, bytes):
            require_size(len(file))
        self.files += 1
        with self._killed_after(self._deadline_s) as late:
            try:
                self._requests.write(messages.packed(request))
                if isinstance(file, bytes):
                    self._requests.write(file)
                self._requests.flush()
                yield
            except (ChildDied, OSError):
                if late.is_set():
                    raise InputRefused("E-DCM-021", f"more than {self._deadline_s:g} s") from None
                raise ChildDied from None

    @contextlib.contextmanager
    def _killed_after(self, seconds: float) -> Iterator[threading.Event]:
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

    def _answer(self, wanted: type[Wanted]) -> Wanted:
        line = self._answers.readline(ANSWER_MAX_BYTES)
        if not line.endswith(b"\n"):
            raise ChildDied
        try:
            answer = messages.answers.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ChildDied from None
        if isinstance(answer, Refused) and answer.error_id in CATALOGUE:
            raise InputRefused(answer.error_id, answer.why).about(answer.source, answer.steps)
        if not isinstance(answer, wanted):
            raise ChildDied
        return answer

    def _shown(self, described: ForViewer | None) -> Shown | None:
        if described is None:
            return None
        return Shown(self._pixels(described.rows, described.columns, np.uint16), described.presentation)

    def _pixels(self, rows: int, columns: int, kind: type[Level]) -> NDArray[Level]:
        """Numbers as this computer has them, which are the child's."""
        if min(rows, columns) <= 0 or rows * columns > 2 * MAX_PX:
            raise ChildDied
        pixels = np.empty((rows, columns), kind)
        buffer = pixels.data.cast("B")
        while buffer:
            count = self._answers.readinto(buffer)  # type: ignore[attr-defined]
            if not count:
                raise ChildDied
            buffer = buffer[count:]
        return pixels


def _search_path() -> list[str]:
    """Where the parent finds its libraries; never the folder in which the user happens to be."""
    root = str(Path(__file__).resolve().parents[3])
    return [*(os.path.abspath(entry) for entry in sys.path if entry), root]  # noqa: PTH100 - zip files, too


def _widen(pipe: IO[bytes]) -> None:
    """A larger pipe on Linux: 20 MB in 20 wake-ups instead of 300."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
