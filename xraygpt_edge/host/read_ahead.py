"""Files are read in the isolated reader while others are answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Semaphore, Thread

from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.host.messages import Task
from xraygpt_edge.imaging.images import Radiograph

READ_AHEAD = 3
"""Radiographs in memory beyond the one in work, the one being read included; each may be 20 MB."""


@dataclass(frozen=True, slots=True)
class Read:
    """A task whose file was read, or refused."""

    task: Task
    found: Radiograph | XrayGPTError
    read_s: float


class ReadAhead:
    """One thread that reads; who takes a Read over calls `release`, so that the next file may come."""

    def __init__(
        self,
        read: Callable[[Task], Radiograph],
        begin: Callable[[Task], bool],
        deliver: Callable[[Read], None],
    ) -> None:
        """begin: says whether a task is still wanted, just before it is read. Both it and deliver are called there."""
        self._read, self._begin, self._deliver = read, begin, deliver
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._room = Semaphore(READ_AHEAD)
        Thread(target=self._run, name="read-ahead", daemon=True).start()

    def submit(self, task: Task) -> None:
        """Have a file read, after those before it."""
        self._tasks.put(task)

    def release(self) -> None:
        """A radiograph has left the queue of those that were read."""
        self._room.release()

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            self._room.acquire()
            if not self._begin(task):
                self._room.release()
                continue
            began_s = time.monotonic()
            found = self._found(task)
            read_s = task.view.read_s if task.view else time.monotonic() - began_s
            self._deliver(Read(task, found, read_s))

    def _found(self, task: Task) -> Radiograph | XrayGPTError:
        try:
            return self._read(task)
        except XrayGPTError as error:
            return error
        except Exception as error:  # noqa: BLE001 - our bug in one file is one failed record
            return XrayGPTError("E-BUG-001", type(error).__name__)
