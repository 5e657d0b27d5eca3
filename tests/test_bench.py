"""`bench`: where the time goes on this machine. No figure of a clock is tested, only that each is there and adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xraygpt_edge.bench import ANSWER_TOKENS


@pytest.fixture(scope="module")
def told(demo: Path):  # type: ignore[no-untyped-def]
    words = [sys.executable, "-m", "xraygpt_edge", "bench", "--bundle", str(demo), "--threads", "1"]
    done = [subprocess.run([*words, *more], capture_output=True, text=True, timeout=120) for more in ((), ("--json",))]
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    return done[0].stdout, json.loads(done[1].stdout)


def test_every_stage_is_told_with_memory_and_the_machine_beside_it(told) -> None:
    page, _ = told
    names = ["load", "read", "vision", "prompt", "answer", "panel", "first token", "total", "peak memory", "machine"]
    names.append("batch")
    assert [line.split("  ")[0].strip() for line in page.splitlines()[1 : len(names) + 1]] == names


def test_json_says_what_was_measured_and_the_sums_are_those_of_the_stages(told) -> None:
    _, account = told
    stages, sums = account["stages"], account["sums"]
    assert all(value > 0 for value in (*stages.values(), *account["floor"].values()))
    first = stages["read_s"] + stages["vision_s"] + stages["prefill_s"]
    assert sums["first_token_s"] == pytest.approx(first)
    rest = (ANSWER_TOKENS - 1) / stages["tokens_per_s"]
    assert sums["total_s"] == pytest.approx(stages["load_s"] + first + rest)
    per_s = account["bytes_per_token"] * stages["tokens_per_s"]
    assert account["decode_share"] == pytest.approx(per_s / account["floor"]["memory_bytes_per_s"])
    assert (account["bundle"]["id"], account["engine"]["threads"]) == ("demo", 1)
    assert stages["panel_questions"] == 13


def test_the_weights_that_a_token_needs_are_the_file_without_its_embedding(told, demo: Path) -> None:
    _, account = told
    file_bytes = (demo / "language-Q8_0.gguf").stat().st_size
    assert 0.85 * file_bytes < account["bytes_per_token"] < file_bytes
