"""`replay`: kept answers asked again, of the very files, and held against what was kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xraygpt_edge.cli.app import run

QUESTION = "Describe the given chest x-ray image in detail."


@pytest.fixture(scope="module")
def films(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for path in sorted((root / "examples").glob("*.dcm"))[:2]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def batch(films: Path, demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "batch"
    more = ("--bundle", str(demo), "--parallel", "2", "--question", QUESTION, "--quiet")
    assert run(["batch", str(films), "--out", str(out), *more]) == 0
    return out


def replayed(capsys: pytest.CaptureFixture[str], batch: Path, films: Path, *more: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = run(["replay", str(batch), "--images", str(films), "--json", *more])
    return code, json.loads(capsys.readouterr().out)


def changed(batch: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The same records with the first one changed."""
    rows = [json.loads(line) for line in (batch / "records.jsonl").read_text("ascii").splitlines()]
    change(rows[0])
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "ascii")
    return folder


def test_a_batch_asked_again_says_the_same_with_the_same_log_odds(capsys, batch: Path, films: Path) -> None:
    code, found = replayed(capsys, batch, films)
    assert code == 0
    assert [row["result"] for row in found["rows"]] == ["the same"] * 2
    assert all(float(row["log-odds moved"]) <= 0.05 for row in found["rows"])


def another_word(row: dict[str, Any]) -> None:
    row["text"] += " No."


def moved_log_odds(row: dict[str, Any]) -> None:
    row["trust"]["findings"][0]["log_odds"] += 0.06


@pytest.mark.parametrize(("change", "text"), [(another_word, "differs"), (moved_log_odds, "same")])
def test_another_word_or_moved_log_odds_end_with_18(capsys, batch, films, tmp_path, change, text: str) -> None:
    code, found = replayed(capsys, changed(batch, tmp_path, change), films)
    assert code == 18
    assert [(row["text"], row["result"]) for row in found["rows"]] == [(text, "another one"), ("same", "the same")]


def test_a_changed_or_missing_file_is_left_out_and_the_others_go_on(capsys, batch, films, tmp_path: Path) -> None:
    shutil.copytree(films, tmp_path / "films")
    first, second = sorted((tmp_path / "films").iterdir())
    first.write_bytes(first.read_bytes() + b"\0\0")
    code, found = replayed(capsys, batch, tmp_path / "films")
    assert code == 3
    assert sorted(row["result"] for row in found["rows"]) == ["not asked again: E-REP-011", "the same"]
    second.unlink()
    code, found = replayed(capsys, batch, tmp_path / "films")
    assert code == 3
    assert {row["result"] for row in found["rows"]} == {"not asked again: E-REP-011", "not asked again: E-REP-010"}


def test_records_of_another_model_are_refused_before_anything_is_asked(capsys, batch, films, tmp_path: Path) -> None:
    code, found = replayed(capsys, changed(batch, tmp_path, lambda row: row["bundle"].update(id="other")), films)
    assert (code, found["error_id"]) == (2, "E-TRU-011")


def test_a_folder_without_records_is_refused(capsys, films: Path, tmp_path: Path) -> None:
    assert replayed(capsys, tmp_path, films)[1]["error_id"] == "E-REP-001"


def test_an_answer_that_ran_out_of_time_is_compared_as_far_as_it_went(capsys, batch, films, tmp_path: Path) -> None:
    def cut(row: dict[str, Any]) -> None:
        row["text"], row["finish_reason"] = row["text"][:20], "timeout"

    assert replayed(capsys, changed(batch, tmp_path, cut), films)[0] == 0
