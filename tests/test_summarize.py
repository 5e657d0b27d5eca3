"""`summarize` from end to end: sources, records, resuming, outputs, and nothing of a patient in a message."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from export.demo.reports import sample_report
from xraygpt_edge.cli.app import run as run_command
from xraygpt_edge.errors import UsageError
from xraygpt_edge.ledger import Records
from xraygpt_edge.summarize import records, sources
from xraygpt_edge.summarize import run as running
from xraygpt_edge.summarize.images import Images
from xraygpt_edge.summarize.images import read as read_images
from xraygpt_edge.summarize.outputs import FORMATS, View, write
from xraygpt_edge.summarize.run import Job, run
from xraygpt_edge.summarize.sources import Source

SAID = "The lungs are clear. The heart is normal in size. No pleural effusion."
GOOD = f"FINDINGS: {SAID}\n\nIMPRESSION: No acute disease.\n"
TEXT = "The lungs are clear. The heart is normal in size. No pleural effusion. No acute disease."
OPENI = """<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR7"/><Abstract>
<AbstractText Label="INDICATION">Cough</AbstractText>
<AbstractText Label="FINDINGS">The lungs are clear. The heart is normal in size. No pleural effusion.</AbstractText>
<AbstractText Label="IMPRESSION">No acute disease.</AbstractText></Abstract>
<parentImage id="CXR7_IM-1"/><parentImage id="CXR7_IM-2"/></eCitation>"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tree as MIMIC-CXR has it, an OpenI file, and what is no report."""
    tree = tmp_path / "reports" / "p10" / "p10000032"
    tree.mkdir(parents=True)
    (tree / "s50414267.txt").write_text(GOOD, "utf-8")
    (tree / "s50414268.txt").write_text("IMPRESSION: No acute disease.\n", "utf-8")
    (tree / "s50414269.txt").write_bytes(b"FINDINGS: \xff\xfe clear\n")
    (tmp_path / "reports" / "7.xml").write_text(OPENI, "utf-8")
    (tmp_path / "reports" / "notes.pdf").write_bytes(b"%PDF")
    return tmp_path / "reports"


def rows(out: Path) -> list[records.Row]:
    return list(records.rows(out))


def test_a_folder_becomes_one_record_a_report_and_counts_by_reason(folder: Path, tmp_path: Path) -> None:
    totals = run(Job(Source(folder)), tmp_path / "out")
    assert (totals.found, totals.kept, totals.failed) == (4, 2, 1)
    assert totals.left_out == {"no findings section": 1}
    assert totals.errors == {"E-SUM-010": 1}
    assert totals.skipped == {"not a report": 1}
    assert totals.corpus == "OpenI"  # the first of them
    found = {row.path: row for row in rows(tmp_path / "out")}
    kept = found["p10/p10000032/s50414267.txt"]
    assert (kept.text, kept.study) == (TEXT, "s50414267")
    assert found["7.xml"].images == ("CXR7_IM-1", "CXR7_IM-2")
    assert found["7.xml"].text == TEXT
    summary = json.loads((tmp_path / "out" / "summary.json").read_text("ascii"))
    assert summary["published"]["MIMIC-CXR"] == {"found": 227827, "kept": 114690}


def test_running_again_does_nothing_twice_and_another_job_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(Job(Source(folder)), out)
    before = (out / "records.jsonl").read_bytes()
    assert run(Job(Source(folder)), out).found == 4
    assert (out / "records.jsonl").read_bytes() == before
    with pytest.raises(UsageError, match="other encoding"):
        run(Job(Source(folder, "latin-1")), out)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.77, 0.99])
def test_a_run_cut_off_anywhere_goes_on_with_none_lost_and_none_twice(
    tmp_path: Path, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill leaves it: what was written up to some byte, the last line torn. Real kills: the slow test."""
    table = tmp_path / "reports.jsonl"
    table.write_text("".join(json.dumps({"id": n, "text": GOOD}) + "\n" for n in range(8)), "utf-8")
    monkeypatch.setattr(running, "AT_ONCE", 3)
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(Job(Source(table)), whole)
    run(Job(Source(table)), out)
    data = (out / "records.jsonl").read_bytes()
    (out / "records.jsonl").write_bytes(data[: int(len(data) * share)])
    assert run(Job(Source(table)), out).kept == 8
    assert (out / "records.jsonl").read_bytes() == (whole / "records.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'study,text\n1,"FINDINGS: The lungs are clear. {more}\n\nIMPRESSION: No acute disease."\n'),
        ("a.csv", "study_id,findings,impression\n1,The lungs are clear. {more},No acute disease.\n"),
        (
            "a.jsonl",
            '{{"id": "1", "report": "FINDINGS: The lungs are clear. {more}\\n\\nIMPRESSION: No acute disease."}}\n',
        ),
        ("a.jsonl", '{{"id": 1, "findings": "The lungs are clear. {more}", "impression": "No acute disease."}}\n'),
    ],
)
def test_tables_are_read_by_the_names_of_their_columns(tmp_path: Path, name: str, text: str) -> None:
    more = "The heart is normal in size. No pleural effusion."
    (tmp_path / name).write_text(text.format(more=more), "utf-8")
    run(Job(Source(tmp_path / name)), tmp_path / "out")
    (row,) = rows(tmp_path / "out")
    assert (row.path, row.study, row.text) == (f"{name}#1", "1", TEXT)


def test_columns_may_have_other_names_and_a_missing_one_is_said(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text(f'number,words\n4,"{GOOD}"\n', "utf-8")
    with pytest.raises(UsageError, match="no column of reports"):
        run(Job(Source(table)), tmp_path / "out")
    run(Job(Source(table, columns=sources.Columns("number", "words"))), tmp_path / "other")
    assert [(row.study, row.text) for row in rows(tmp_path / "other")] == [("4", TEXT)]


def test_a_bad_row_is_one_failure_and_the_next_goes_on(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    good = GOOD.strip().replace("\n\n", " ")
    lines = [b"id,text", b"1," + good.encode(), b"2,a,b", b"3,\xff", b"4,\x00", b"5," + good.encode()]
    table.write_bytes(b"\n".join(lines) + b"\n")
    totals = run(Job(Source(table)), tmp_path / "out")
    assert [getattr(row, "error_id", "ok") for row in rows(tmp_path / "out")] == [
        "ok", "E-SUM-015", "E-SUM-010", "E-SUM-012", "ok",
    ]  # fmt: skip
    assert (totals.kept, totals.failed) == (2, 3)


def test_an_encoding_is_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(GOOD.replace("clear", "cl\u00e9ar").encode("latin-1"))
    assert run(Job(Source(path)), tmp_path / "out").errors == {"E-SUM-010": 1}
    assert run(Job(Source(path, "latin-1")), tmp_path / "other").kept == 1
    with pytest.raises(UsageError, match="encoding is not known"):
        run(Job(Source(path, "rot13")), tmp_path / "third")


def test_a_report_comes_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    assert run(Job(Source(Path("-"))), tmp_path / "out").kept == 1


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a><AbstractText Label="FINDINGS">x</AbstractText></a>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a><AbstractText>&b;</AbstractText></a>',
        "<a><AbstractText>",
        "<a/>",
        "<a>" * 100,
        '<?xml version="1.0" encoding="nonsense"?><a/>',
    ],
)
def test_an_xml_file_that_declares_or_lacks_anything_is_refused(tmp_path: Path, document: str) -> None:
    (tmp_path / "a.xml").write_text(document, "utf-8")
    assert run(Job(Source(tmp_path / "a.xml")), tmp_path / "out").errors == {"E-SUM-013": 1}


def test_links_pipes_and_huge_files_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text(GOOD, "utf-8")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "long.txt").write_text("a" * (sources.MOST_BYTES + 1), "utf-8")
    totals = run(Job(Source(folder)), tmp_path / "out")
    assert (totals.errors, totals.skipped) == ({"E-SUM-011": 1}, {"link": 1})


def test_every_output_is_what_its_reader_wants(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(Job(Source(folder)), out)
    table = tmp_path / "images.csv"
    table.write_text("study_id,dicom_id,path\n50414267,aaa-1,films/1.jpg\n50414267,aaa-2,films/2.jpg\n", "utf-8")
    images = read_images(table)
    for name in FORMATS:
        write(name, View(out, out / name, images))
    cap = json.loads((out / "filter-cap").read_text("utf-8"))["annotations"]
    assert [entry["image_id"] for entry in cap] == ["CXR7_IM-1", "CXR7_IM-2", "aaa-1", "aaa-2"]
    assert {entry["caption"] for entry in cap} == {TEXT}
    lines = [json.loads(line) for line in (out / "references").read_text("utf-8").splitlines()]
    assert [line["path"] for line in lines] == ["CXR7_IM-1", "CXR7_IM-2", "films/1.jpg", "films/2.jpg"]
    with (out / "csv").open(encoding="utf-8-sig", newline="") as stream:
        assert [row["status"] for row in csv.DictReader(stream)] == ["ok", "ok", "left out", "failed"]
    assert write("filter-cap", View(out, out / "none", Images())).without_image == 1


def test_the_page_strikes_removed_pieces_through_and_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(GOOD.replace("No pleural", "The <b>aorta</b> is unchanged. No pleural"), "utf-8")
    run(Job(Source(path)), tmp_path / "out")
    write("html", View(tmp_path / "out", tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text("utf-8")
    assert '<del title="comparison">The &lt;b&gt;aorta&lt;/b&gt; is unchanged.</del>' in page
    assert f"<p>{TEXT}</p>" in page
    assert "<script" not in page


def test_references_are_what_evaluate_reads(folder: Path, tmp_path: Path) -> None:
    from xraygpt_edge.evaluate import keyed

    out = tmp_path / "out"
    run(Job(Source(folder)), out)
    write("references", View(out, out / "references.jsonl"))
    found = keyed.read(out / "references.jsonl", "E-EVA-001")
    assert found.by_path["CXR7_IM-1"]["text"] == TEXT
    assert found.by_id["s50414267"]["text"] == TEXT


def test_the_command_prints_counts_beside_the_published_ones(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(["summarize", str(folder), "--out", str(tmp_path / "out"), "--to", "csv", "--to", "html"])
    said = capsys.readouterr()
    assert code == 3  # one of them failed
    assert "4 reports: 2 kept, 1 left out, 1 failed." in said.out
    assert "Published for MIMIC-CXR: 227,827 reports, 114,690 kept" in said.out
    assert (tmp_path / "out" / "summaries.html").is_file()
    assert run_command(["summarize", str(folder), "--out", str(tmp_path / "out"), "--quiet", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["kept"] == 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["nowhere"], "E-SUM-001"),
        (["reports", "--encoding", "hex"], "E-SUM-004"),
        (["reports", "--mode", "cloud"], "E-USE-001"),
        (["reports", "--columns", "text"], "E-USE-001"),
        (["reports", "--mode", "rewrite", "--bundle", "demo-without-prompt"], "E-"),
        (["reports/p10", "--to", "filter-cap"], "E-SUM-005"),
    ],
)
def test_a_wrong_option_is_one_line(
    folder: Path, words: list[str], error: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert run_command(["summarize", *words, "--out", "out", "--quiet"]) in (2, 10)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in lines if "error" in line]) == 1
    assert error in lines[-1]


def test_synthetic_reports_are_the_same_for_the_same_seed() -> None:
    assert sample_report(53_000_001) == sample_report(53_000_001)
    assert len({sample_report(seed).text for seed in range(53_000_000, 53_000_040)}) == 40


def test_records_of_summaries_are_read_by_their_own_types(folder: Path, tmp_path: Path) -> None:
    run(Job(Source(folder)), tmp_path / "out")
    assert sum(1 for _ in Records(tmp_path / "out", records.Row)) == 4
