"""One shard's folder, as its batch has left it, and what must be the same in all of a merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from xraygpt_edge.batch.shard import WHOLE, Shard
from xraygpt_edge.batch.summary import SUMMARY
from xraygpt_edge.errors import InputRefused, UsageError
from xraygpt_edge.ledger import difference, job_facts
from xraygpt_edge.ledger.versions import Damaged, decoded
from xraygpt_edge.text import file_name

OF_ONE_SHARD = ("shard",)
OF_ONE_MACHINE = ("folder_sha256",)
"""Where the films lie; with a list they may lie elsewhere on each machine."""


class Finished(msgspec.Struct, frozen=True):
    """What summary.json says of a run that came to its end."""

    ok: int
    failed: int
    skipped_by_reason: dict[str, int]
    finished_utc: str
    last_run: dict[str, Any]
    unread: dict[str, dict[str, Any]] = {}
    trust: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Part:
    """One shard's folder."""

    folder: Path
    facts: dict[str, Any]
    """Its job."""
    shard: Shard
    summary: Finished | None
    """None where no run came to its end."""

    @property
    def name(self) -> str:
        """The folder as a person may see it."""
        return file_name(self.folder)

    @property
    def common(self) -> dict[str, Any]:
        """Facts that all shards of a job share."""
        own = OF_ONE_SHARD + (OF_ONE_MACHINE if "list_sha256" in self.facts else ())
        return {name: value for name, value in self.facts.items() if name not in own}


def read_parts(folders: Sequence[Path]) -> list[Part]:
    """Folders of shards, by number, each folder once. Raises UsageError for what is none or of another job."""
    each = {folder.resolve(): folder for folder in folders}.values()
    parts = sorted(map(_read, each), key=lambda part: part.shard.index)
    first = parts[0]
    for part in parts[1:]:
        differs = difference(first.common, part.common)
        if part.shard.count != first.shard.count:
            differs = f"{part.shard.count} shards, not {first.shard.count}"
        if differs:
            raise UsageError("E-SCA-003", f"{part.name} has {differs}")
    return parts


def _read(folder: Path) -> Part:
    facts = job_facts(folder)
    if facts is None:
        raise UsageError("E-SCA-009", file_name(folder))
    return Part(folder, facts, _shard(facts), _summary(folder))


def _shard(facts: dict[str, Any]) -> Shard:
    """A batch without one is the only shard of its job."""
    try:
        return Shard.parse(str(facts.get("shard", WHOLE)))
    except UsageError as error:
        raise InputRefused("E-REP-003", "job.json") from error


def _summary(folder: Path) -> Finished | None:
    try:
        finished: Finished = decoded((folder / SUMMARY).read_bytes(), Finished, SUMMARY)
    except FileNotFoundError:
        return None
    except Damaged as error:
        raise InputRefused("E-REP-003", f"{file_name(folder)}, {SUMMARY}") from error
    except OSError as error:
        raise InputRefused("E-REP-003", f"{file_name(folder)}, {SUMMARY}: {error.strerror}") from error
    return finished
