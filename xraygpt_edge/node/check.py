"""`node check`: settings, disk, model, port, certificates and every destination are looked at, nothing is changed."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xraygpt_edge.errors import ExitCode, OutputError, UsageError, XrayGPTError
from xraygpt_edge.ledger import is_claimed
from xraygpt_edge.node import archive, asking, keeping, server, tls
from xraygpt_edge.node.settings import Destination, Settings, endpoint
from xraygpt_edge.node.spool import Spool


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that was looked at."""

    what: str
    words: str
    error: XrayGPTError | None = None


def examine(settings: Settings) -> Iterator[Found]:
    """One thing after another; what is wrong has an error."""
    server.quiet()
    yield _asked("folder", lambda: keeping.require_local(settings.root), "on a disk of this computer")
    yield _disk(settings)
    yield _asked("model", lambda: asking.opened(settings.node), settings.node.bundle)
    yield _port(settings)
    yield from _certificates(settings)
    if warning := in_the_clear(settings):
        yield Found("network", warning)
    for destination in settings.destinations:
        yield _destination(settings, destination)


def exit_code(found: list[Found]) -> ExitCode:
    """That of the first problem."""
    return next((each.error.code for each in found if each.error), ExitCode.DONE)


def in_the_clear(settings: Settings) -> str:
    """What must be said where pictures of patients cross a network without TLS; empty where they do not."""
    host, _ = endpoint(settings.node.listen)
    open_ends = [] if ipaddress.ip_address(host).is_loopback or settings.node.tls else [settings.node.listen]
    plain = [each.address for each in settings.destinations if each.address and not each.tls_ca]
    open_ends += [each for each in plain if not ipaddress.ip_address(endpoint(each)[0]).is_loopback]
    return (
        f"without TLS, patients' pictures cross the network in the clear: {', '.join(open_ends)}" if open_ends else ""
    )


def certificate_ends(settings: Settings) -> dict[str, float]:
    """Seconds until each certificate ends, by file name; raises UsageError for one that cannot be read."""
    named = [settings.node.tls.cert, settings.node.tls.peers_ca] if settings.node.tls else []
    named += [each.tls_ca for each in settings.destinations]
    return {Path(name).name: tls.seconds_left(name) for name in named if name}


def _asked(what: str, ask: Callable[[], object], words: str) -> Found:
    try:
        ask()
    except XrayGPTError as error:
        return Found(what, error.message, error)
    return Found(what, words)


def _disk(settings: Settings) -> Found:
    there = next(path for path in (settings.root, *settings.root.parents) if path.exists())
    free = Spool(there).free_bytes()
    words = f"{free / 1e9:.1f} GB free, of which {settings.reserve_bytes / 1e9:.1f} GB are kept free"
    return Found("disk", words, OutputError("E-NOD-005", words) if free < settings.reserve_bytes else None)


def _port(settings: Settings) -> Found:
    if is_claimed(settings.root):
        return Found("port", f"{settings.node.listen}, the node is running")
    host, port = endpoint(settings.node.listen)
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return Found("port", f"{settings.node.listen} is free")
    except OSError as error:
        refused = UsageError("E-NOD-002", f"{settings.node.listen}: {error.strerror}")
        return Found("port", refused.message, refused)


def _certificates(settings: Settings) -> Iterator[Found]:
    try:
        if settings.node.tls:
            tls.for_listening(settings.node.tls)
        for name, left_s in certificate_ends(settings).items():
            words = f"{name} ends in {left_s / 86400:.0f} days"
            ended = UsageError("E-NOD-003", f"{name} has ended") if left_s <= 0 else None
            yield Found("certificate", f"{words}: renew it" if left_s < tls.WARN_S else words, ended)
    except UsageError as error:
        yield Found("certificate", error.message, error)


def _destination(settings: Settings, destination: Destination) -> Found:
    what = f"destination {destination.name}"
    if destination.folder is not None:
        return Found(what, "a folder")
    try:
        with archive.association(settings, destination) as link:
            result = archive.echo(link)
    except archive.Unreachable as error:
        result = error.result
    if result.outcome.is_stored:
        return Found(what, f"{destination.address} answers C-ECHO")
    refused = _Refused("E-NOD-008", f"{destination.name}: {result.why}")
    return Found(what, refused.message, refused)


class _Refused(XrayGPTError):
    """A destination that does not answer."""

    code = ExitCode.PARTIAL
