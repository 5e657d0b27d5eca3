"""Moments as they are written down."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc(moment_s: float | None = None) -> str:
    """A POSIX time, or now, as 2026-11-25T10:05:03.250Z."""
    moment = datetime.fromtimestamp(time.time() if moment_s is None else moment_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_day(moment_s: float) -> str:
    """The day in this computer's time zone, as 2026-11-25."""
    return datetime.fromtimestamp(moment_s).astimezone().strftime("%Y-%m-%d")


def midnight_s(moment_s: float) -> float:
    """When the day of a POSIX time began, in this computer's time zone."""
    now = datetime.fromtimestamp(moment_s).astimezone()
    return now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
