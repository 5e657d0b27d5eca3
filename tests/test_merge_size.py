"""What a merge of a million records costs; `-s` prints the seconds."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sharded import line, of, write_shard
from xraygpt_edge.batch.shard import share_of

SHARDS = 100
MERGE = r"""
import re, sys, time
from pathlib import Path
from xraygpt_edge.scale import Terms, merge
began = time.monotonic()
merged = merge(sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]), Terms())
peak_kb = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]
print(merged.ok, time.monotonic() - began, int(peak_kb) // 1024)
"""


def write_many(root: Path, n_films: int) -> None:
    """Shards of so many records, each as long as one without trust signals: 1.6 kB."""
    model = line(of("FILM"), "FILM").decode()
    lines: list[list[bytes]] = [[] for _ in range(SHARDS)]
    for number in range(n_films):
        path = f"files/p{number % 97}/{number:08x}.dcm"
        lines[share_of(path, SHARDS)].append(model.replace("FILM", path).encode())
    for number, each in enumerate(lines):
        write_shard(root / f"{number:03d}", each, f"{number}/{SHARDS}", summary=None)
        told = {"schema": 1, "ok": len(each), "failed": 0, "skipped_by_reason": {}, "finished_utc": "", "last_run": {}}
        (root / f"{number:03d}" / "summary.json").write_text(json.dumps(told))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read as Linux tells it")
def test_a_million_records_are_merged_within_a_minute_and_300_mb_and_a_kill_leaves_nothing(tmp_path: Path) -> None:
    write_many(tmp_path / "shards", 1_000_000)
    words = [sys.executable, "-c", MERGE, tmp_path / "shards", tmp_path / "all"]
    killed = subprocess.Popen(words)
    while not list(tmp_path.glob(".all.partial/new/.records*")):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "all").exists()
    ok, seconds, peak_mb = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    print(f"{ok} records: {float(seconds):.1f} s, {peak_mb} MB")
    assert int(ok) == 1_000_000
    assert int(peak_mb) <= 300
    assert sum(1 for _ in (tmp_path / "all" / "records.jsonl").open("rb")) == 1_000_000
    shutil.rmtree(tmp_path / "shards")
