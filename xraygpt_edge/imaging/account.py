"""What is found while one file is read: facts, warnings, and each step in words."""

from __future__ import annotations

from typing import Any

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.records import Format, ReadWarning, Source, Step


class Notes:
    """Collects, in order, what a reader of the answer should know about one file."""

    def __init__(self, *, force: bool = False) -> None:
        self.force = force
        self.forced = False
        self._facts: dict[str, Any] = {}
        self._warnings: dict[str, ReadWarning] = {}
        self._steps: list[Step] = []

    @property
    def warnings(self) -> tuple[ReadWarning, ...]:
        """Each id once, in the order in which it was first met."""
        return tuple(self._warnings.values())

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was done, in order."""
        return tuple(self._steps)

    def know(self, **facts: object) -> None:
        """Remember facts about the file, by the names that `Source` has for them."""
        self._facts.update(facts)

    def source(self, sha256: str, kind: Format, profile: str) -> Source:
        """The file, as far as it is known by now."""
        return Source(sha256, kind, profile=profile, forced=self.forced, warnings=self.warnings, **self._facts)

    def step(self, name: str, detail: str) -> None:
        """Remember what was done."""
        self._steps.append(Step(name, detail))

    def warn(self, warning_id: str, why: str = "") -> None:
        """Remember a warning; why never holds a value that could identify a patient."""
        reason = f" ({why})" if why else ""
        message = f"{CATALOGUE[warning_id].what}{reason}"
        self._warnings.setdefault(warning_id, ReadWarning(warning_id, message))

    def refuse(self, error_id: str, why: str = "") -> None:
        """Raise InputRefused, or with --force go on and leave the refusal as a warning."""
        if not self.force:
            raise InputRefused(error_id, why)
        self.forced = True
        self.warn(error_id, why)
