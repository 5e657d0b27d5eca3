"""Commands in a process of their own, under an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

THEN = "--then--"
ONE_AFTER_ANOTHER = f"""
import sys
from xraygpt_edge.cli import app
app.prepare(())
words = sys.argv[1:]
while words:
    end = words.index({THEN!r})
    code = app.run(words[:end])
    if code:
        print("ended with", code, words[:end], file=sys.stderr)
        sys.exit(code)
    words = words[end + 1 :]
"""


def in_one_process(
    environment: Mapping[str, str], *commands: Sequence[str | Path]
) -> subprocess.CompletedProcess[bytes]:
    """Run commands one after another until one fails: starting Python for each would take most of the time."""
    words = [word for command in commands for word in (*command, THEN)]
    given = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    return subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER, *words],
        capture_output=True,
        timeout=120,
        env={**given, **environment},
    )
