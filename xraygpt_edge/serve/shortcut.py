"""An entry in the applications menu, for people who use no terminal."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import platformdirs

from xraygpt_edge.errors import OutputError
from xraygpt_edge.files import replacing

TITLE = "Chest radiographs (xraygpt-edge)"
FILE = "xraygpt-edge"
TO_QUOTE = str.maketrans({each: f"\\{each}" for each in '"`$\\'})
"""What has a meaning between double quotes, by the Desktop Entry Specification."""
DESKTOP = """[Desktop Entry]
Type=Application
Name={title}
Comment=Ask questions about a chest radiograph, on this computer alone. Research software, not a medical device.
Exec={command}
Terminal=true
Categories=Science;MedicalSoftware;
"""
LINK = (
    "$link = (New-Object -ComObject WScript.Shell).CreateShortcut($env:ENTRY_FILE);"
    "$link.TargetPath = $env:ENTRY_PROGRAM; $link.Arguments = $env:ENTRY_ARGUMENTS; $link.Save()"
)
"""For PowerShell; what it is about comes as its environment, so that nothing needs quotes."""
LINK_S = 60


def write(arguments: list[str]) -> Path:
    """Write the entry that starts this program with these arguments; returns where. Raises OutputError."""
    words = [sys.executable, "-m", "xraygpt_edge", *arguments]
    try:
        if sys.platform == "win32":
            return _start_menu(words)
        if sys.platform == "darwin":
            return _written(Path.home() / "Applications" / f"{FILE}.command", f"#!/bin/sh\nexec {shlex.join(words)}\n")
        folder = platformdirs.user_data_path() / "applications"
        command = " ".join(map(desktop_word, words))
        return _written(folder / f"{FILE}.desktop", DESKTOP.format(title=TITLE, command=command))
    except (OSError, subprocess.SubprocessError) as error:
        raise OutputError("E-OUT-001", getattr(error, "strerror", None) or type(error).__name__) from None


def desktop_word(word: str) -> str:
    """A word of a command as it stands behind `Exec=`: quoted, `%` doubled, and every backslash written as two."""
    return f'"{word.translate(TO_QUOTE)}"'.replace("%", "%%").replace("\\", "\\\\")


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        stream.write(text.encode())
    path.chmod(0o700)
    return path


def _start_menu(words: list[str]) -> Path:
    programs = platformdirs.user_data_path(roaming=True) / "Microsoft" / "Windows" / "Start Menu" / "Programs"
    path = programs / f"{FILE}.lnk"
    facts = {"ENTRY_FILE": str(path), "ENTRY_PROGRAM": words[0], "ENTRY_ARGUMENTS": subprocess.list2cmdline(words[1:])}
    command = ("powershell", "-NoProfile", "-NonInteractive", "-Command", LINK)
    subprocess.run(command, env={**os.environ, **facts}, check=True, capture_output=True, timeout=LINK_S)
    return path
