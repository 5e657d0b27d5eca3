"""Continuations of one prefix as a tree: what several of them begin with is computed once, for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.generation.context_tokens import ContextTokens, agreeing
from xraygpt_edge.generation.llama import FORKS

Logits = NDArray[np.float32]
ROWS = 192
"""Positions in one decode, so that others wait no longer than for a prompt. Each decode of more than seven costs half
a second beside its positions (7 B, two Zen 4 cores), so the questions of a panel, 176 in Vicuna's tokens, are one."""


@dataclass(frozen=True, slots=True, eq=False)
class Fork:
    """A prefix with what continues it."""

    tokens: ContextTokens
    n_logits: int
    """How many of its last positions need logits."""

    def wanted(self, run: Run) -> int:
        """How many of a run's last positions need logits for it."""
        return max(0, run.end - max(run.start, len(self.tokens) - self.n_logits))


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring positions at which the same forks hold the same."""

    forks: tuple[int, ...]
    start: int
    end: int

    def __len__(self) -> int:
        """Count the positions."""
        return self.end - self.start


def tree(forks: Sequence[Fork], start: int) -> list[Run]:
    """What forks hold from a position on, each run before those that continue it; all of them agree before it."""
    return _behind(forks, range(len(forks)), start)


def fitting(forks: Sequence[Fork], start: int, room: int) -> Sequence[Fork]:
    """As many of the first forks as one decode has room for, one in any case."""
    count = 1
    while count < min(FORKS, len(forks)) and sum(map(len, tree(forks[: count + 1], start))) <= room:
        count += 1
    return forks[:count]


def gathered(fork: int, forks: Sequence[Fork], runs: Iterable[Run], logits: Iterable[Logits]) -> Logits:
    """The logits (n_logits, n_vocab) that one fork needs, from those of each run's last positions."""
    pairs = [(forks[fork].wanted(run), rows) for run, rows in zip(runs, logits, strict=True) if fork in run.forks]
    return np.concatenate([rows[len(rows) - count :] for count, rows in pairs])


def _behind(forks: Sequence[Fork], among: Iterable[int], start: int) -> list[Run]:
    begun: dict[int, list[int]] = {}
    for number in among:
        keys = forks[number].tokens.keys
        if len(keys) > start:
            begun.setdefault(int(keys[start]), []).append(number)
    found = []
    for alike in begun.values():
        first = forks[alike[0]].tokens
        end = min(agreeing(first.keys, forks[number].tokens.keys) for number in alike)
        end = first.decode_end(start, end)
        found += [Run(tuple(alike), start, end), *_behind(forks, alike, end)]
    return found
