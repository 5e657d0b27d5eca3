"""Folders of shards become one batch folder, or nothing happens and the reason is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sample_batch import ENGINE
from tests.sharded import DAMAGED, line, of, write_shard, write_shards
from xraygpt_edge.cli.app import run as command
from xraygpt_edge.errors import BundleIncompatible, Incomplete, Locked, UsageError, XrayGPTError
from xraygpt_edge.ledger import claimed
from xraygpt_edge.reports.rows import read_batch
from xraygpt_edge.scale import Terms, merge

STRICT = Terms()
PARTIAL = Terms(partial=True)


def lines(folder: Path) -> list[bytes]:
    return (folder / "records.jsonl").read_bytes().splitlines(keepends=True)


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_bytes())


def test_every_line_of_every_shard_is_there_byte_for_byte_and_once(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", 200, 7)
    merged = merge(shards, tmp_path / "all", STRICT)
    assert (merged.ok, merged.failed, merged.shards) == (200, 0, 7)
    assert sorted(lines(tmp_path / "all")) == sorted(each for shard in shards for each in lines(shard))
    told = summary(tmp_path / "all")
    assert told["found"] == told["ok"] + told["failed"] + told["skipped"] == 207
    assert [each["shard"] for each in told["shards"]] == [f"{n}/7" for n in range(7)]
    assert sum(each["last_run"]["files"] for each in told["shards"]) == 200
    assert told["partial"] is None


def test_a_report_reads_what_was_merged_as_it_reads_a_batch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    merge(write_shards(tmp_path / "shards", 30, 3), tmp_path / "all", STRICT)
    assert len(read_batch(tmp_path / "all").radiographs) == 30
    for kind in ("csv", "json", "html"):
        assert command(["report", str(tmp_path / "all"), "--to", kind, "--quiet"]) == 0


def test_merging_again_in_any_order_gives_the_same_file(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", 50, 4)
    merge(shards, tmp_path / "all", STRICT)
    before = {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()}
    merge(shards[::-1], tmp_path / "all", STRICT)
    merge([*shards, shards[0], tmp_path / "all"], tmp_path / "all", STRICT)
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == sorted(["all", "shards"])


def test_an_answer_beats_a_failure_and_then_the_later_attempt_counts(tmp_path: Path) -> None:
    again = replace(DAMAGED, message="again.")
    first = [line(DAMAGED, "a.dcm"), line(of("b.dcm"), "b.dcm"), line(DAMAGED, "c.dcm", 3)]
    second = [line(of("a.dcm"), "a.dcm"), line(DAMAGED, "b.dcm", 5), line(again, "c.dcm", 2)]
    shards = [write_shard(tmp_path / name, each, "0/1") for name, each in (("1", first), ("2", second))]
    merged = merge(shards, tmp_path / "all", PARTIAL)
    assert (merged.ok, merged.failed) == (2, 1)
    assert sorted(lines(tmp_path / "all")) == sorted([second[0], first[1], first[2]])


def test_what_a_shard_tried_again_counts_once(tmp_path: Path) -> None:
    tried = [line(DAMAGED, "a.dcm"), line(of("b.dcm"), "b.dcm"), line(of("a.dcm"), "a.dcm", 2)]
    merge([write_shard(tmp_path / "0", tried, "0/1")], tmp_path / "all", STRICT)
    assert lines(tmp_path / "all") == tried[1:]


def test_a_shard_that_was_run_twice_alike_counts_once(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", 20, 2)
    twice = write_shard(tmp_path / "twice", lines(shards[1]), "1/2")
    assert merge([*shards, twice], tmp_path / "all", STRICT).ok == 20
    assert len(lines(tmp_path / "all")) == 20


def test_two_different_answers_about_a_film_are_refused_by_id_and_not_by_name(tmp_path: Path) -> None:
    first = write_shard(tmp_path / "1", [line(of("x.dcm"), "x.dcm"), line(of("DOE^JANE.dcm"), "DOE^JANE.dcm")], "0/1")
    other = replace(of("DOE^JANE.dcm"), text="Something else.")
    second = write_shard(tmp_path / "2", [line(other, "DOE^JANE.dcm")], "0/1")
    with pytest.raises(UsageError, match=other.input.sha256[:16]) as caught:
        merge([first, second], tmp_path / "all", PARTIAL)
    assert caught.value.error_id == "E-SCA-005"
    assert "JANE" not in caught.value.message
    assert str(first) in caught.value.message
    assert str(second) in caught.value.message


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"manifest_sha256": "11" * 32}, "another bundle"),
        ({"questions": ["Other?"]}, "other questions"),
        ({"settings": {"max_tokens": 299}}, "other settings"),
        ({"list_sha256": "22" * 32}, "another list"),
        ({"shard": "1/8"}, "8 shards, not 7"),
        ({"shard": "0/1"}, "1 shards, not 7"),
    ],
)
def test_shards_of_different_jobs_are_refused_by_what_differs(
    tmp_path: Path, facts: dict[str, Any], words: str
) -> None:
    shards = write_shards(tmp_path / "shards", 20, 7)
    other = write_shard(tmp_path / "other", [], **{"shard": "0/7", **facts})
    for terms in (STRICT, PARTIAL):
        with pytest.raises(UsageError, match=words) as caught:
            merge([*shards, other], tmp_path / "all", terms)
        assert caught.value.error_id == "E-SCA-003"
    assert not (tmp_path / "all").exists()


def test_with_a_list_the_films_may_lie_elsewhere_on_each_machine_and_without_one_not(tmp_path: Path) -> None:
    here = write_shard(tmp_path / "0", [line(of("a.dcm"), "a.dcm")], "0/2")
    there = write_shard(tmp_path / "1", [line(of("b.dcm"), "b.dcm")], "1/2", folder_sha256="00" * 32)
    assert merge([here, there], tmp_path / "all", STRICT).ok == 2
    for folder in (here, there):
        facts = json.loads((folder / "job.json").read_text())
        facts.pop("list_sha256")
        (folder / "job.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="another folder of radiographs"):
        merge([here, there], tmp_path / "other", STRICT)


def test_answers_of_several_versions_of_the_program_are_refused(tmp_path: Path) -> None:
    newer = replace(of("b.dcm"), engine=replace(ENGINE, version="9.0"))
    shard = write_shard(tmp_path / "0", [line(of("a.dcm"), "a.dcm"), line(newer, "b.dcm")], "0/1")
    with pytest.raises(UsageError, match=r"program versions: 0\.1\.0, 9\.0"):
        merge([shard], tmp_path / "all", PARTIAL)


Spoil = Callable[[list[Path]], list[Path]]


def without_one(shards: list[Path]) -> list[Path]:
    return shards[:2] + shards[3:]


def without_an_end(shards: list[Path]) -> list[Path]:
    (shards[2] / "summary.json").unlink()
    return shards


def with_a_torn_line(shards: list[Path]) -> list[Path]:
    path = shards[2] / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    return shards


def with_a_later_run_that_was_killed(shards: list[Path]) -> list[Path]:
    with (shards[2] / "records.jsonl").open("ab") as stream:
        stream.write(line(of("new.dcm"), "new.dcm"))
    return shards


def not_begun(shards: list[Path]) -> list[Path]:
    (shards[2] / "summary.json").unlink()
    (shards[2] / "records.jsonl").unlink()
    return shards


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without_one, "shards missing: 2"),
        (without_an_end, "shards unfinished: 2"),
        (with_a_torn_line, "shards unfinished: 2"),
        (with_a_later_run_that_was_killed, "shards unfinished: 2"),
        (not_begun, "shards unfinished: 2"),
    ],
)
def test_what_is_not_complete_is_named_in_numbers_and_merged_only_when_asked(
    tmp_path: Path, spoil: Spoil, words: str
) -> None:
    shards = spoil(write_shards(tmp_path / "shards", 60, 5))
    with pytest.raises(Incomplete, match=words) as caught:
        merge(shards, tmp_path / "all", STRICT)
    assert int(caught.value.code) == 3
    assert not (tmp_path / "all").exists()
    merged = merge(shards, tmp_path / "all", PARTIAL)
    gaps = summary(tmp_path / "all")["partial"]
    assert (gaps["missing"], gaps["unfinished"]) == (list(merged.missing), list(merged.unfinished))
    assert len(lines(tmp_path / "all")) == merged.ok


def test_failures_are_numbered_and_named_in_the_summary(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", 20, 2, lambda path: DAMAGED if path.endswith("3.dcm") else of(path))
    with pytest.raises(Incomplete, match="films that failed: 2"):
        merge(shards, tmp_path / "all", STRICT)
    merge(shards, tmp_path / "all", PARTIAL)
    told = summary(tmp_path / "all")
    assert {each["path"] for each in told["failures"]} == {"p3/film-000003.dcm", "p3/film-000013.dcm"}
    assert (told["errors"], told["partial"]["failed"]) == ({"E-DCM-005": 2}, 2)


@pytest.mark.parametrize(
    "damage", [b"{}\n", b"\n", b"\xff\n", bytes(300) + b"\n", b'{"schema": 1, "status": "maybe"}\n']
)
def test_a_damaged_line_is_named_with_its_file_and_number(tmp_path: Path, damage: bytes) -> None:
    shards = write_shards(tmp_path / "shards", 40, 3)
    first, *others = lines(shards[1])
    (shards[1] / "records.jsonl").write_bytes(first + damage + b"".join(others))
    with pytest.raises(BundleIncompatible, match=rf"{shards[1]}, records\.jsonl, line 2") as caught:
        merge(shards, tmp_path / "all", PARTIAL)
    assert caught.value.error_id == "E-SCA-004"
    assert int(caught.value.code) == 13
    assert not (tmp_path / "all").exists()


def test_kinds_of_processor_are_counted_and_a_mixture_is_refused_when_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def on(path: str) -> Any:
        cpu = "x86_64 avx2" if path < "p5" else "x86_64 avx512f"
        return replace(of(path), engine=replace(ENGINE, cpu=cpu))

    words = list(map(str, write_shards(tmp_path / "shards", 20, 2, on)))
    assert command(["merge", *words, "--out", str(tmp_path / "all"), "--one-cpu"]) == 2
    assert "E-SCA-007" in capfd.readouterr().err
    assert command(["merge", *words, "--out", str(tmp_path / "all")]) == 0
    assert "warning W-SCA-001" in capfd.readouterr().err
    assert summary(tmp_path / "all")["cpus"] == {"x86_64 avx2": 10, "x86_64 avx512f": 10}


def test_records_that_somebody_has_gone_on_with_are_not_replaced(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", 20, 2)
    merge(shards, tmp_path / "all", STRICT)
    (tmp_path / "all" / "report.html").write_text("kept")
    with (tmp_path / "all" / "records.jsonl").open("ab") as stream:
        stream.write(line(of("new.dcm"), "new.dcm"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()}
    with pytest.raises(UsageError) as caught:
        merge(shards, tmp_path / "all", STRICT)
    assert caught.value.error_id == "E-SCA-008"
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "shards"]


def test_two_merges_into_one_folder_at_once_end_with_one(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", 5, 1)
    with claimed(tmp_path / ".all.partial"), pytest.raises(Locked):
        merge(shards, tmp_path / "all", STRICT)
    assert merge(shards, tmp_path / "all", STRICT).ok == 5


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir()], ids=["nowhere", "empty"])
def test_a_folder_that_is_none_of_a_batch_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "other")
    with pytest.raises(UsageError) as caught:
        merge([*write_shards(tmp_path / "shards", 5, 1), tmp_path / "other"], tmp_path / "all", STRICT)
    assert caught.value.error_id == "E-SCA-009"


@pytest.mark.parametrize("name", ["job.json", "summary.json"])
@pytest.mark.parametrize("damage", [b"", b"[]", b'{"schema": 1', b'{"schema": 1, "shard": "9/2", "ok": "many"}'])
def test_a_damaged_job_or_summary_is_one_line_and_nothing_is_written(tmp_path: Path, name: str, damage: bytes) -> None:
    shards = write_shards(tmp_path / "shards", 5, 1)
    (shards[0] / name).write_bytes(damage)
    with pytest.raises(XrayGPTError, match=name):
        merge(shards, tmp_path / "all", STRICT)
    assert not (tmp_path / "all").exists()


def test_the_command_says_what_was_merged_and_3_for_what_is_missing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = list(map(str, write_shards(tmp_path / "shards", 20, 4)[:-1]))
    assert command(["merge", *words, "--out", str(tmp_path / "all")]) == 3
    assert "E-SCA-006" in capfd.readouterr().err
    assert command(["merge", *words, "--out", str(tmp_path / "all"), "--partial", "--json"]) == 3
    told = json.loads(capfd.readouterr().out)
    assert told["missing"] == [3]
