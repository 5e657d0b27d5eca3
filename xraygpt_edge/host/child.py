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
from xraygpt_edge.host.messages import Command, Event, Fatal, Load, unpacked
from xraygpt_edge.host.pipeline import Inbox, Pipeline
from xraygpt_edge.host.speaker import Speaker, own_stdout


def main() -> None:
    """Serve one host."""
    speaker = Speaker(own_stdout())
    first = sys.stdin.buffer.readline()
    if first:
        serve(unpacked(first, Load), speaker.say)
    os._exit(0)  # a native thread may still be busy; nothing of it is worth waiting for


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
