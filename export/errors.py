"""What an export refuses, and what it cannot finish."""

from __future__ import annotations

from collections.abc import Sequence


class ExportRefused(Exception):
    """The files are not a model that can be exported without guessing.

    problems: everything that was found, one line each, so that one run names it all.
    """

    def __init__(self, what: str, problems: Sequence[str] = ()) -> None:
        self.what, self.problems = what, tuple(problems)
        super().__init__("\n  ".join((what, *problems)))


class GateMissed(ExportRefused):
    """The exported model differs from the original by more than its gates allow."""
