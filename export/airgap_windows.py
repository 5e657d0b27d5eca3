"""What a kit for Windows has of its own, made on any system: a Python, Microsoft's run-time, other installers.

Python for Windows is not ours to ship: the maker fetches Python's own embeddable package, and names it.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from export.airgap_wheels import Target
from export.errors import ExportRefused

WANTED = "Python's embeddable package for 64-bit Windows (python-3.12.N-embed-amd64.zip, from Python's own pages)"
SCRIPTS = ("install.cmd", "install.py", "undo.cmd", "uninstall.cmd", "verify.py")
TAG = "win_amd64"
MARKERS = {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"}
RUNTIME = "msvc-runtime"
"""MSVCP140.dll, which pip lays beside python.exe: ONNX Runtime and a decoder ask for it, and CPython brings none."""
FOLDER = "python"
AMD64 = 0x8664
"""The machine in the head of a program, by Microsoft's PE format."""


def target(package: Path) -> Target:
    """The Python that an embeddable package is. Raises ExportRefused for any other file."""
    try:
        with ZipFile(package) as archive:
            series = [found[1] for name in archive.namelist() if (found := re.fullmatch(r"python3(\d+)\._pth", name))]
            machine = _machine(archive.read("python.exe"))
    except (OSError, BadZipFile, KeyError, struct.error) as error:
        raise ExportRefused(f"{package} is not what a kit for Windows takes along. Fetch {WANTED}.") from error
    if len(series) != 1 or machine != AMD64:
        raise ExportRefused(f"{package} is no Python for 64-bit Windows. Fetch {WANTED}.")
    return Target(f"3.{series[0]}", (TAG,), MARKERS, (RUNTIME,))


def _machine(program: bytes) -> int:
    """For which processor a program is."""
    (head,) = struct.unpack_from("<I", program, 0x3C)
    signature, machine = struct.unpack_from("<4sH", program, head)
    return int(machine) if signature == b"PE\0\0" else 0


def unpack(package: Path, kit: Path) -> None:
    """Put the Python into a kit, so that the installer can run before anything is installed."""
    with ZipFile(package) as archive:
        archive.extractall(kit / FOLDER)
