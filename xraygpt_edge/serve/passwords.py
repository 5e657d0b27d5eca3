"""The one password of a ward: kept as a salted scrypt line, tried slowly, and not often."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
import unicodedata
from base64 import b64decode, b64encode
from collections import deque
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path

from xraygpt_edge.errors import UsageError
from xraygpt_edge.files import replacing
from xraygpt_edge.serve import private
from xraygpt_edge.serve.errors import Refused

COST, BLOCK, LANES = 1 << 15, 8, 1
"""Of scrypt: 32 MB and about 0.1 s a try."""
SALT_BYTES, HASH_BYTES = 16, 32
MEMORY_MAX_BYTES = 160 << 20
"""For a line that somebody has made with a higher cost."""
SHORTEST, LONGEST = 8, 256
"""Characters of a password."""
READ_MAX_BYTES = 1024
LINE = re.compile(r"scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/=]{16,128})\$([A-Za-z0-9+/=]{32,128})")
WRONG_MAX, WINDOW_S, WAIT_S = 5, 300.0, 300.0
"""So many wrong ones within that time, and an address waits so long."""


@dataclass(frozen=True, slots=True)
class Password:
    """What is known of a password: enough to recognise it."""

    cost: int
    block: int
    lanes: int
    salt: bytes
    digest: bytes = field(repr=False)

    def fits(self, given: str) -> bool:
        """Whether this is it; a tenth of a second."""
        found = _hash(given, self.salt, self.cost, self.block, self.lanes, len(self.digest))
        return hmac.compare_digest(found, self.digest)


def line_of(password: str) -> str:
    """The line by which a password is recognised; raises UsageError E-SRV-017 for one that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError("E-SRV-017", f"a password has {SHORTEST} to {LONGEST} characters")
    salt = secrets.token_bytes(SALT_BYTES)
    digest = _hash(password, salt, COST, BLOCK, LANES, HASH_BYTES)
    return f"scrypt${COST}${BLOCK}${LANES}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def write(path: Path, password: str) -> None:
    """Make a password's file, or change the password in one. Raises UsageError, OSError."""
    line = line_of(password)
    if path.is_symlink() or path.exists():
        from_file(path)  # nothing but a password's file is overwritten
    with replacing(path) as stream:
        stream.write(f"{line}\n".encode())


def from_file(path: Path) -> Password:
    """The password of a file; raises UsageError E-SRV-017."""
    with private.opened(path) as stream:
        found = LINE.fullmatch(stream.read(READ_MAX_BYTES).decode("ascii", "replace").strip())
    if found is None:
        raise private.unusable(path, "it holds no password; --make-password writes one")
    try:
        password = Password(int(found[1]), int(found[2]), int(found[3]), b64decode(found[4]), b64decode(found[5]))
        password.fits("")
    except (ValueError, MemoryError):
        raise private.unusable(path, "scrypt cannot take its numbers") from None
    return password


class Guesses:
    """Wrong passwords by the addresses that they come from; for one event loop."""

    def __init__(self) -> None:
        self._wrong: dict[str, deque[float]] = {}
        """Network → when its latest wrong ones came, s."""
        self._turn = asyncio.Lock()
        """Each try needs a processor and 32 MB."""

    async def check(self, password: Password, given: str, address: str) -> None:
        """Raises Refused E-SRV-025 for too many tries, E-SRV-026 for a wrong one.

        A try counts from its begin, so that many at once are not more than one after another.
        """
        wrong = self._of(address)
        began_s = time.monotonic()
        if len(wrong) == WRONG_MAX and wrong[-1] - wrong[0] <= WINDOW_S:
            raise Refused.because("E-SRV-025")
        wrong.append(began_s)
        async with self._turn:
            fits = await asyncio.to_thread(password.fits, given[: LONGEST + 1])
        if not fits:
            raise Refused.because("E-SRV-026", param="password")
        wrong.remove(began_s)

    def _of(self, address: str) -> deque[float]:
        """The latest tries of an address; those that no longer count are forgotten."""
        now_s = time.monotonic()
        self._wrong = {each: tries for each, tries in self._wrong.items() if tries and now_s - tries[-1] < WAIT_S}
        return self._wrong.setdefault(_network(address), deque(maxlen=WRONG_MAX))


def _network(address: str) -> str:
    """An address, or for IPv6 its network: one computer has 2^64 of them."""
    parsed = ip_address(address.partition("%")[0])
    return str(parsed if parsed.version == 4 else ip_network((parsed, 64), strict=False))


def _hash(password: str, salt: bytes, cost: int, block: int, lanes: int, n_bytes: int) -> bytes:
    """Keyboards write the same letter in different ways; one of them counts."""
    said = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(said, salt=salt, n=cost, r=block, p=lanes, maxmem=MEMORY_MAX_BYTES, dklen=n_bytes)
