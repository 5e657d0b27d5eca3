"""A function in a process of its own: memory and threads of one side never meet those of another."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}


class SideFailed(Exception):
    """A side could not be measured; the message has the end of what it said."""


def environment() -> dict[str, str]:
    """Of every side, ours and the peers'."""
    return {**os.environ, **OFFLINE}


def run(command: list[str], accepted: tuple[int, ...] = (0,), packages: Path | None = None) -> str:
    """Standard output of a command; raises SideFailed for another exit code.

    packages: a folder whose Python packages are taken before those that are installed.
    """
    ours = {**environment(), "PYTHONPATH": str(packages)} if packages else environment()
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace", env=ours, cwd=ROOT)
    if done.returncode not in accepted:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise SideFailed(f"{Path(command[0]).name} ended with {done.returncode}:\n{said}")
    return done.stdout


def call(function: str, packages: Path | None = None, /, **arguments: Any) -> Any:
    """What `module.function(**arguments)` returns, computed in a new process; both sides must fit JSON.

    packages: as in `run`.
    """
    command = [sys.executable, "-m", "benchmarks.child", function, json.dumps(arguments)]
    return json.loads(run(command, packages=packages).splitlines()[-1])  # libraries may have printed before


def main(function: str, arguments: str) -> None:
    """The child's half."""
    module, name = function.rsplit(".", 1)
    result = getattr(importlib.import_module(f"benchmarks.{module}"), name)(**json.loads(arguments))
    print("\n" + json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
