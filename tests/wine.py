"""A Windows of its own for a test, by Wine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WINE = shutil.which("wine") or "wine"

needs_wine = pytest.mark.skipif(shutil.which("wine") is None, reason="Wine is not installed (Debian: wine64)")


def windows_path(path: Path) -> str:
    """What a program of Windows calls a file."""
    return f"Z:{str(path).replace('/', chr(92))}"


@contextmanager
def windows(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a Windows whose drive C is made in a folder, and whose tools are those in its `tools`."""
    (folder / "tools").mkdir()
    own = {
        "WINEPREFIX": str(folder / "c"),
        "WINEDEBUG": "-all",
        "DISPLAY": "",
        "WINEPATH": windows_path(folder / "tools"),
    }
    environment = {**os.environ, **own}
    subprocess.run([WINE, "wineboot", "-i"], env=environment, capture_output=True, check=True)
    yield environment
    subprocess.run(["wineserver", "-k"], env=environment, check=False)
