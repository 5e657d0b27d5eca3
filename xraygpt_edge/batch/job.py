"""What a batch was asked to do, and how it is run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

SCHEMA = 1
DEFAULT_QUESTION = "Take a look at this chest x-ray and describe the findings and impression."
"""The training set's request for findings and impression."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the words of an answer, besides bundle, radiograph and question."""

    template: str | None = None
    profile: str = "mimic-jpg"
    frame: int | None = None
    force: bool = False
    max_tokens: int = 300
    temperature: float = 0.0
    top_p: float = 0.9
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """Bundle, questions and settings, and the folder that is read."""

    folder: Path
    bundle: Path
    manifest_sha256: str
    questions: tuple[str, ...] = (DEFAULT_QUESTION,)
    settings: Settings = Settings()

    @property
    def facts(self) -> dict[str, Any]:
        """What must be the same when a batch goes on; the folder's own name may identify a patient."""
        folder = sha256(bytes(self.folder.resolve())).hexdigest()
        return {
            "schema": SCHEMA,
            "manifest_sha256": self.manifest_sha256,
            "folder_sha256": folder,
            "questions": list(self.questions),
            "settings": asdict(self.settings),
        }


@dataclass(frozen=True, slots=True)
class Running:
    """How a job is run; none of it changes what was asked."""

    device: str = "auto"
    threads: int | None = None
    memory: str = "auto"
    parallel: int | None = None
    """Radiographs that are answered at the same time; None lets memory and cores decide."""
    timeout_s: float | None = None
    """For each radiograph."""
    retry_failed: bool = False
    """Try radiographs again that have failed."""
