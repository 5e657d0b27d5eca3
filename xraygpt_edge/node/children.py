"""Processes of the node that may die: started again after a pause that grows, ended in an orderly way."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import IO

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.errors import ResourceExhausted, WorkerCrashed, XrayGPTError
from xraygpt_edge.host.process import environment
from xraygpt_edge.node.lifeline import READY
from xraygpt_edge.node.settings import Settings, packed
from xraygpt_edge.sandbox import bound_command

PAUSE_MAX_S = 60.0
STEADY_S = 60.0
"""A process that has lived so long was well; its next death is the first one again."""


class Child:
    """One process: settings in by its standard input, `ready` or an error out; the end of its input ends it."""

    def __init__(self, module: str, settings: Settings) -> None:
        """Nothing is started yet. module: name below `xraygpt_edge.node`."""
        self._module, self._settings = module, settings
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths, self._due_s, self._began_s = 0, 0.0, 0.0

    @property
    def pid(self) -> int | None:
        """Of the process, while it lives."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start it and wait until it is ready; raises what it says, or WorkerCrashed."""
        try:
            self._process = subprocess.Popen(
                bound_command(f"xraygpt_edge.node.{self._module}"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a library could write a patient's name there
                env=environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise ResourceExhausted("E-BAT-015", error.strerror or type(error).__name__) from error
        to_child, from_child = self._pipes()
        with contextlib.suppress(OSError):  # it is dead already, which its silence says
            to_child.write(packed(self._settings))
            to_child.flush()
        said = from_child.readline().decode("ascii", "replace").strip()
        if said != READY:
            self.end(0.0)
            raise _error(self._module, said)
        self._began_s = time.monotonic()

    def tend(self) -> None:
        """Start it again when it has died and its pause is over."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is None:
            return
        if self._process is not None:
            self._deaths = 1 if now - self._began_s > STEADY_S else self._deaths + 1
            self._due_s = now + min(PAUSE_MAX_S, 2.0 ** (self._deaths - 1))
            self.end(0.0)
        if now >= self._due_s:
            try:
                self.start()
            except XrayGPTError:
                self._deaths += 1
                self._due_s = time.monotonic() + min(PAUSE_MAX_S, 2.0**self._deaths)

    def ask_to_end(self) -> None:
        """Say that it should end; it finishes what it does."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def end(self, patience_s: float) -> None:
        """End it: asked first, then killed."""
        if self._process is None:
            return
        self.ask_to_end()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the process was started without pipes")
        return self._process.stdin, self._process.stdout


def _error(module: str, said: str) -> XrayGPTError:
    """What a process has said instead of being ready."""
    error_id, _, why = said.partition(" ")
    entry = CATALOGUE.get(error_id)
    kinds = {int(kind.code): kind for kind in XrayGPTError.__subclasses__()}
    return kinds[entry.code](error_id, why) if entry else WorkerCrashed("E-NOD-015", module)
