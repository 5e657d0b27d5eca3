"""What runs in the model process: load, then answer tasks until the host is gone; it may crash without harm.

One thread listens, one reads files ahead in the isolated reader; the main one encodes and decodes.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import IO

from xraygpt_edge.errors import ResourceExhausted, XrayGPTError
from xraygpt_edge.host.messages import Command, Event, Fatal, Load, packed, unpacked
from xraygpt_edge.host.pipeline import Inbox, Pipeline


class Speaker:
    """Events to the host, one line at a time; safe to share."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def say(self, event: Event) -> None:
        """Send an event; without anybody to hear it, the process has no more purpose."""
        try:
            with self._lock:
                self._pipe.write(packed(event))
                self._pipe.flush()
        except OSError:
            os._exit(0)


def main() -> None:
    """Serve one host."""
    speaker = Speaker(own_stdout())
    first = sys.stdin.buffer.readline()
    if first:
        serve(unpacked(first, Load), speaker.say)
    os._exit(0)  # a native thread may still be busy; nothing of it is worth waiting for


def own_stdout() -> IO[bytes]:
    """The pipe to the host; what native code prints to standard output goes nowhere."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return pipe


def serve(load: Load, say: Callable[[Event], None]) -> None:
    """Load the model and answer; an error that is not one task's is told and ends the process."""
    inbox: Inbox = SimpleQueue()
    threading.Thread(target=listen, args=(sys.stdin.buffer, inbox.put), daemon=True).start()
    try:
        with Pipeline.load(load, say) as pipeline:
            pipeline.run(inbox)
    except MemoryError:
        say(Fatal.of(ResourceExhausted("E-RUN-015")))
    except XrayGPTError as error:
        say(Fatal.of(error))


def listen(pipe: IO[bytes], take: Callable[[Command], None]) -> None:
    """Pass on what the host says; end the process when it has gone, even in the middle of a native call."""
    try:
        for line in pipe:
            take(unpacked(line, Command))
    finally:  # also when the host died in the middle of a line
        os._exit(0)


if __name__ == "__main__":
    main()
