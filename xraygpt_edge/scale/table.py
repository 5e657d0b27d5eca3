"""Every record of all shards as four numbers: which of them counts for its film and question, in little memory."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import BundleIncompatible, OutputError, UsageError
from xraygpt_edge.ledger import RECORDS, Answered, Records, Row
from xraygpt_edge.ledger.ledger import key
from xraygpt_edge.scale.parts import Part

ANSWERED = 1 << 32
"""Added to the attempt of an answer: it beats every failure."""
UNKNOWN_CPU = "unknown"
"""Of records from before `engine.cpu`."""


@dataclass(slots=True)
class Table:
    """The records of all parts, in order; memory: 32 bytes a record."""

    parts: Sequence[Part]
    bounds: list[int] = field(default_factory=lambda: [0])
    """Number of the first record of each part, and behind the last one."""
    cpus: list[Counter[str]] = field(default_factory=list)
    """Of each part: kind of processor → answers."""
    versions: set[str] = field(default_factory=set)
    """Of the program that answered."""
    _keys: array[int] = field(default_factory=lambda: array("Q"))
    """Of film and question."""
    _films: array[int] = field(default_factory=lambda: array("Q"))
    _ranks: array[int] = field(default_factory=lambda: array("Q"))
    """Attempt, and whether it is an answer: the highest counts."""
    _texts: array[int] = field(default_factory=lambda: array("Q"))
    """Hash of what an answer says."""

    @classmethod
    def read(cls, parts: Sequence[Part]) -> Table:
        """Read all records once. Raises BundleIncompatible for a damaged line, or one of a newer version."""
        table = cls(parts)
        for part in parts:
            cpus = Counter[str]()
            for row in _rows(part):
                table._add(row)
                if isinstance(row, Answered):
                    cpus[row.engine.cpu or UNKNOWN_CPU] += 1
                    table.versions.add(row.engine.version)
            table.cpus.append(cpus)
            table.bounds.append(len(table._keys))
        return table

    def _add(self, row: Row) -> None:
        is_answer = isinstance(row, Answered)
        self._keys.append(key(row.own_path, row.question))
        self._films.append(key(row.own_path, ""))
        self._ranks.append(min(row.attempt, ANSWERED - 1) + ANSWERED * is_answer)
        self._texts.append(_hash(row) if isinstance(row, Answered) else 0)

    def films_of(self, number: int) -> int:
        """Films that have a record in one part."""
        first, behind = self.bounds[number : number + 2]
        return len(np.unique(self._column(self._films)[first:behind]))

    def counting(self) -> NDArray[np.bool_]:
        """Of each record, whether it counts: the answer before the failure, then the later attempt, then the first.

        Raises UsageError where two answers about the same differ.
        """
        keys, ranks, n = self._column(self._keys), self._column(self._ranks), len(self._keys)
        order = np.lexsort((np.arange(n)[::-1], ranks, keys))  # of equals, the first stands last
        self._require_one_answer(order[ranks[order] >= ANSWERED])
        is_last = np.append(keys[order][1:] != keys[order][:-1], True)[:n]
        counts = np.zeros(n, bool)
        counts[order[is_last]] = True
        return counts

    def outcome(self, counts: NDArray[np.bool_]) -> tuple[int, int]:
        """Films all of whose questions are answered, and films that have failed."""
        films = self._column(self._films)
        has_failed = self._column(self._ranks) < ANSWERED
        failed = len(np.unique(films[counts & has_failed]))
        return len(np.unique(films[counts])) - failed, failed

    def lines(self, counts: NDArray[np.bool_]) -> Iterator[tuple[bytes, bool]]:
        """Lines of the records that count, byte for byte, each with whether it is an answer."""
        for part, (first, behind) in zip(self.parts, pairwise(self.bounds), strict=True):
            if first == behind:
                continue
            with (part.folder / RECORDS).open("rb") as stream:
                for number, line in enumerate(islice(stream, behind - first), first):
                    if counts[number]:
                        yield line, self._ranks[number] >= ANSWERED

    def _require_one_answer(self, answers: NDArray[np.intp]) -> None:
        """answers: numbers of those records, equal keys side by side."""
        keys, texts = self._column(self._keys)[answers], self._column(self._texts)[answers]
        differing = np.flatnonzero((keys[1:] == keys[:-1]) & (texts[1:] != texts[:-1]))
        if len(differing):
            one, other = sorted((int(answers[differing[0]]), int(answers[differing[0] + 1])))
            where = f"{self._part_of(one).name} and {self._part_of(other).name}"
            raise UsageError("E-SCA-005", f"{len(differing)} of them; the first is record {self._id(one)} in {where}")

    def _part_of(self, number: int) -> Part:
        return self.parts[int(np.searchsorted(self.bounds, number, "right")) - 1]

    def _id(self, number: int) -> str:
        part = self._part_of(number)
        first = self.bounds[self.parts.index(part)]
        return next(islice(_rows(part), number - first, None)).id

    @staticmethod
    def _column(numbers: array[int]) -> NDArray[np.uint64]:
        return np.frombuffer(numbers, np.uint64) if numbers else np.empty(0, np.uint64)


def _rows(part: Part) -> Iterator[Row]:
    """A part's whole records, in order; none where it has not begun."""
    if not (part.folder / RECORDS).exists():
        return
    try:
        for entry in Records(part.folder):
            yield entry.row
    except BundleIncompatible as error:
        raise BundleIncompatible(error.error_id, f"{part.name}, {error.why}") from error
    except OutputError as error:
        if error.error_id != "E-OUT-003":
            raise
        raise BundleIncompatible("E-SCA-004", f"{part.name}, {error.why}") from error


def _hash(row: Answered) -> int:
    """What an answer says, as a number."""
    said = f"{row.finish_reason}\0{row.text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big")
