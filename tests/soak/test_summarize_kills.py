"""`summarize` killed at forty moments of one job and resumed: none lost, none twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from export.demo.report_folder import write_folder
from xraygpt_edge.summarize import records


@pytest.mark.soak
def test_forty_kills_lose_no_report_and_double_none(tmp_path: Path) -> None:
    write_folder(tmp_path / "made", 16_000, 63_000_000)
    command = [
        sys.executable,
        "-m",
        "xraygpt_edge",
        "summarize",
        tmp_path / "made" / "reports",
        "--out",
        tmp_path / "out",
    ]
    random = Random(40)
    kept = tmp_path / "out" / "records.jsonl"
    for _ in range(40):
        process = subprocess.Popen([*command, "--quiet"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        before = size(kept)
        while size(kept) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.1))
        assert process.poll() is None, "ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--quiet"], check=True)
    paths = [row.path for row in records.rows(tmp_path / "out")]
    assert sorted(paths) == sorted(file.name for file in (tmp_path / "made" / "reports").iterdir())


def size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
