"""records.jsonl: what was acknowledged is there after any crash, once."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xraygpt_edge.errors import OutputError
from xraygpt_edge.ledger.ledger import Ledger, named_path, own_path, read_records


def record(path: str, status: str = "ok", attempt: int = 1, question: str = "findings?") -> dict[str, Any]:
    return {"schema": 1, "id": "0", **named_path(path), "attempt": attempt, "question": question, "status": status}


def written(folder: Path, *rows: dict[str, Any]) -> bytes:
    with closing(Ledger(folder)) as ledger:
        for row in rows:
            ledger.append(row)
    return (folder / "records.jsonl").read_bytes()


def test_a_record_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        ledger.append(record("a.png"))
        assert list(read_records(tmp_path)) == [record("a.png")]


def test_records_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        written(tmp_path, record("a.png"))
    finally:
        os.umask(before)
    assert (tmp_path / "records.jsonl").stat().st_mode & 0o777 == 0o600


def test_what_was_done_is_known_again(tmp_path: Path) -> None:
    written(tmp_path, record("a.png"), record("b.png", "failed", attempt=2))
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.is_ok("a.png", "findings?")
        assert not ledger.is_done("a.png", "other?")
        assert ledger.is_done("b.png", "findings?")
        assert not ledger.is_ok("b.png", "findings?")
        assert ledger.attempts("b.png", "findings?") == 2


def test_a_last_line_cut_at_any_byte_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    whole = written(tmp_path, record("a.png"), record("b.png"))
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        (tmp_path / "records.jsonl").write_bytes(whole[:end])
        with closing(Ledger(tmp_path)) as ledger:
            assert ledger.cut_bytes == end - first
            assert not ledger.is_done("b.png", "findings?")
            ledger.append(record("b.png"))
        assert (tmp_path / "records.jsonl").read_bytes() == whole


def test_zeros_after_a_power_cut_are_taken_away(tmp_path: Path) -> None:
    whole = written(tmp_path, record("a.png"))
    (tmp_path / "records.jsonl").write_bytes(whole + bytes(300))
    assert written(tmp_path) == whole


def test_damage_in_the_middle_is_no_crash_and_stops_the_batch(tmp_path: Path) -> None:
    whole = written(tmp_path, record("a.png"), record("b.png"))
    (tmp_path / "records.jsonl").write_bytes(b"{}\n" + whole)
    with pytest.raises(OutputError, match="line 1"):
        Ledger(tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == b"{}\n" + whole


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "records.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError):
        Ledger(tmp_path)
    assert (tmp_path / "elsewhere").read_text() == "precious"


@given(st.binary(min_size=1, max_size=60).filter(lambda raw: b"\0" not in raw))
def test_any_file_name_comes_back_as_it_was(raw: bytes) -> None:
    path = os.fsdecode(raw)
    line = json.dumps(record(path)).encode("ascii")
    again = json.loads(line)
    assert own_path(again) == path
    again["path"].encode("utf-8")
