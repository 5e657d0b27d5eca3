"""What a service manager is told, where there is one, by systemd's protocol: the node is up, and still is."""

from __future__ import annotations

import contextlib
import os
import socket

READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"


def tell(words: str) -> None:
    """One datagram to the socket that the service manager has named; nothing without one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(words.encode("ascii"), address.replace("@", "\0", 1) if address[0] == "@" else address)
