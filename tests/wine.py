"""A Windows of its own for a test, by Wine, and small programs for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export import llama_portable

WINE = shutil.which("wine") or "wine"

needs_wine = pytest.mark.skipif(shutil.which("wine") is None, reason="Wine is not installed (Debian: wine, wine64)")


def windows_path(path: Path) -> str:
    """What a program of Windows calls a file."""
    return f"Z:{str(path).replace('/', chr(92))}"


@contextmanager
def windows(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a Windows whose drive C is made in a folder."""
    own = {"WINEPREFIX": str(folder / "c"), "WINEDEBUG": "-all", "DISPLAY": ""}
    environment = {**os.environ, **own}
    subprocess.run([WINE, "wineboot", "-i"], env=environment, capture_output=True, check=True)
    yield environment
    subprocess.run(["wineserver", "-k"], env=environment, check=False)


def compiled(source: Path, folder: Path, *options: str) -> Path:
    """A program for Windows, made in a folder by the compiler that makes llama.cpp for it."""
    zig = llama_portable.compiler(folder, folder / "log") / "zig"
    program = folder / f"{source.stem}.exe"
    target = llama_portable.SYSTEMS["windows"].target
    subprocess.run([zig, "cc", "-O2", "-target", target, "-o", program, source, *options], check=True)
    return program
