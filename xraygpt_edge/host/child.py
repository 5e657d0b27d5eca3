"""The model process of a batch: reads tasks, answers many at once, and may crash without harm.

One thread reads files ahead in the decode worker; this one encodes and decodes. It ends with its parent.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from queue import SimpleQueue
from typing import IO, Any

from xraygpt_edge.host.messages import packed

Message = dict[str, Any]


class Voice:
    """Messages to the batch, from any thread, one line at a time."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def say(self, message: Message) -> None:
        """Send a message; without anybody to hear it, the process has no more purpose."""
        try:
            with self._lock:
                self._pipe.write(packed(message))
                self._pipe.flush()
        except OSError:
            os._exit(0)


def main() -> None:
    """Serve one batch."""
    voice = Voice(own_stdout())
    lines: SimpleQueue[Message] = SimpleQueue()
    threading.Thread(target=listen, args=(sys.stdin.buffer, lines), daemon=True).start()
    serve(lines, voice)
    os._exit(0)  # a native thread may still be busy; nothing of it is worth waiting for


def own_stdout() -> IO[bytes]:
    """The pipe to the batch; what native code prints to standard output goes nowhere."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return pipe


def listen(pipe: IO[bytes], lines: SimpleQueue[Message]) -> None:
    """Queue what the batch says; end the process when it has gone, even in the middle of a native call."""
    for line in pipe:
        lines.put(json.loads(line))
    os._exit(0)


def serve(tasks: SimpleQueue[Message], voice: Voice) -> None:
    """Load the model and answer; an error that is not one radiograph's is told and ends the process."""
    from xraygpt_edge.errors import ResourceExhausted, XrayGPTError
    from xraygpt_edge.host.pipeline import Answering
    from xraygpt_edge.host.plan import Plan

    job = tasks.get()["job"]
    try:
        with Answering.load(Plan.of(job), voice.say) as answering:
            answering.answer_all(tasks)
    except MemoryError:
        voice.say(fatal(ResourceExhausted("E-RUN-015")))
    except XrayGPTError as error:
        voice.say(fatal(error))


def fatal(error: Any) -> Message:
    """What ends the whole batch."""
    return {"fatal": {"error_id": error.error_id, "why": error.why, "code": int(error.code)}}


if __name__ == "__main__":
    main()
