"""What a child process says to the one that has started it, over what was its standard output."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import IO

import msgspec

from xraygpt_edge.host.messages import packed


class Speaker:
    """Events to the host, one line at a time; safe to share."""

    def __init__(self, pipe: IO[bytes], leave: Callable[[], None] = lambda: os._exit(0)) -> None:
        """leave: what to do when nobody hears any more."""
        self._pipe, self._leave, self._lock = pipe, leave, threading.Lock()

    def say(self, event: msgspec.Struct) -> None:
        """Send an event; without anybody to hear it, the process has no more purpose."""
        try:
            with self._lock:
                self._pipe.write(packed(event))
                self._pipe.flush()
        except OSError:
            self._leave()


def own_stdout() -> IO[bytes]:
    """The pipe to the host; what native code prints to standard output goes nowhere."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return pipe


def own_stderr() -> IO[str]:
    """Standard error for our own words, line by line; what native code prints there goes nowhere."""
    ours = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return ours
