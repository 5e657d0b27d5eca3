"""A node for hours: films in a loop, and nothing grows. `NODE_FILMS=300` makes it short."""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil
import pytest

from tests.node import Node, archive, children_of, destination, film, needs, running, send, until
from tests.tiny import write_bundle

FILMS = int(os.environ.get("NODE_FILMS", "10000"))
AT_ONCE = 20
WARM_SHARE = 0.2
"""Of the films, after which memory is first looked at."""
GROWTH_MAX = 1.10
FEW_DESCRIPTORS = 3
"""By which they may differ from one look to the next."""


def watched(node: Node) -> Iterator[tuple[str, int, int]]:
    """Process, memory in bytes, open descriptors; of the node and what it has started."""
    for role, pid in {"node": node.process.pid, **children_of(node.process.pid)}.items():
        process = psutil.Process(pid)
        yield role, process.memory_info().rss, process.num_fds()


@pytest.mark.soak
@needs("storescu", "storescp")
def test_ten_thousand_films_leave_memory_descriptors_and_folders_as_they_were(phantom: Path, tmp_path: Path) -> None:
    memory, handles = defaultdict(list), defaultdict(list)
    with archive(tmp_path / "archive") as (port, kept):
        node = Node(tmp_path, write_bundle(tmp_path / "tiny"), destination(port), parallel=4)
        with running(node):
            began_s = time.monotonic()
            for first in range(0, FILMS, AT_ONCE):
                films = [film(number, phantom, tmp_path) for number in range(first, min(first + AT_ONCE, FILMS))]
                until(lambda films=films: send(node.port, *films).returncode == 0, 60, "films are taken")
                found = node.settled(first + len(films), 600)
                for path in (*films, *kept.iterdir()):
                    path.unlink()
                for role, rss, fds in watched(node) if first >= WARM_SHARE * FILMS else ():
                    memory[role].append(rss)
                    handles[role].append(fds)
            until(lambda: not list((node.root / "in").glob("*.dcm")), 30, "films are deleted")
            until(lambda: not list((node.root / "out").iterdir()), 30, "results are deleted")
    print(f"{FILMS} films in {time.monotonic() - began_s:.0f} s")
    assert found["all"]["answered"] == FILMS
    for role, seen in memory.items():
        third = max(1, len(seen) // 3)
        growth = median(seen[-third:]) / median(seen[:third])
        print(
            f"{role}: {seen[0] >> 20} to {seen[-1] >> 20} MB, {growth:.3f}; {handles[role][0]} to {handles[role][-1]}"
        )
        assert growth < GROWTH_MAX, role
        assert abs(handles[role][-1] - handles[role][0]) <= FEW_DESCRIPTORS, role
    shutil.rmtree(tmp_path, ignore_errors=True)
