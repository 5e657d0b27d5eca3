"""Calls into native code that Ctrl-C and a deadline can interrupt.

Python hears a signal only between its own instructions, so a prompt that takes llama.cpp
four seconds would hold Ctrl-C for four seconds. Native calls therefore run on a thread
of their own, and the caller's thread waits in a way that can be interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from xraygpt_edge.errors import OutOfTime

Result = TypeVar("Result")

POLL_S = 0.2
"""Windows does not interrupt a waiting lock; so wait in short pieces."""


class Deadline:
    """A moment on the monotonic clock, or never."""

    def __init__(self, timeout_s: float | None = None) -> None:
        self._at = None if timeout_s is None else time.monotonic() + timeout_s
        self._timeout_s = timeout_s

    def remaining_s(self) -> float:
        """Seconds left; infinite without a deadline, never below zero."""
        return float("inf") if self._at is None else max(0.0, self._at - time.monotonic())

    def check(self) -> None:
        """Raise OutOfTime when the moment has passed."""
        if self.remaining_s() == 0.0:
            raise OutOfTime("E-RUN-017", "" if self._timeout_s is None else f"--timeout was {self._timeout_s:g} s")

    def expire(self) -> None:
        """Let the moment be now: nobody waits any longer for what is done until then."""
        self._at = time.monotonic()


class Stopwatch:
    """Seconds between stages, on the monotonic clock; used by one thread."""

    def __init__(self) -> None:
        self._lap_s = time.monotonic()

    def lap_s(self) -> float:
        """Return the seconds since the last lap, or since the start."""
        previous, self._lap_s = self._lap_s, time.monotonic()
        return self._lap_s - previous


class NativeThread:
    """One thread for the calls into one native library."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def start(self, function: Callable[[], Result]) -> Future[Result]:
        """Begin a call and return at once."""
        return self._executor.submit(function)

    def call(
        self,
        function: Callable[[], Result],
        deadline: Deadline | None = None,
        cancel: Callable[[], None] | None = None,
    ) -> Result:
        """Run function and return its result.

        cancel: asks the native code to end early; without it, an interrupted call ends by itself later.
        Raises OutOfTime when the deadline passes first.
        """
        return wait(self.start(function), deadline, cancel)

    def close(self) -> None:
        """Accept no further calls; those that wait are still made, so nobody waits for ever."""
        self._executor.shutdown(wait=False)


def wait(
    future: Future[Result],
    deadline: Deadline | None = None,
    cancel: Callable[[], None] | None = None,
) -> Result:
    """The future's result; on an interrupt or a passed deadline, cancel and raise."""
    deadline = deadline or Deadline()
    try:
        while True:
            try:
                return future.result(timeout=min(POLL_S, deadline.remaining_s()))
            except FutureTimeout:
                if future.done():  # the call itself raised a TimeoutError
                    raise
                deadline.check()
    except BaseException:
        if cancel is not None and not future.done():
            cancel()
            future.exception()  # the library is usable again only when the call has ended
        raise
