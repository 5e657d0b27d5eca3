"""The films of a folder, written down once: then no machine need walk it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xraygpt_edge.batch import films
from xraygpt_edge.batch.shard import share_of
from xraygpt_edge.batch.walk import Look, look_at, walk
from xraygpt_edge.errors import UsageError


@dataclass(slots=True)
class Share:
    """What one shard gets."""

    films: int = 0
    size_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        """Count one film."""
        self.films += 1
        self.size_bytes += size_bytes


@dataclass(slots=True)
class Plan:
    """A list, and what is in it."""

    sha256: str = ""
    """The list's identity, as job.json has it."""
    whole: Share = field(default_factory=Share)
    shards: list[Share] = field(default_factory=list)
    """What each of N shards would get; empty where nobody asked."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason → entries of the folder that are no films; of a kind that is not read, the reason names the kind."""
    unreadable: int = 0
    """Folders that could not be opened: their films are not in the list."""


def plan(folder: Path, target: Path, n_shards: int = 0) -> Plan:
    """Walk a folder by batch's rules and write the list of its films.

    Raises UsageError for what is no folder, or for a target that is no list, and OutputError.
    """
    if not folder.is_dir():
        raise UsageError("E-BAT-001")
    made = Plan(shards=[Share() for _ in range(n_shards)])
    made.sha256 = films.write(target, _counted(folder, target, made)).sha256
    return made


def _counted(folder: Path, target: Path, made: Plan) -> Iterator[films.Listed]:
    for found in walk(folder, target):
        look = Look(found.skip) if found.skip or found.unreadable else look_at(folder / found.path)
        if found.unreadable:
            made.unreadable += 1
        elif look.skip:
            made.skipped[look.reason] += 1
        else:
            film = films.Listed(found.path, _size_bytes(folder / found.path))
            made.whole.add(film.size_bytes)
            if made.shards:
                made.shards[share_of(film.path, len(made.shards))].add(film.size_bytes)
            yield film


def _size_bytes(path: Path) -> int:
    """0 for a file that has gone meanwhile; the batch will say so."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0
