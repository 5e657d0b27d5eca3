"""What reports promise about the records that they are given."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.sample_batch import QUESTION, answer, record, source, write_batch
from xraygpt_edge.cli.app import run
from xraygpt_edge.errors import BundleIncompatible, InputRefused, OutputError, UsageError
from xraygpt_edge.records import Failure
from xraygpt_edge.reports import DEFAULT_NAMES, FORMATS
from xraygpt_edge.reports.rows import read_batch

FAILURE = Failure("E-DCM-005", "the file was cut short.", 4)


def test_a_folder_without_records_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no records"):
        read_batch(tmp_path)


def test_records_of_a_newer_version_are_refused_with_code_13(tmp_path: Path, capsys) -> None:
    batch = write_batch(tmp_path / "b", [record(answer(), "a.dcm", schema=2)])
    with pytest.raises(BundleIncompatible, match="version 2"):
        read_batch(batch)
    assert run(["report", str(batch), "--to", "csv"]) == 13
    assert "E-REP-002" in capsys.readouterr().err
    assert not (batch / "report.csv").exists()


def test_a_newer_summary_is_refused_too(tmp_path: Path) -> None:
    batch = write_batch(tmp_path / "b", [record(answer(), "a.dcm")], {"schema": 9})
    with pytest.raises(BundleIncompatible):
        read_batch(batch)


def test_fields_that_a_later_program_adds_do_no_harm(tmp_path: Path) -> None:
    batch = write_batch(tmp_path / "b", [record(answer(), "a.dcm", new_field={"x": 1})])
    assert [row.text for row in read_batch(batch).answered] == ["The lungs are clear."]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        "{}",
        '{"schema": 1}',
        '{"schema": 1, "status": "maybe"}',
        '{"schema": "1"}',
        "[" * 5000,
        "\xff",
    ],
)
def test_a_damaged_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    batch = write_batch(tmp_path / "b", [record(answer(), "a.dcm")])
    with (batch / "records.jsonl").open("ab") as stream:
        stream.write(line.encode("latin-1") + b"\n" + json.dumps(record(answer(), "b.dcm")).encode() + b"\n")
    with pytest.raises(OutputError, match=r"line 2"):
        read_batch(batch)
    assert run(["report", str(batch), "--to", "csv"]) == 16


@pytest.mark.parametrize("name", ["summary.json", "job.json"])
def test_a_damaged_file_beside_the_records_is_named(tmp_path: Path, name: str) -> None:
    batch = write_batch(tmp_path / "b", [record(answer(), "a.dcm")])
    (batch / name).write_text("{")
    with pytest.raises(InputRefused, match=name):
        read_batch(batch)


def test_a_line_that_a_crash_cut_off_does_not_count_and_the_command_says_so(tmp_path: Path, capsys) -> None:
    batch = write_batch(tmp_path / "b", [record(answer(), "a.dcm")])
    with (batch / "records.jsonl").open("a", encoding="ascii") as stream:
        stream.write(json.dumps(record(answer(), "b.dcm"))[:200])
    assert len(read_batch(batch).answered) == 1
    assert run(["report", str(batch), "--to", "json"]) == 0
    assert "the last record, which is not whole" in capsys.readouterr().err
    assert len(json.loads((batch / "report.json").read_text("ascii"))["records"]) == 1
    run(["report", str(batch), "--to", "csv", "--json"])
    assert json.loads(capsys.readouterr().out)["torn_bytes"] == 200


def test_a_later_attempt_replaces_the_failure_before_it(tmp_path: Path) -> None:
    lines = [record(FAILURE, "a.dcm"), record(FAILURE, "b.dcm"), record(answer(), "a.dcm", attempt=2)]
    batch = read_batch(write_batch(tmp_path / "b", lines))
    assert [row.path for row in batch.answered] == ["a.dcm"]
    assert [row.path for row in batch.failed] == ["b.dcm"]


def test_several_questions_about_one_file_stay_together(tmp_path: Path) -> None:
    lines = [record(answer(question=q), p, question=q) for p in ("a.dcm", "b.dcm") for q in ("one?", "two?")]
    grouped = read_batch(write_batch(tmp_path / "b", lines)).radiographs
    assert [[row.question for row in each.answers] for each in grouped] == [["one?", "two?"]] * 2


def test_answers_come_in_the_order_of_files_and_questions_whatever_was_computed_first(tmp_path: Path) -> None:
    asked = [("b.dcm", "two?"), ("a.dcm", "one?"), ("b.dcm", "one?"), ("a.dcm", "two?")]
    folder = write_batch(tmp_path / "b", [record(answer(question=q), p, question=q) for p, q in asked])
    for questions in (["two?", "one?"], ["one?", "two?"]):
        (folder / "job.json").write_text(json.dumps({"schema": 1, "questions": questions}))
        grouped = read_batch(folder).radiographs
        assert [each.first.path for each in grouped] == ["a.dcm", "b.dcm"]
        assert [[row.question for row in each.answers] for each in grouped] == [questions] * 2


def test_a_file_that_fails_for_every_question_is_named_once(tmp_path: Path) -> None:
    lines = [record(FAILURE, path, question=q) for q in ("one?", "two?") for path in ("b.dcm", "a.dcm")]
    batch = read_batch(write_batch(tmp_path / "b", lines))
    assert [row.path for row in batch.failures] == ["a.dcm", "b.dcm"]
    assert len(batch.failed) == 4


def test_a_name_that_is_not_utf8_is_shown_escaped_and_found_exactly(tmp_path: Path) -> None:
    raw = b"caf\xe9_\xff\n.dcm"
    row = read_batch(write_batch(tmp_path / "b", [record(answer(), raw.decode("utf-8", "surrogateescape"))])).answered[
        0
    ]
    assert bytes(row.file) == raw
    assert row.shown_path == "caf\\xe9_\\xff .dcm"


@pytest.mark.parametrize("hostile", ["../../x", "CON/..", "a" * 300, "", ".hidden", "a/b", "a\0b", "-rf \n"])
def test_a_files_name_never_comes_from_a_hostile_id(tmp_path: Path, hostile: str) -> None:
    row = read_batch(write_batch(tmp_path / "b", [record(answer(), "a.dcm", id=hostile)])).answered[0]
    assert row.file_stem == "" or set(row.file_stem) <= set("0123456789abcdef")
    assert len(row.file_stem) == 16


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"dicom-sr", "maps"}))
def test_every_report_is_private_carries_the_notice_and_leaves_the_records_alone(tmp_path: Path, name: str) -> None:
    lines = [record(answer(input=source(kind="png")), "a.png"), record(FAILURE, "b.dcm")]
    batch = write_batch(tmp_path / "b", lines)
    before = (batch / "records.jsonl").read_bytes()
    assert run(["report", str(batch), "--to", name, "--quiet"]) == 0
    target = batch / DEFAULT_NAMES[name]
    files = sorted(target.iterdir()) if target.is_dir() else [target]
    assert len(files) == 1
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    assert "Every statement needs review by a qualified clinician." in files[0].read_text("utf-8")
    assert (batch / "records.jsonl").read_bytes() == before
    assert [p for p in target.parent.iterdir() if p.name.startswith(".")] == []


def test_the_json_report_holds_the_records_word_for_word(tmp_path: Path) -> None:
    lines = [record(answer("=1+1 <b>\u202e"), "a.dcm"), record(FAILURE, "b.dcm")]
    batch = write_batch(tmp_path / "b", lines, {"schema": 1, "found": 2})
    assert run(["report", str(batch), "--to", "json", "--quiet"]) == 0
    document = json.loads((batch / "report.json").read_text("ascii"))
    assert document["records"] == json.loads(json.dumps(lines))
    assert document["summary"] == {"schema": 1, "found": 2}


def test_an_empty_batch_still_gives_every_report(tmp_path: Path) -> None:
    batch = write_batch(tmp_path / "b", [], {"schema": 1, "found": 0, "ok": 0, "failed": 0, "skipped": 0})
    for name in FORMATS:
        assert run(["report", str(batch), "--to", name, "--images", str(tmp_path), "--quiet"]) == 0
    assert json.loads((batch / "report.json").read_text())["records"] == []


def test_a_format_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    assert run(["report", str(write_batch(tmp_path / "b", [])), "--to", "docx"]) == 2


def test_a_place_that_cannot_be_written_is_code_16(tmp_path: Path) -> None:
    batch = write_batch(tmp_path / "b", [record(answer(), "a.dcm")])
    (tmp_path / "file").write_text("")
    assert run(["report", str(batch), "--to", "csv", "--out", str(tmp_path / "file" / "x.csv")]) == 16
    assert run(["report", str(batch), "--to", "fhir", "--out", str(tmp_path / "file" / "x")]) == 16


def test_what_was_written_is_told_as_json(tmp_path: Path, capsys) -> None:
    batch = write_batch(tmp_path / "b", [record(answer(question=QUESTION), "gone.dcm")])
    code = run(["report", str(batch), "--to", "dicom-sr", "--images", str(tmp_path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (code, told["files"], told["left_out"][0]["error_id"]) == (3, 0, "E-REP-010")
