"""records.jsonl: what was acknowledged is there after any crash, once."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sample_batch import answer
from xraygpt_edge.errors import BundleIncompatible, OutputError, UsageError
from xraygpt_edge.ledger import Answered, Failed, Ledger, Records, record_of
from xraygpt_edge.records import Answer, Failure
from xraygpt_edge.reports.rows import read_batch

FAILURE = Failure("E-DCM-005", "the file was cut short.", 4)


Written = tuple[Answer | Failure, str, str, str, int]


def record(path: str, status: str = "ok", attempt: int = 1, question: str = "findings?") -> Written:
    """What the ledger is given."""
    return answer(question=question) if status == "ok" else FAILURE, "0", path, question, attempt


def as_json(written: Written) -> dict[str, Any]:
    return json.loads(json.dumps(record_of(*written)))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(entry.line) for entry in Records(folder)]


def written(folder: Path, *rows: Written) -> bytes:
    with closing(Ledger(folder)) as ledger:
        for row in rows:
            ledger.append(*row)
    return (folder / "records.jsonl").read_bytes()


def test_a_record_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        ledger.append(*record("a.png"))
        assert lines(tmp_path) == [as_json(record("a.png"))]


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


@pytest.mark.long
def test_a_last_line_cut_at_any_byte_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    whole = written(tmp_path, record("a.png"), record("b.png"))
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        (tmp_path / "records.jsonl").write_bytes(whole[:end])
        with closing(Ledger(tmp_path)) as ledger:
            assert ledger.cut_bytes == end - first
            assert not ledger.is_done("b.png", "findings?")
            ledger.append(*record("b.png"))
        assert (tmp_path / "records.jsonl").read_bytes() == whole


def test_zeros_after_a_power_cut_are_taken_away(tmp_path: Path) -> None:
    whole = written(tmp_path, record("a.png"))
    (tmp_path / "records.jsonl").write_bytes(whole + bytes(300))
    assert written(tmp_path) == whole


def test_a_report_leaves_a_line_that_a_crash_cut_off_out_says_so_and_changes_nothing(tmp_path: Path) -> None:
    whole = written(tmp_path, record("a.png"), record("b.png"))
    first = whole.index(b"\n") + 1
    for torn in (whole[:-1], whole[: first + 1], whole[:first] + bytes(300), whole[:first] + b"{}\n"):
        (tmp_path / "records.jsonl").write_bytes(torn)
        batch = read_batch(tmp_path)
        assert [row.path for row in batch.answered] == ["a.png"]
        assert batch.torn_bytes == len(torn) - first
        assert (tmp_path / "records.jsonl").read_bytes() == torn


@pytest.mark.parametrize("read", [Ledger, read_batch], ids=["batch", "report"])
@pytest.mark.parametrize("damage", [b"{}", b"", b"{", b"[]", b"\xff", bytes(300), b'{"schema": 1, "status": "maybe"}'])
def test_a_damaged_line_with_another_behind_it_is_refused_by_its_number_by_batch_and_report(
    tmp_path: Path, read: Any, damage: bytes
) -> None:
    first, second = written(tmp_path, record("a.png"), record("b.png")).splitlines(keepends=True)
    damaged = first + damage + b"\n" + second
    (tmp_path / "records.jsonl").write_bytes(damaged)
    with pytest.raises(OutputError, match="line 2") as caught:
        read(tmp_path)
    assert caught.value.error_id == "E-OUT-003"
    assert (tmp_path / "records.jsonl").read_bytes() == damaged


@pytest.mark.parametrize("read", [Ledger, read_batch], ids=["batch", "report"])
def test_a_record_of_a_newer_version_is_refused_by_batch_and_report(tmp_path: Path, read: Any) -> None:
    newer = written(tmp_path, record("a.png")) + json.dumps({**as_json(record("b.png")), "schema": 2}).encode() + b"\n"
    (tmp_path / "records.jsonl").write_bytes(newer)
    with pytest.raises(BundleIncompatible, match="line 2: version 2"):
        read(tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == newer


def test_a_line_comes_back_as_a_typed_row(tmp_path: Path) -> None:
    written(tmp_path, record("a.png"), record("b.png", "failed", attempt=2))
    first, second = [entry.row for entry in Records(tmp_path)]
    assert isinstance(first, Answered)
    assert first.input == answer().input
    assert isinstance(second, Failed)
    assert (second.error_id, second.attempt, second.file) == ("E-DCM-005", 2, Path("b.png"))


def test_a_folder_without_records_has_none_to_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no records"):
        list(Records(tmp_path))


def test_a_question_with_half_a_character_is_known_again(tmp_path: Path) -> None:
    question = os.fsdecode(b"caf\xe9?")
    written(tmp_path, record("a.png", question=question))
    with closing(Ledger(tmp_path)) as ledger:
        assert ledger.is_ok("a.png", question)
    assert read_batch(tmp_path).answered[0].question == question


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("precious")
    (tmp_path / "records.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError):
        Ledger(tmp_path)
    assert (tmp_path / "elsewhere").read_text() == "precious"


@given(st.binary(min_size=1, max_size=60).filter(lambda raw: b"\0" not in raw))
def test_any_file_name_comes_back_as_it_was(raw: bytes) -> None:
    path = os.fsdecode(raw)
    with TemporaryDirectory() as folder:
        written(Path(folder), record(path))
        (row,) = [entry.row for entry in Records(Path(folder))]
    assert row.own_path == path
    row.path.encode("utf-8")
