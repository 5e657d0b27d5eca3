"""What lets others than this computer in: TLS, and a password."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xraygpt_edge.errors import UsageError
from xraygpt_edge.serve import addresses, passwords, private
from xraygpt_edge.serve.addresses import HERE
from xraygpt_edge.serve.passwords import Password


@dataclass(frozen=True, slots=True)
class Ward:
    """How a server is reached by people who are not at its computer."""

    context: ssl.SSLContext
    password: Password


@dataclass(frozen=True, slots=True)
class Reach:
    """From where a server is reached, and by which names."""

    listening: str
    names: tuple[str, ...]
    ward: Ward | None


def reach(host: str, further: Iterable[str], cert: Path | None, key: Path | None, password_file: Path | None) -> Reach:
    """What --host, --name and the three files of a ward say. Raises UsageError."""
    listening = addresses.address(host)
    found = ward(listening, cert, key, password_file)
    return Reach(listening, addresses.names(listening, tuple(map(addresses.name, further))), found)


def ward(listening: str, cert: Path | None, key: Path | None, password_file: Path | None) -> Ward | None:
    """None where this computer alone is served. Raises UsageError E-SRV-002, -017.

    A password alone would be read on its way, and TLS alone would let everybody in: it is all three or none.
    """
    given = [each for each in (cert, key, password_file) if each]
    if not given and listening == HERE:
        return None
    if not cert or not key or not password_file:
        raise UsageError("E-SRV-002", f"{len(given)} of 3 files")
    return Ward(context_of(cert, key), passwords.from_file(password_file))


def context_of(cert: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer with a certificate that is valid now. Raises UsageError E-SRV-017."""
    private.opened(key).close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(cert, key, password=_refuse)
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise private.unusable(cert, f"with {key.name}: {reason}") from None
    if _seconds_left(cert) <= 0:
        raise private.unusable(cert, "it is no longer valid")
    return context


def _seconds_left(cert: Path) -> float:
    """Until a certificate ends."""
    try:
        facts = ssl._ssl._test_decode_cert(str(cert))  # type: ignore[attr-defined]  # noqa: SLF001 - the only reader of dates in the standard library
        return ssl.cert_time_to_seconds(facts["notAfter"]) - time.time()
    except (OSError, ValueError, KeyError) as error:
        raise private.unusable(cert, type(error).__name__) from None


def _refuse() -> str:
    """A key that has a password of its own would be asked for on the terminal of a service."""
    raise ValueError
