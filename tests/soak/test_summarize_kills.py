"""`summarize` killed at forty moments of one job and resumed: none lost, none twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from export.demo.report_folder import write_folder
from xraygpt_edge.summarize import records


@pytest.mark.soak
def test_forty_kills_lose_no_report_and_double_none(tmp_path: Path) -> None:
    write_folder(tmp_path / "made", 4000, 63_000_000)
    command = [
        sys.executable,
        "-m",
        "xraygpt_edge",
        "summarize",
        tmp_path / "made" / "reports",
        "--out",
        tmp_path / "out",
    ]
    moments = random.Random(40)
    for _ in range(40):
        process = subprocess.Popen([*command, "--quiet"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.2, 1.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, "--quiet"], check=True)
    paths = [row.path for row in records.rows(tmp_path / "out")]
    assert sorted(paths) == sorted(file.name for file in (tmp_path / "made" / "reports").iterdir())
