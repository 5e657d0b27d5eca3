"""One model process as the host sees it: started, spoken to, and given up on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from xraygpt_edge.errors import ResourceExhausted
from xraygpt_edge.host.messages import Command, Event, Garbled, Load, packed, unpacked
from xraygpt_edge.sandbox import bound_command

COMMAND = bound_command("xraygpt_edge.host.child")
LAST_WORDS_S = 5.0
"""A process that has closed its pipe is about to end; longer is not waited for its exit code."""


class Died(Exception):
    """The process has ended, or answers no more."""


Hear = Callable[["ModelProcess", Event | Died], None]


class ModelProcess:
    """A child that answers tasks; its crash is our news and not our end. For one thread; any may `kill` it."""

    def __init__(self, load: Load, hear: Hear) -> None:
        """Start it. Raises ResourceExhausted when the system refuses.

        hear: called with each event, in a thread of its own; with Died as the last one.
        """
        try:
            self._child = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment(),
                start_new_session=True,  # Ctrl-C is for the program, which then ends its child
            )
        except OSError as error:
            raise ResourceExhausted("E-BAT-015", error.strerror or type(error).__name__) from error
        self._to_child, self._from_child = _pipes(self._child)
        self._listener = threading.Thread(target=self._listen, args=(hear,), daemon=True)
        self._listener.start()
        self.send(load)

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    def send(self, command: Command) -> None:
        """Hand a command over; what a dead process is sent is lost, and Died is heard."""
        with contextlib.suppress(OSError):
            self._to_child.write(packed(command))
            self._to_child.flush()

    def kill(self) -> None:
        """End it at once, from any thread; Died is heard."""
        self._child.kill()

    def close(self) -> None:
        """End it and forget it: nothing that counts is in it."""
        self.kill()
        self._child.wait()
        self._listener.join()
        for pipe in (self._to_child, self._from_child):
            with contextlib.suppress(OSError):  # what was buffered for a dead child is lost with it
                pipe.close()

    def _listen(self, hear: Hear) -> None:
        for line in self._from_child:
            try:
                event: Event = unpacked(line, Event)
            except Garbled:
                if line.endswith(b"\n"):
                    hear(self, Died("it said something that is no message"))
                    return
                break  # it died in the middle of a line
            hear(self, event)
        hear(self, Died(self._last_words()))

    def _last_words(self) -> str:
        try:
            code = self._child.wait(LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        return f"ended by signal {-code}" if code < 0 else f"exit code {code}"


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if child.stdin is None or child.stdout is None:
        raise ValueError("the process was started without pipes")
    return child.stdin, child.stdout


def environment() -> dict[str, str]:
    """That of a process of ours: ours, with this package on the path, however it was found."""
    package = str(Path(__file__).resolve().parent.parent.parent)
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([package, others] if others else [package])}
