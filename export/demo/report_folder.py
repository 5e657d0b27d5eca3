"""Synthetic reports as files, for whoever wants to try `summarize` on them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from .reports import sample_report


def write_folder(out: Path, count: int, seed: int) -> None:
    """Files `reports/NUMBER.txt`, and `truth.jsonl`: sections, what may be left of each sentence, the reason."""
    folder = out / "reports"
    folder.mkdir(parents=True)
    with (out / "truth.jsonl").open("w", encoding="utf-8") as truth:
        for number in range(seed, seed + count):
            report = sample_report(number)
            (folder / f"{number}.txt").write_text(report.text, "utf-8")
            facts = {"path": f"{number}.txt", **asdict(report)}
            facts.pop("text")
            truth.write(json.dumps(facts) + "\n")
