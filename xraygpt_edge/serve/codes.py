"""Codes that open a session once, within a minute.

A browser is started with one, since other users can see its command line. A code proves itself by the server's key:
another process of the same user, which has the key, can make one without a connection.
"""

from __future__ import annotations

import hmac
import secrets
import struct
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode

CODE_S = 60.0
KEY_BYTES, NONCE_BYTES = 32, 16
_UNTIL = struct.Struct(">Q")
"""Milliseconds of the monotonic clock, which all processes of a computer share."""


def new_key() -> bytes:
    """256 random bits."""
    return secrets.token_bytes(KEY_BYTES)


def new_code(key: bytes) -> str:
    """A code that works once from now on for `CODE_S` seconds."""
    said = _UNTIL.pack(int((time.monotonic() + CODE_S) * 1000)) + secrets.token_bytes(NONCE_BYTES)
    return urlsafe_b64encode(said + _proof(key, said)).decode().rstrip("=")


class Codes:
    """The codes of one server; for one event loop."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._used: dict[bytes, float] = {}
        """Code → until when it would have worked, s."""

    def new(self) -> str:
        """As `new_code`."""
        return new_code(self.key)

    def redeem(self, code: str) -> bool:
        """Use a code up; False for one that is none, was used, or is too old."""
        said, until_s = self._understood(code)
        now_s = time.monotonic()
        self._used = {used: each_s for used, each_s in self._used.items() if each_s > now_s}
        if said in self._used or not now_s < until_s <= now_s + CODE_S:
            return False
        self._used[said] = until_s
        return True

    def _understood(self, code: str) -> tuple[bytes, float]:
        """What a code says, and until when it works, s; 0 for one that this server's key did not make."""
        try:
            whole = urlsafe_b64decode(code.encode("ascii") + b"=" * (-len(code) % 4))
        except ValueError:
            return b"", 0.0
        said, proof = whole[: _UNTIL.size + NONCE_BYTES], whole[_UNTIL.size + NONCE_BYTES :]
        if not hmac.compare_digest(_proof(self.key, said), proof):
            return b"", 0.0
        return said, _UNTIL.unpack_from(said)[0] / 1000


def _proof(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, "sha256")
