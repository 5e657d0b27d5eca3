"""The machinery of hostile files: changes, the reading, what may come of it.

Every file comes from one number, which is printed when something is wrong; `--only NUMBER` repeats it.
Allowed outcomes: a picture, or InputRefused. Counted apart: refusals by deadline, memory or crash.
"""

from __future__ import annotations

import argparse
import collections
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
import psutil

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.isolated import reader as reader_module

CONTAINED = frozenset({"E-DCM-020", "E-DCM-021", "E-DCM-022"})
DEADLINE_S = 10.0
MEMORY_GROWTH_MAX_BYTES = 30 << 20

Make = Callable[[int], bytes]
"""The file of a number."""
Judge = Callable[[int, np.ndarray], bool]
"""Whether a picture may come of the file of a number."""


@dataclass
class Tally:
    """What became of the files."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def anything(number: int, pixels: np.ndarray) -> bool:
    """Any picture may come of it."""
    return True


def change(data: bytearray, random: np.random.Generator, start: int) -> None:
    """One change at or after `start`; half of them near it, where headers are."""
    if len(data) <= start + 8:
        return
    end = min(len(data), start + 700) if random.random() < 0.5 else len(data)
    at = int(random.integers(start, end))
    kind = random.integers(6)
    if kind == 0:
        data[at] ^= 1 << int(random.integers(8))
    elif kind == 1:
        data[at] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, int(random.integers(256))]))
    elif kind == 2:
        data[at : at + 4] = random.integers(0, 256, 4).astype(np.uint8).tobytes()
    elif kind == 3:
        del data[at : at + int(random.integers(1, 64))]
    elif kind == 4:
        data[at:at] = data[at : at + int(random.integers(1, 64))]
    elif random.random() < 0.3:
        del data[at:]


def check(reader: Reader, path: Path, options: ReadOptions, number: int, judge: Judge) -> str:
    """Read one file: the id of its refusal, "read", or what is wrong. Anything else propagates."""
    try:
        radiograph = reader.read(path, options)
    except InputRefused as refusal:
        return refusal.error_id
    assert radiograph.pixels.dtype == np.uint8
    assert radiograph.pixels.ndim == 2
    return "read" if judge(number, radiograph.pixels) else "WRONG silent picture"


def run(make: Make, numbers: Iterable[int], judge: Judge = anything) -> Tally:
    """Read every file; what is not a picture that may be, or a typed refusal, is listed as wrong.

    A damaged picture does not end the reading process, as it does elsewhere: that takes most of the time, and
    what one file leaves behind meets the next.
    """
    tally = Tally()
    worn = patch.object(reader_module, "RECYCLE_AFTER", reader_module.RECYCLE_AFTER - {"E-IMG-006"})
    with worn, tempfile.TemporaryDirectory() as folder, Reader(deadline_s=DEADLINE_S) as reader:
        path = Path(folder) / "mutated"
        for number in numbers:
            path.write_bytes(make(number))
            began_s = time.monotonic()
            try:
                outcome = check(reader, path, ReadOptions(force=True), number, judge)
            except Exception as error:  # noqa: BLE001 - that is what we look for
                outcome = f"WRONG {type(error).__name__}"
            took_s = time.monotonic() - began_s
            tally.outcomes[outcome] += 1
            tally.slowest_s = max(tally.slowest_s, took_s)
            if outcome.startswith("WRONG") or took_s > DEADLINE_S + 5:
                tally.wrong.append(f"seed {number}: {outcome} after {took_s:.1f} s")
            elif outcome in CONTAINED:
                print(f"contained: seed {number}: {outcome} after {took_s:.1f} s")
    return tally


def parser(description: str | None) -> argparse.ArgumentParser:
    """Options that every kind of hostile file has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", type=int, help="repeat the file with this number")
    return options


def told(make: Make, options: argparse.Namespace, judge: Judge = anything) -> int:
    """Run and print; exit code 0 when every outcome was allowed and memory stayed flat."""
    first = options.seed * 1_000_000
    numbers = [options.only] if options.only is not None else range(first, first + options.count)
    print(f"{options}: seeds {first} to {first + options.count - 1}")
    before = psutil.Process().memory_info().rss
    tally = run(make, numbers, judge)
    growth = psutil.Process().memory_info().rss - before
    print(dict(tally.outcomes.most_common()))
    print(f"slowest {tally.slowest_s:.1f} s, memory of the program grew by {growth >> 20} MB")
    print("\n".join(tally.wrong) or "nothing wrong")
    return 1 if tally.wrong or growth > MEMORY_GROWTH_MAX_BYTES else 0
