"""The process that runs the model, seen from the batch: started, spoken to, and given up on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from xraygpt_edge.batch.job import Job, Running
from xraygpt_edge.errors import ResourceExhausted
from xraygpt_edge.host.messages import packed

COMMAND = (sys.executable, "-m", "xraygpt_edge.host.child")
SILENCE_MAX_S = 900.0
"""A process that says nothing for so long is dead: one prompt of a 7B model takes a slow computer a minute."""
POLL_S = 0.2
"""Windows does not interrupt a waiting queue; so wait in short pieces."""


class Died(Exception):
    """The process has ended, or answers no more."""


class ModelProcess:
    """A child that answers tasks; its crash is our news and not our end."""

    def __init__(self, job: Job, running: Running, requests: int) -> None:
        """Start it; requests: most answers that can be wanted. Raises ResourceExhausted when the system refuses."""
        try:
            self._child = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the batch, which then ends its child
            )
        except OSError as error:
            raise ResourceExhausted("E-BAT-015", error.strerror or type(error).__name__) from error
        self._to_child, self._from_child = _pipes(self._child)
        self._messages: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._listener = threading.Thread(target=_listen, args=(self._from_child, self._messages), daemon=True)
        self._listener.start()
        self.send(_job_message(job, running, requests))

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    def send(self, message: dict[str, Any]) -> None:
        """Hand a message over; what a dead process is sent is lost, and `receive` says so."""
        try:
            self._to_child.write(packed(message))
            self._to_child.flush()
        except OSError:
            return

    def receive(self) -> dict[str, Any]:
        """Wait for the next message; raises Died."""
        waited_s = 0.0
        while waited_s < SILENCE_MAX_S:
            try:
                message = self._messages.get(timeout=POLL_S)
            except Empty:
                waited_s += POLL_S
                continue
            if message is None:
                raise Died(self._last_words())
            return message
        raise Died(f"it was silent for {SILENCE_MAX_S:g} s")

    def close(self) -> None:
        """End it at once: everything that counts is on disk already."""
        self._child.kill()
        self._child.wait()
        self._listener.join()
        for pipe in (self._to_child, self._from_child):
            try:
                pipe.close()
            except OSError:
                continue  # what was buffered for a dead child is lost with it

    def _last_words(self) -> str:
        code = self._child.wait()
        return f"ended by signal {-code}" if code < 0 else f"exit code {code}"


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if child.stdin is None or child.stdout is None:
        raise ValueError("the process was started without pipes")
    return child.stdin, child.stdout


def _listen(pipe: IO[bytes], messages: SimpleQueue[dict[str, Any] | None]) -> None:
    for line in pipe:
        try:
            messages.put(json.loads(line))
        except ValueError:  # the process died in the middle of a line
            break
    messages.put(None)


def _environment() -> dict[str, str]:
    """Ours, with this package on the path, however it was found."""
    package = str(Path(__file__).resolve().parent.parent.parent)
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([package, others] if others else [package])}


def _job_message(job: Job, running: Running, requests: int) -> dict[str, Any]:
    return {
        "job": {
            "folder": str(job.folder.absolute()),
            "bundle": str(job.bundle.absolute()),
            "questions": job.questions,
            "settings": asdict(job.settings),
            "running": asdict(running),
            "requests": requests,
        }
    }
