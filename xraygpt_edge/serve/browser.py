"""Opens the page in the user's browser, by a process that was started while there was a network to be in."""

from __future__ import annotations

import contextlib
import subprocess
import sys

OPENER = "import sys, webbrowser; link = sys.stdin.readline().strip(); link and webbrowser.open(link)"


class Browser:
    """A helper process that waits for one link; it ends with the link, or with this process."""

    def __init__(self) -> None:
        """Start it: before the network is left, for a browser that it starts shares its network."""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", OPENER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is for the server
        )

    def open(self, link: str) -> None:
        """Show a page; without a browser nothing happens, and the person has the printed link."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(f"{link}\n".encode())
                self._process.stdin.close()
