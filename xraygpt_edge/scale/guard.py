"""Who may reach a cluster of Ray, and what it may say: checked before anything is sent to it.

Whoever reaches Ray's ports runs code as the user who started it, so a cluster must demand a token; only one that
listens on the loopback address alone may do without.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address

from xraygpt_edge.errors import NotOffline

BY_TOKEN = "token"  # noqa: S105 - the name of a way, and no password
NOWHERE = "http://127.0.0.1:9"
"""Where nobody listens."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # on by default; read when Ray is imported
    # Where `ray start` has begun a cluster, Ray tells its makers even that it is off.
    "RAY_USAGE_STATS_REPORT_URL": NOWHERE,
}
PROXIES = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "no_proxy": "127.0.0.1,localhost"}
"""Off or not, Ray looks for the cloud that it may be in: at a link-local address, and by a name that is looked up."""
SETTINGS = {
    **QUIET,
    **PROXIES,
    # Not only on those two systems: a cluster that we start listens on 127.0.0.1, and Ray asks nobody for an address.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


def is_loopback(host: str) -> bool:
    """Whether a host is this computer and nobody else; a name could be anybody, and looking it up would tell of us."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_token(environment: Mapping[str, str], host: str) -> None:
    """Raise NotOffline (exit code 20) for a cluster beyond this computer that is to be used without a token."""
    if not is_loopback(host) and environment.get("RAY_AUTH_MODE") != BY_TOKEN:
        raise NotOffline("E-SCA-020", "RAY_AUTH_MODE is not token")


def facts() -> dict[str, str]:
    """What holds in this process, and in the machine's part of Ray that has started it."""
    return {name: os.environ.get(name, "") for name in ("RAY_AUTH_MODE", *QUIET)}


def require_guarded(found: Mapping[str, str], host: str) -> None:
    """Raise NotOffline for what a machine of the cluster says about itself; host: its address."""
    if not is_loopback(host) and found.get("RAY_AUTH_MODE") != BY_TOKEN:
        raise NotOffline("E-SCA-020", "a machine was started without RAY_AUTH_MODE=token")
    for name, wanted in QUIET.items():
        if found.get(name) != wanted:
            raise NotOffline("E-SCA-021", f"a machine was started without {name}={wanted}")


def environment(ours: Mapping[str, str], address: str | None, token: str) -> dict[str, str]:
    """For the process that speaks to Ray; a cluster that it starts by itself takes a token of one run."""
    own = {"RAY_AUTH_MODE": BY_TOKEN, "RAY_AUTH_TOKEN": token} if address is None else {}
    local = address is None or is_loopback(host_of(address))
    quiet = SETTINGS if local else QUIET
    return {**ours, **quiet, **own}


def host_of(address: str) -> str:
    """The host of HOST:PORT."""
    return address.rpartition(":")[0].strip("[]")
