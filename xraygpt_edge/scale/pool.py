"""A pool of machines as a batch sees it: films in, records out; the batch alone writes records.

    batch ── Task ──▶ Pool ══ Start, Task ═════════════▶ ray_pool ──▶ ray_worker, one or more a machine
      ▲                │                                    │
      └──── Record ────┘ ◀═ Ready, Record, Lost, Fatal ═════┘

Ray lives in a process of its own: when its cluster's head is gone it ends that process, without an exception.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import IO, Self

from xraygpt_edge.errors import ResourceExhausted, RuntimeMissing, WorkerCrashed
from xraygpt_edge.host import Fatal, Load, Ready, Record, StageTimes, Task
from xraygpt_edge.host.messages import Garbled, packed, unpacked
from xraygpt_edge.scale import guard
from xraygpt_edge.scale.messages import Lost, Start, Wish
from xraygpt_edge.version import __version__

COMMAND = (sys.executable, "-m", "xraygpt_edge.scale.ray_pool")
GRACE_S = 10.0
"""For the process to end the cluster that it has started; after an error or a signal it gets none."""
POLL_S = 0.2

Said = Ready | Record | Lost | Fatal


class Pool:
    """Stands in for a model host where a batch runs on many machines; a context manager, for one thread."""

    def __init__(self, load: Load, wish: Wish, manifest_sha256: str) -> None:
        """Nothing is started yet.

        Raises RuntimeMissing without Ray, NotOffline for a cluster beyond this computer that needs no token.
        """
        if find_spec("ray") is None:
            raise RuntimeMissing("E-SCA-014")
        if wish.address is not None:
            guard.require_token(os.environ, guard.host_of(wish.address))
        self.ready: Ready | None = None
        """Slots: films that the pool has room for; threads: workers."""
        self.times = StageTimes()
        """Nothing: every machine has its own."""
        self.restarts = 0
        """How many workers have died."""
        self._wish, self._load, self._manifest_sha256 = wish, load, manifest_sha256
        self._told: SimpleQueue[Said | None] = SimpleQueue()

    def __enter__(self) -> Self:
        self._temp = _private_folder()
        self._child = _started(guard.environment(os.environ, self._wish.address, secrets.token_hex(32)))
        heard = (_pipe(self._child.stdout), self._told.put)
        self._listener = threading.Thread(target=_listen, args=heard, daemon=True)
        self._listener.start()
        self._send(packed(Start(self._wish, self._load, self._manifest_sha256, __version__, self._temp)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            _pipe(self._child.stdin).close()
        if error is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(GRACE_S)
        end_group(self._child.pid)
        self._child.kill()
        self._child.wait()
        self._listener.join(GRACE_S)
        _pipe(self._child.stdout).close()
        shutil.rmtree(self._temp, ignore_errors=True)

    def answer_all(self, tasks: Iterable[Task]) -> Iterator[Record]:
        """Each film's records, as they come; films are taken only as fast as they are answered.

        Raises what has ended the pool; WorkerCrashed where its process ended without a word.
        """
        coming, open_questions = iter(tasks), dict[int, int]()
        while True:
            room = (self.ready.slots if self.ready else 1) - len(open_questions)
            for task in islice(coming, max(0, room)):
                open_questions[task.number] = len(task.questions)
                self._send(packed(task))
            if not open_questions:
                return
            record = self._next_record()
            if record is not None:
                open_questions[record.task] -= 1
                if not open_questions[record.task]:
                    del open_questions[record.task]
                yield record

    def _next_record(self) -> Record | None:
        """The next record, or None where something else was said."""
        match said := self._heard():
            case Record():
                return said
            case Ready():
                self.ready = said
            case Lost():
                self.restarts += 1
            case Fatal():
                raise said.error
            case None:
                raise WorkerCrashed("E-SCA-019", f"exit code {self._child.wait()}")
        return None

    def _heard(self) -> Said | None:
        """What the process says; None at its end. In short pieces: Windows does not interrupt a waiting queue."""
        while True:
            try:
                return self._told.get(timeout=POLL_S)
            except Empty:
                continue

    def _send(self, line: bytes) -> None:
        """What a dead process is sent is lost, and its end is heard."""
        with contextlib.suppress(OSError):
            pipe = _pipe(self._child.stdin)
            pipe.write(line)
            pipe.flush()


def end_group(leader: int) -> None:
    """End what Ray has started here: two of its helpers outlive everything else."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def _private_folder() -> str:
    """0700, and of a short path: Ray puts sockets into it, whose names have 107 bytes at most."""
    short = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108 - mkdtemp makes a new one
    return tempfile.mkdtemp(prefix="xraygpt-", dir=short)


def _started(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the program, which then ends its child
        )
    except OSError as error:
        raise ResourceExhausted("E-BAT-015", error.strerror or type(error).__name__) from error


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise ValueError("the process was started without pipes")
    return pipe


def _listen(pipe: IO[bytes], tell: Callable[[Said | None], None]) -> None:
    for line in pipe:
        try:
            tell(unpacked(line, Said))
        except Garbled:
            break
    tell(None)
