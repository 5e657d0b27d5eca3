"""Many starts at once on one folder: `python -m tests.soak.locks --rounds 50`. One wins, the others exit 11."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from threading import Thread

from tests.soak.folder import command, keys, start, write_bundle, write_folder

STARTS = 20
FILES = 10
DELAY_S = 1.0
"""Long enough for the winner to be still there when the last one comes."""


def contend(root: Path, starts: int = STARTS) -> tuple[Counter[int], float]:
    """Exit codes of one round, and the longest time until a loser was gone, in seconds."""
    folder, bundle = write_folder(root / "films", FILES), write_bundle(root / "bundle")
    arguments = command(folder, root / "out", bundle)
    began = time.monotonic()
    processes = [start(arguments, DELAY_S) for _ in range(starts)]
    codes: Counter[int] = Counter()
    losers_s: list[float] = []

    def wait(process: object) -> None:
        process.communicate(timeout=120)
        codes[process.returncode] += 1
        if process.returncode == 11:
            losers_s.append(time.monotonic() - began)

    waiters = [Thread(target=wait, args=(process,)) for process in processes]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join()
    assert len(set(keys(root / "out"))) == len(keys(root / "out")) == FILES
    return codes, max(losers_s, default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    slowest_s, wrong = 0.0, 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            codes, loser_s = contend(Path(folder))
        wrong += codes != Counter({11: STARTS - 1, 0: 1})
        slowest_s = max(slowest_s, loser_s)
    print(f"{rounds} rounds of {STARTS} starts: {wrong} wrong, the slowest loser was gone after {slowest_s:.1f} s")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
