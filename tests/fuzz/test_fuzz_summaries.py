"""Hostile reports end as a record, one each, whatever is in them."""

from __future__ import annotations

import builtins
import os
from pathlib import Path

import pytest

from tests.fuzz.summaries import MADE, make
from xraygpt_edge.summarize import records
from xraygpt_edge.summarize.run import Job, run
from xraygpt_edge.summarize.sources import Source


def check(folder: Path, numbers: range, monkeypatch: pytest.MonkeyPatch) -> None:
    """One record each, and nothing opened outside of both folders."""
    reports = folder / "reports"
    reports.mkdir()
    for number in numbers:
        ending, data = make(number)
        (reports / f"{number:07}{ending}").write_bytes(data)
    opened: list[str] = []
    real_open, real_os_open = builtins.open, os.open
    monkeypatch.setattr(builtins, "open", lambda name, *a, **k: (opened.append(str(name)), real_open(name, *a, **k))[1])
    monkeypatch.setattr(
        os, "open", lambda name, *a, **k: (opened.append(os.fsdecode(name)), real_os_open(name, *a, **k))[1]
    )
    totals = run(Job(Source(reports)), folder / "out")
    monkeypatch.undo()
    rows = list(records.rows(folder / "out"))
    assert len(rows) == len({row.path for row in rows}) == totals.found == len(numbers)
    assert [name for name in opened if not name.startswith(str(folder))] == []
    assert all("\n" not in row.message for row in rows if isinstance(row, records.Failed))


def test_a_few_hostile_reports_end_as_one_record_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(tmp_path, range(10 * len(MADE)), monkeypatch)


@pytest.mark.fuzz
@pytest.mark.timeout(1200)
def test_a_thousand_hostile_reports_end_as_one_record_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(tmp_path, range(5_000_000, 5_001_000), monkeypatch)
