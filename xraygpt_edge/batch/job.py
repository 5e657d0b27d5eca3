"""What a batch was asked to do; another job never writes into the same folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from xraygpt_edge.errors import UsageError
from xraygpt_edge.ledger.folder import write_whole, writing

JOB = "job.json"
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


def adopt(folder: Path, job: Job) -> None:
    """Make the folder this job's own, or see that it is; raises UsageError for another job's folder."""
    path = folder / JOB
    facts = job.facts
    try:
        with writing(JOB):
            known = json.loads(path.read_bytes()) if path.exists() else None
    except ValueError:
        raise UsageError("E-BAT-002", f"{JOB} cannot be read") from None
    if known is None:
        write_whole(path, json.dumps(facts, indent=1).encode("ascii"))
    elif known != facts:
        raise UsageError("E-BAT-002", f"it has {_difference(known, facts)}")


def _difference(known: Any, facts: dict[str, Any]) -> str:
    names = {"manifest_sha256": "another bundle", "folder_sha256": "another folder of radiographs"}
    differing = [name for name in facts if not isinstance(known, dict) or known.get(name) != facts[name]]
    return ", ".join(names.get(name, f"other {name}") for name in differing) or "more in it"
