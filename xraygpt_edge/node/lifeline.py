"""A child's side of its pipe to the node: settings come in, one line goes out, and the end of the input is the end."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import NoReturn

from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.node.settings import Settings, unpacked

READY = "ready"


def settings_of_node() -> Settings:
    """What the node says first. From here on Ctrl-C is the node's: it ends its children itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return unpacked(sys.stdin.buffer.readline())


def say_ready() -> None:
    """Tell the node that this process does its work."""
    _say(READY)


def give_up(error: XrayGPTError) -> NoReturn:
    """Tell the node why this process cannot."""
    _say(f"{error.error_id} {error.why}")
    os._exit(int(error.code))


def told_to_end() -> threading.Event:
    """Set when the node says that the end has come, or has died."""
    told = threading.Event()
    threading.Thread(target=_wait, args=(told,), daemon=True).start()
    return told


def _wait(told: threading.Event) -> None:
    sys.stdin.buffer.read()
    told.set()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
