"""What `status` must know of the settings, kept beside the queue: a folder is all that it is given."""

from __future__ import annotations

from pathlib import Path

import msgspec

from xraygpt_edge.ledger import write_whole
from xraygpt_edge.node.settings import Settings

FACTS = "settings.json"


class Facts(msgspec.Struct, frozen=True):
    """Limits and certificates of the node that works here, or worked here last."""

    alarm_s: float = 1800.0
    reserve_bytes: int = 5 * 10**9
    certificates: dict[str, float] = {}
    """File name → when it ends, POSIX time."""


def write(root: Path, settings: Settings, certificates: dict[str, float]) -> None:
    """Keep them; raises OutputError."""
    write_whole(root / FACTS, msgspec.json.encode(Facts(settings.alarm_s, settings.reserve_bytes, certificates)))


def read(root: Path) -> Facts:
    """Those that were kept; the defaults where nothing was, or nothing whole."""
    try:
        return msgspec.json.decode((root / FACTS).read_bytes(), type=Facts)
    except (OSError, msgspec.MsgspecError):
        return Facts()
