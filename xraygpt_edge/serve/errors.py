"""Every refusal as HTTP: a status, and an object of the shape that OpenAI's clients know."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import msgspec

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.errors import (
    InputRefused,
    Locked,
    OutOfTime,
    ResourceExhausted,
    UnusableOutput,
    UsageError,
    WorkerCrashed,
    XrayGPTError,
)
from xraygpt_edge.records import Failure

KINDS: dict[int, type[XrayGPTError]] = {
    int(kind.code): kind
    for kind in (UsageError, InputRefused, Locked, ResourceExhausted, OutOfTime, UnusableOutput, WorkerCrashed)
}
BY_KIND = {2: 400, 4: 422, 17: 504}
"""Exit code → status, unless the id has its own."""
BY_ID = {
    "E-SRV-003": 503,
    "E-SRV-004": 401,
    "E-SRV-005": 403,
    "E-SRV-006": 413,
    "E-SRV-007": 408,
    "E-SRV-013": 404,
    "E-SRV-014": 503,
    "E-SRV-015": 503,
    "E-SRV-016": 404,
    "E-SRV-018": 503,
    "E-SRV-019": 422,
    "E-SRV-020": 503,
    "E-SRV-021": 409,
    "E-SRV-022": 409,
    "E-SRV-025": 429,
    "E-SRV-026": 401,
    "E-USE-002": 404,
}
TYPES = {401: "authentication_error", 403: "permission_error"}
TRY_AGAIN = {"E-SRV-003": 20, "E-SRV-014": 5, "E-SRV-025": 300}
"""What passes by itself → seconds after which to ask again."""
RETRIED_MAX_S = 60
"""Longer than this no client waits by itself."""
MISSING = re.compile(r"Object missing required field `(\w+)`")
DIED = "E-BAT-020"
"""How the host says that its process died under a task."""


class Refused(Exception):
    """A request that gets no answer, and why."""

    def __init__(self, failure: Failure, param: str | None = None, status: int | None = None) -> None:
        super().__init__(failure.error_id)
        self.failure, self.param = failure, param
        self.closes = False
        """Nothing more is read from this connection: it may mean something else to others than to us."""
        self.status = status or BY_ID.get(failure.error_id) or BY_KIND.get(failure.code, 500)

    @classmethod
    def because(cls, error_id: str, why: str = "", param: str | None = None, status: int | None = None) -> Refused:
        """By an id of the catalogue; why: a few words, never of a patient."""
        return cls.of(KINDS.get(CATALOGUE[error_id].code, XrayGPTError)(error_id, why), param, status)

    @classmethod
    def of(cls, error: XrayGPTError, param: str | None = None, status: int | None = None) -> Refused:
        """By an error of the layers below."""
        source, steps = (error.source, error.steps) if isinstance(error, InputRefused) else (None, ())
        return cls(Failure(error.error_id, error.message, int(error.code), source, steps), param, status)

    @property
    def headers(self) -> dict[str, str]:
        """Beside the body: whether and when it is worth asking again."""
        after_s = TRY_AGAIN.get(self.failure.error_id)
        if self.closes:
            return {"x-should-retry": "false", "connection": "close"}
        if after_s is None:
            return {"x-should-retry": "false"}
        return {"x-should-retry": "true" if after_s <= RETRIED_MAX_S else "false", "retry-after": str(after_s)}

    def to_dict(self) -> dict[str, Any]:
        """The object, as it stands in a body or in a stream."""
        failure = self.failure
        details: dict[str, Any] = {"exit_code": failure.code, "can_force": can_force(failure)}
        if failure.input:
            details["input"] = asdict(failure.input)
        if failure.steps:
            details["steps"] = [asdict(step) for step in failure.steps]
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        error = {"message": failure.message, "type": kind, "param": self.param, "code": failure.error_id}
        return {"error": {**error, "xraygpt": details}}


def can_force(failure: Failure) -> bool:
    """Whether the same request with `force` would be answered."""
    entry = CATALOGUE.get(failure.error_id)
    return entry is not None and re.search(r"--force(?![\w-])", entry.fix) is not None


def of_invalid(error: msgspec.MsgspecError) -> Refused:
    """What the reader of JSON says: the field goes into `param`; the value, which may be a patient's, nowhere."""
    if not isinstance(error, msgspec.ValidationError):
        return Refused.because("E-SRV-008", "no JSON")
    found, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").removeprefix(".")
    if missing := MISSING.match(found):
        return Refused.because("E-SRV-008", found, f"{field}.{missing[1]}".removeprefix("."))
    why = found if found.startswith("Expected") else "no such value or field"
    return Refused.because("E-SRV-008", why, field or None)
