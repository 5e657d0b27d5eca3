"""TLS of both directions: 1.2 or newer, certificates of the clinic's own authority, no name looked up."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

from xraygpt_edge.errors import UsageError
from xraygpt_edge.node.settings import Tls

WARN_S = 30 * 86400.0
"""Before a certificate ends."""


def for_listening(settings: Tls) -> ssl.SSLContext:
    """What peers are met with; raises UsageError for certificates or keys that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _prepare(context, settings)
    if settings.peers_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, settings.peers_ca)
    return context


def for_sending(authority: str, own: Tls | None) -> ssl.SSLContext:
    """What an archive is met with: its certificate must be of the authority, whatever name is in it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # archives are configured by address; the clinic's authority vouches for them
    context.verify_mode = ssl.CERT_REQUIRED
    _trust(context, authority)
    if own:
        _prepare(context, own)
    return context


def seconds_left(certificate: str) -> float:
    """Until a certificate ends; negative once it has. Raises UsageError."""
    try:
        facts = ssl._ssl._test_decode_cert(certificate)  # type: ignore[attr-defined]  # noqa: SLF001 - the only reader of dates in the standard library
        return ssl.cert_time_to_seconds(facts["notAfter"]) - time.time()
    except (OSError, ValueError, KeyError) as error:
        raise UsageError("E-NOD-003", f"{Path(certificate).name}: {type(error).__name__}") from None


def _prepare(context: ssl.SSLContext, own: Tls) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(own.cert, own.key)
    except (OSError, ValueError) as error:
        raise UsageError("E-NOD-003", f"{Path(own.cert).name}: {_reason(error)}") from None


def _trust(context: ssl.SSLContext, authority: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(authority)
    except (OSError, ValueError) as error:
        raise UsageError("E-NOD-003", f"{Path(authority).name}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
