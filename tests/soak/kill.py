"""kill -9 at random moments: `python -m tests.soak.kill --count 200`.

A batch is started again and again in one folder, and each time the parent, the model process or both are
killed at a random moment, until one run comes to its end. What was acknowledged must still be there.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.soak.folder import command, content, finish, keys, lines, start, write_bundle, write_folder

FILES = 24
DELAY_S = 0.02
GONE_WITHIN_S = 3.0


@dataclass
class Tally:
    kills: dict[str, int] = field(default_factory=lambda: {"parent": 0, "worker": 0, "both": 0})
    lost: int = 0
    twice: int = 0
    different: int = 0
    orphans: int = 0
    batches: int = 0

    @property
    def total(self) -> int:
        return sum(self.kills.values())

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.different or self.orphans)


def soak(count: int, root: Path, seed: int = 0) -> Tally:
    """Kill so many times; every round is a batch of its own."""
    random_ = random.Random(seed)
    folder = write_folder(root / "films", FILES, (b"OK", b"OK", b"BAD", b"OK", b"SR"))
    bundle = write_bundle(root / "bundle")
    began = time.monotonic()
    finish(command(folder, root / "calm", bundle), DELAY_S)
    calm_s = time.monotonic() - began
    wanted = content(root / "calm")
    tally = Tally()
    while tally.total < count:
        out = root / f"out-{tally.batches}"
        run_until_done(command(folder, out, bundle), out, calm_s, random_, tally)
        found = content(out)
        tally.batches += 1
        tally.twice += len(keys(out)) - len(set(keys(out)))
        tally.different += found != wanted
        shutil.rmtree(out)
    return tally


def run_until_done(arguments: list[str], out: Path, calm_s: float, random_: random.Random, tally: Tally) -> None:
    while True:
        process = start(arguments, DELAY_S)
        time.sleep(random_.uniform(0, calm_s))
        if process.poll() is None:
            victim = random_.choice(("parent", "worker", "both"))
            family = psutil.Process(process.pid).children(recursive=True)
            kill(process.pid if victim != "worker" else None, family if victim != "parent" else [])
            tally.kills[victim] += 1
            before = lines(out)
            process.communicate(timeout=60)
            _, alive = psutil.wait_procs(family, timeout=GONE_WITHIN_S)
            tally.orphans += len(alive)
            tally.lost += lines(out)[: len(before)] != before
        else:
            process.communicate()
        if process.returncode == 3:  # it holds films that are refused
            return
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError(f"exit code {process.returncode}")


def kill(parent: int | None, family: list[psutil.Process]) -> None:
    victims = [*([psutil.Process(parent)] if parent else []), *family]
    for victim in victims:
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        tally = soak(options.count, Path(folder), options.seed)
        print(f"{tally} in {time.monotonic() - began:.0f} s")
    raise SystemExit(not tally.clean)


if __name__ == "__main__":
    main()
