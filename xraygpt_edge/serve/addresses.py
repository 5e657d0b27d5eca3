"""Where a server listens, and by which names browsers may address it."""

from __future__ import annotations

import re
from ipaddress import ip_address

from xraygpt_edge.errors import UsageError

HERE = "127.0.0.1"
LOOPBACK = (HERE, "::1", "localhost")
"""All mean the same: this computer alone."""
LOOPBACK_NAMES = (HERE, "localhost", "[::1]")
"""How a server that listens for its own computer may be addressed."""
DEFAULT_PORTS = {"http": 80, "https": 443}
"""Which browsers leave out."""
NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def address(given: str) -> str:
    """What --host names, `127.0.0.1` for this computer alone. Raises UsageError."""
    bare = given[1:-1] if given.startswith("[") and given.endswith("]") else given
    if bare.lower() in LOOPBACK:
        return HERE
    try:
        return str(ip_address(bare))
    except ValueError:
        raise UsageError("E-USE-001", "--host takes an address of this computer, as 192.0.2.7") from None


def name(given: str) -> str:
    """What --name names, as it stands in a Host header. Raises UsageError."""
    bare, lower = given.strip("[]"), given.lower()
    try:
        return _authority(str(ip_address(bare)))
    except ValueError:
        if NAME.fullmatch(lower):
            return lower
    raise UsageError("E-USE-001", "--name takes a name or an address, without a port") from None


def names(listening: str, further: tuple[str, ...]) -> tuple[str, ...]:
    """All names of a server, that for links first. Raises UsageError where nobody else could address it."""
    if listening == HERE:
        return (*LOOPBACK_NAMES, *further)
    everywhere = ip_address(listening).is_unspecified
    if everywhere and not further:
        raise UsageError("E-USE-001", f"--host {listening} needs --name: how browsers address this computer")
    return (*further, *(() if everywhere else (_authority(listening),)), *LOOPBACK_NAMES)


def origin(scheme: str, host: str, port: int) -> str:
    """As browsers write it."""
    return f"{scheme}://{host}" if DEFAULT_PORTS[scheme] == port else f"{scheme}://{host}:{port}"


def _authority(text: str) -> str:
    """An address as it stands in a Host header."""
    return f"[{text}]" if ":" in text else text
