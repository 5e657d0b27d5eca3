"""One id of the catalogue of errors and warnings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """What an id means, and what to do about it."""

    code: int
    """Exit code; 0 for a warning."""
    what: str
    """What happened, without a full stop."""
    meaning: str
    """Why it happens and why it matters: the body of `explain`."""
    fix: str = ""
    """What to do next: one sentence."""
    safe: str = ""
    """What is not affected: one sentence."""
