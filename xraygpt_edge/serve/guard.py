"""Who comes in: the right name, no foreign page, the token. And what every answer carries. Plain ASGI, no state.

Starlette's own middleware for this would hide a leaving client from what it wraps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.events import refusal
from xraygpt_edge.serve.leaving import Left
from xraygpt_edge.serve.page_files import ADDRESSES
from xraygpt_edge.serve.sessions import Session, Sessions

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
OPEN = {
    *((method, path) for method in ("GET", "HEAD") for path in ("/", "/healthz", *ADDRESSES)),
    ("POST", "/api/v1/session"),
}
"""What needs no token: it tells nothing, or is how a token is got."""
LOOKING = "/api/v1/status"
"""What an open page asks by itself, so that it keeps no session alive."""
SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class Guard:
    """Wraps the routes; a refusal on any layer becomes its answer here."""

    app: ASGIApp
    origins: frozenset[str]
    """How the server may be addressed, as browsers write it."""
    sessions: Sessions
    has_password: bool
    """Who has no session may get one by the password."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = message.get("headers", [])
                said = {name for name, _ in own}  # the page has a policy of its own
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in said]
                message = {**message, "headers": [*own, *more]}
            await send(message)

        try:
            self._admit(scope)
            await self.app({**scope, "app": self}, receive, send_with_headers)
        except Left:
            return
        except Exception as error:
            if started:  # too late for another answer
                raise
            refused = understood(error)
            _let_go(error)
            await refusal(refused)(scope, receive, send_with_headers)

    def _admit(self, scope: Scope) -> None:
        """Raises Refused E-SRV-004, -005, -008."""
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers and "content-length" in headers:
            refused = Refused.because("E-SRV-008", "two lengths")
            refused.closes = True
            raise refused
        if (
            not self._is_addressed(headers, scope)
            or scope["method"] == "OPTIONS"
            or not self._is_own_page(headers, scope)
        ):
            raise Refused.because("E-SRV-005")
        session = self._session(headers)
        if session is None and (scope["method"], scope["path"]) not in OPEN:
            raise Refused.because("E-SRV-004", param="password" if self.has_password else None)
        if session and scope["path"] != LOOKING:
            session.used_at_s = time.monotonic()
        scope["session"] = session

    def _is_addressed(self, headers: Headers, scope: Scope) -> bool:
        hosts = headers.getlist("host")
        return len(hosts) == 1 and f"{scope['scheme']}://{hosts[0].lower()}" in self.origins

    def _is_own_page(self, headers: Headers, scope: Scope) -> bool:
        """No page at all, or our own; a person may come to `/` from anywhere, for there is no data."""
        origins, sites = headers.getlist("origin"), headers.getlist("sec-fetch-site")
        if any(origin not in self.origins for origin in origins) or len(origins) > 1 or len(sites) > 1:
            return False
        is_visit = scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        is_visit = is_visit and headers.get("sec-fetch-dest") == "document"
        return is_visit or not sites or sites[0] in {"same-origin", "none"}

    def _session(self, headers: Headers) -> Session | None:
        given = headers.getlist("authorization")
        if len(given) != 1 or not given[0].lower().startswith(SCHEME):
            return None
        return self.sessions.of(given[0][len(SCHEME) :].strip())


def _let_go(error: Exception) -> None:
    """An error remembers all that was in hand where it happened: a whole file, until rubbish is collected."""
    error.__traceback__ = error.__context__ = error.__cause__ = None


def understood(error: Exception) -> Refused:
    """An error of any layer as a refusal; what nobody foresaw is our bug, and its words go nowhere."""
    match error:
        case Refused():
            return error
        case HTTPException(status_code=404):
            return Refused.because("E-SRV-013")
        case HTTPException():
            return Refused.because("E-SRV-008", status=error.status_code)
        case XrayGPTError():
            return Refused.of(error)
    return Refused.because("E-BUG-001", type(error).__name__)
