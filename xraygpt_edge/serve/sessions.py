"""Who may use the server: tokens and their sessions. No cookie, so nothing is sent by itself."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from xraygpt_edge.serve.codes import Codes

SESSION_IDLE_S = 8 * 3600.0


@dataclass(slots=True, eq=False)
class Session:
    """One that has its own radiographs and conversations."""

    id: str
    ends_when_idle: bool
    used_at_s: float


class Sessions:
    """Every session by its token. Hashes alone are looked up, so that no time tells how much of one is right."""

    def __init__(self, tokens: Iterable[str], codes: Codes) -> None:
        """tokens: of sessions that last as long as the server."""
        now_s = time.monotonic()
        self._sessions = {_digest(each): Session(_new_id(), ends_when_idle=False, used_at_s=now_s) for each in tokens}
        self.codes = codes

    def of(self, token: str) -> Session | None:
        """The session of a token, unless it has ended."""
        session = self._sessions.get(_digest(token))
        return None if session is None or _has_ended(session) else session

    def forget_ended(self) -> list[str]:
        """Forget the sessions that have ended; gives their ids: nobody can reach what they have any more."""
        ended = [each for each in self._sessions.values() if _has_ended(each)]
        for session in ended:
            self.close(session)
        return [session.id for session in ended]

    def open(self) -> str:
        """The token of a new session."""
        token = secrets.token_urlsafe(32)
        session = Session(_new_id(), ends_when_idle=True, used_at_s=time.monotonic())
        self._sessions[_digest(token)] = session
        return token

    def close(self, session: Session) -> None:
        """End a session; that of the programs stays as long as the server."""
        if session.ends_when_idle:
            self._sessions = {digest: each for digest, each in self._sessions.items() if each is not session}


def _new_id() -> str:
    return secrets.token_urlsafe(16)


def _has_ended(session: Session) -> bool:
    return session.ends_when_idle and time.monotonic() - session.used_at_s > SESSION_IDLE_S


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
