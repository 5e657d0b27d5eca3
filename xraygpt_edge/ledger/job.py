"""`job.json`: what was asked in a folder of records; another job never writes into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from xraygpt_edge.errors import InputRefused, UsageError
from xraygpt_edge.ledger.folder import write_whole, writing
from xraygpt_edge.ledger.versions import Damaged, decoded

JOB = "job.json"
FACTS = {
    "manifest_sha256": "another bundle",
    "folder_sha256": "another folder of radiographs",
    "shard": "another shard",
    "list_sha256": "another list",
    "indications_sha256": "another table of indications",
}
"""Facts of a job → what differs, in words; any other is "other ..."."""


class _Asked(msgspec.Struct):
    questions: tuple[str, ...]


def adopt(folder: Path, facts: dict[str, Any]) -> None:
    """Make the folder this job's own, or see that it is; raises UsageError for another job's folder.

    facts: all that must be the same when the job goes on, as JSON; nothing in it may identify a patient.
    """
    path = folder / JOB
    try:
        with writing(JOB):
            known = json.loads(path.read_bytes()) if path.exists() else None
    except (ValueError, RecursionError):
        raise UsageError("E-BAT-002", f"{JOB} cannot be read") from None
    if known is None:
        write_whole(path, json.dumps(facts, indent=1).encode("ascii"))
    elif known != facts:
        raise UsageError("E-BAT-002", f"it has {difference(known, facts)}")


def asked_questions(folder: Path) -> tuple[str, ...]:
    """The questions in the order in which they were given; none where the folder has no job.

    Raises InputRefused for a damaged file, BundleIncompatible for one of a newer version.
    """
    asked: _Asked | None = _read(folder, _Asked)
    return asked.questions if asked else ()


def job_facts(folder: Path) -> dict[str, Any] | None:
    """What `adopt` has written; None where the folder has no job. Raises as `asked_questions`."""
    facts: dict[str, Any] | None = _read(folder, dict[str, Any])
    return facts


def difference(known: Any, facts: dict[str, Any]) -> str:
    """In what two jobs differ, in words; empty where they do not."""
    if not isinstance(known, dict):
        return "something else in it"
    differing = [name for name in {**facts, **known} if known.get(name) != facts.get(name)]
    return ", ".join(FACTS.get(name, f"other {name}") for name in differing)


def _read(folder: Path, kind: Any) -> Any:
    try:
        return decoded((folder / JOB).read_bytes(), kind, JOB)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Damaged as error:
        raise InputRefused("E-REP-003", JOB) from error
    except OSError as error:
        raise InputRefused("E-REP-003", f"{JOB}: {error.strerror}") from error
