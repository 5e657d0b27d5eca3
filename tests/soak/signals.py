"""Ctrl-C and SIGTERM at random moments: `python -m tests.soak.signals --count 100`."""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.soak.folder import command, finish, keys, lines, start, write_bundle, write_folder

FILES = 60
DELAY_S = 0.05
IMPORTED_S = 1.5
"""Before that, the driver may still be importing what it replaces, and Python answers a signal in its own way."""


@dataclass
class Tally:
    signals: int = 0
    wrong_code: int = 0
    orphans: int = 0
    lost: int = 0
    slowest_s: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.wrong_code or self.orphans or self.lost) and self.slowest_s < 2.0


def soak(count: int, root: Path, seed: int = 0) -> Tally:
    random_, tally = random.Random(seed), Tally()
    folder, bundle = write_folder(root / "films", FILES), write_bundle(root / "bundle")
    out = root / "out"
    while tally.signals < count:
        if len(keys(out)) == FILES:
            out = root / f"out-{tally.signals}"
        strike(command(folder, out, bundle), out, random_, tally)
    assert finish(command(folder, out, bundle)) == 0
    assert len(set(keys(out))) == len(keys(out)) == FILES
    return tally


def strike(arguments: list[str], out: Path, random_: random.Random, tally: Tally) -> None:
    process = start(arguments, DELAY_S, start_new_session=True)
    time.sleep(IMPORTED_S + random_.uniform(0, 1.0))
    if process.poll() is not None:
        process.communicate()
        return
    which = random_.choice((signal.SIGINT, signal.SIGTERM))
    family = psutil.Process(process.pid).children(recursive=True)
    before, began = lines(out), time.monotonic()
    os.killpg(process.pid, which)
    process.communicate(timeout=60)
    tally.signals += 1
    tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
    tally.wrong_code += process.returncode not in (128 + which, 0)  # 0: it was done at that very moment
    tally.orphans += len(psutil.wait_procs(family, timeout=3)[1])
    tally.lost += lines(out)[: len(before)] != before


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100)
    with tempfile.TemporaryDirectory() as folder:
        tally = soak(parser.parse_args().count, Path(folder))
    print(tally)
    raise SystemExit(not tally.clean)


if __name__ == "__main__":
    main()
