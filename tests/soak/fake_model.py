"""A model process without a model: what it says about a file depends on the file's bytes alone.

Bytes that begin with BAD are refused, with SR are no image, with CRASH kill the process each time,
with ONCE the first time, with HANG stop it. Files are answered in threes, the last one first.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from xraygpt_edge.records import Answer, BundleFacts, EngineFacts, Failure, Source, Timing

BUNDLE = BundleFacts("fake", "0" * 64, "medclip", "int8", "Q8_0", demo=True)
ENGINE = EngineFacts(
    "0",
    "cpu",
    (),
    1,
    "auto",
    512,
    0,
    0.0,
    0.9,
    300,
    "demo",
    draft=False,
    libraries={},
    cpu=os.environ.get("FAKE_CPU", ""),
)
PARALLEL = 3
DELAY_S = float(os.environ.get("FAKE_DELAY_S", "0"))


def say(message: dict[str, Any]) -> None:
    """The words on the pipe are written out here once more, so that a change of them is noticed."""
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def result(data: bytes, question: str) -> Answer | Failure:
    """An answer or a failure, whole like the real ones."""
    digest = sha256(data).hexdigest()
    if data.startswith(b"BAD"):
        return Failure("E-IMG-002", f"about {digest[:12]}", 4)
    if data.startswith(b"SR"):
        return Failure("E-DCM-002", f"about {digest[:12]}", 4)
    text = f"About {digest[:12]}: {question}"
    return Answer(text, question, "stop", (1,), Source(digest, "png"), BUNDLE, ENGINE, Timing())


def misbehave(path: Path, data: bytes) -> None:
    once = path.with_name(f".{path.name}.tried")
    if data.startswith(b"ONCE") and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"CRASH"):
        os.abort()
    if data.startswith(b"HANG"):
        time.sleep(1000)


def listen(lines: SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        lines.put(json.loads(line))
    os._exit(0)


def some(lines: SimpleQueue[dict[str, Any]]) -> list[dict[str, Any]]:
    """At least one task, at most three."""
    tasks = [lines.get()]
    while len(tasks) < PARALLEL:
        try:
            tasks.append(lines.get(timeout=0.002))
        except Empty:
            break
    return tasks


def main() -> None:
    lines: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=listen, args=(lines,), daemon=True).start()
    assert lines.get()["type"] == "load"
    say({"type": "ready", "slots": PARALLEL})
    while True:
        tasks = some(lines)
        for task in tasks:
            say({"type": "started", "task": task["number"]})
        for task in reversed(tasks):
            path = Path(task["path"])
            data = path.read_bytes()
            misbehave(path, data)
            for question in task["questions"]:
                time.sleep(DELAY_S)
                found = result(data, question)
                kind = "answer" if isinstance(found, Answer) else "failure"
                say({"type": "record", "task": task["number"], "question": question, kind: asdict(found)})


if __name__ == "__main__":
    main()
