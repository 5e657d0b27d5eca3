"""Steps of a build that takes minutes: their words go to a log, and the person who waits hears that they go on.

Only the standard library, since it runs before anything is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

PROGRESS_EVERY_S = 60
"""A build says that it is still alive this often."""
LINES_SHOWN = 20
"""Of the log, when a step fails."""


class SetupError(Exception):
    """Set-up cannot go on; the message is one line and says what to do."""


def say(words: str) -> None:
    """Tell the person who waits; standard output is kept for the path."""
    print(words, file=sys.stderr, flush=True)


def run_step(command: list[str], log: Path, failure: str, environment: Mapping[str, str] | None = None) -> None:
    """Run one command with its words at the end of the log.

    failure: what a failed command means, as a sentence without its full stop. environment: variables that are added.
    Raises SetupError, after the last lines of the log were shown.
    """
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, stdout=out, stderr=subprocess.STDOUT
        )
        status = _wait_for(process)
    if status:
        say("\n".join(log.read_text("utf-8", "replace").splitlines()[-LINES_SHOWN:]))
        raise SetupError(f"{failure}. The lines above end the log {log}.")


def _wait_for(process: subprocess.Popen[bytes]) -> int:
    """The exit status, with a word to the user every minute."""
    start_s = time.monotonic()
    while True:
        try:
            return process.wait(PROGRESS_EVERY_S)
        except subprocess.TimeoutExpired:
            say(f"  still building ({(time.monotonic() - start_s) / 60:.0f} min)")
