"""When a result is sent again, and when no more. Nothing here waits or sends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MINUTE_S, HOUR_S = 60.0, 3600.0
PAUSES_S = (1 * MINUTE_S, 2 * MINUTE_S, 5 * MINUTE_S, 15 * MINUTE_S, 60 * MINUTE_S)
GIVE_UP_S = 72 * HOUR_S
"""So long after it was made, a result that has not arrived is a dead letter."""
HELD_S = HOUR_S
"""Between two C-ECHO to a destination that has refused us for good."""


class Outcome(Enum):
    """What one try has shown."""

    STORED = "stored"
    WARNED = "stored with a warning"
    MISSED = "no answer, or none that says more than: later"
    REFUSED = "this object is refused for good"
    BARRED = "we are refused for good"

    @property
    def is_stored(self) -> bool:
        """The destination has it."""
        return self in (Outcome.STORED, Outcome.WARNED)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one try, in words for people who run the archive."""

    outcome: Outcome
    why: str = ""
    status: int | None = None
    """Of the C-STORE response."""
    seconds: float | None = None
    error_id: str = "E-NOD-008"


def outcome_of(status: int | None) -> Outcome:
    """What the status of a C-STORE response means; None: there was none."""
    if status is None:
        return Outcome.MISSED
    if status == 0:
        return Outcome.STORED
    if 0xB000 <= status <= 0xBFFF or status in (0x0107, 0x0116):
        return Outcome.WARNED
    return Outcome.MISSED if 0xA700 <= status <= 0xA7FF else Outcome.REFUSED


def pause_s(tries: int) -> float:
    """How long to wait after so many failed tries in a row."""
    return PAUSES_S[min(tries, len(PAUSES_S)) - 1]


def next_try_s(outcome: Outcome, tries: int, age_s: float, before: Outcome) -> float | None:
    """Seconds until an object is tried again; None: never. A refusal is asked about once more.

    tries: this one included. age_s: since it was made. before: what the try before has shown.
    """
    if outcome.is_stored:
        return None
    if outcome is Outcome.REFUSED:
        return None if before is Outcome.REFUSED else HOUR_S
    return pause_s(tries) if age_s < GIVE_UP_S else None
