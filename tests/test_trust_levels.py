"""`--trust` of ask, chat and batch: what is said after an answer, and that no answer changes or fails for it."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.drawn_dicom import as_bytes, chest, dataset
from xraygpt_edge.cli.app import run
from xraygpt_edge.encoder import Encoder
from xraygpt_edge.generation.llama import LlamaContext
from xraygpt_edge.trust.assessor import Assessor

QUESTION = "Describe the given chest x-ray image in detail."
LEVELS = ("off", "fast", "full")


@pytest.fixture(scope="module")
def films(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three examples in a folder."""
    folder = tmp_path_factory.mktemp("films")
    for path in sorted((root / "examples").glob("*.dcm"))[:3]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def batches(films: Path, demo: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Records of a folder, by level."""
    folder = tmp_path_factory.mktemp("out")
    for level in LEVELS:
        more = ("--trust", level, "--bundle", str(demo), "--parallel", "2", "--question", QUESTION, "--quiet")
        assert run(["batch", str(films), "--out", str(folder / level), *more]) == 0
    return {level: sorted(records(folder / level), key=lambda row: row["path"]) for level in LEVELS}


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text("ascii").splitlines()]


def asked(capsys: pytest.CaptureFixture[str], image: Path, *more: str, question: str = QUESTION) -> dict[str, Any]:
    assert run(["ask", str(image), question, "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_ask_gives_the_same_tokens_at_every_level_and_off_says_nothing_more(capsys, phantom: Path) -> None:
    answers = {level: asked(capsys, phantom, "--trust", level) for level in LEVELS}
    assert len({tuple(answer["token_ids"]) for answer in answers.values()}) == 1
    assert "trust" not in answers["off"]
    assert [answers[level]["trust"]["level"] for level in ("fast", "full")] == ["fast", "full"]
    assert {s["reliance"] for s in answers["full"]["trust"]["sentences"]} == {"rests"}
    assert {s["reliance"] for s in answers["fast"]["trust"]["sentences"]} == {None}


def test_a_batch_gives_the_same_tokens_at_every_level_and_those_of_ask(capsys, films: Path, batches) -> None:
    ids = {level: [row["token_ids"] for row in rows] for level, rows in batches.items()}
    assert ids["off"] == ids["fast"] == ids["full"]
    assert ids["off"] == [asked(capsys, path, "--trust", "off")["token_ids"] for path in sorted(films.iterdir())]
    assert all("trust" not in row for row in batches["off"])
    assert all(row["trust"]["findings"] and not row["trust"]["failed"] for row in batches["full"])


def test_a_record_says_of_trust_what_ask_says(capsys, films: Path, batches) -> None:
    for path, row in zip(sorted(films.iterdir()), batches["fast"], strict=True):
        alone = asked(capsys, path)["trust"]
        assert [s["support"] for s in row["trust"]["sentences"]] == [s["support"] for s in alone["sentences"]]
        assert [f["verdict"] for f in row["trust"]["findings"]] == [f["verdict"] for f in alone["findings"]]
        assert [f["log_odds"] for f in row["trust"]["findings"]] == pytest.approx(
            [f["log_odds"] for f in alone["findings"]], abs=0.05
        )


def test_a_conversation_gives_the_same_words_at_every_level(capsys, monkeypatch, phantom: Path) -> None:
    said = {}
    for level in LEVELS:
        lines = b"Describe the film.\nIs there a right pleural effusion?\n\n"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
        assert run(["chat", str(phantom), "--trust", level]) == 0
        out, words = capsys.readouterr()
        said[level] = out
        assert words.count("Film: like the reference films.") == (0 if level == "off" else 2)
    assert said["off"] == said["fast"] == said["full"]


def test_the_answer_is_on_the_screen_before_anything_is_said_about_it(capsys, monkeypatch, phantom: Path) -> None:
    shown: list[str] = []
    assess = Assessor.assess

    def noted(self: Assessor, *arguments: Any) -> Any:
        shown.append(capsys.readouterr().out)
        return assess(self, *arguments)

    monkeypatch.setattr(Assessor, "assess", noted)
    assert run(["ask", str(phantom), QUESTION]) == 0
    assert "pleural effusion" in shown[0]
    out, words = capsys.readouterr()
    assert out == ""
    assert "\u2713 The lungs are clear." in words
    assert "Figures from 1,200 films of drawn phantoms" in words


def test_quiet_says_nothing_about_trust_and_computes_nothing_for_it(capsys, decodes, phantom: Path) -> None:
    assert run(["ask", str(phantom), QUESTION, "--quiet", "--trust", "off"]) == 0
    plain, computed = capsys.readouterr(), len(decodes)
    assert run(["ask", str(phantom), QUESTION, "--quiet"]) == 0
    assert capsys.readouterr() == plain
    assert len(decodes) == 2 * computed


def test_a_level_that_there_is_not_is_a_mistake_before_the_model_is_loaded(capsys, phantom: Path, tmp_path) -> None:
    for command in (["ask", str(phantom), "x"], ["chat", str(phantom)], ["batch", str(tmp_path), "--out", "o"]):
        assert run([*command, "--trust", "most"]) == 2
        assert "--trust takes off, fast, full" in capsys.readouterr().err


def test_ask_gives_the_encoder_back_before_the_first_word_unless_maps_need_it(
    capsys, phantom: Path, monkeypatch
) -> None:
    order, close, decode = [], Encoder.close, LlamaContext.decode
    monkeypatch.setattr(Encoder, "close", lambda self: (order.append("closed"), close(self))[1])
    monkeypatch.setattr(LlamaContext, "decode", lambda self, spans: (order.append("decode"), decode(self, spans))[1])
    asked(capsys, phantom)
    assert (order[0], order.count("closed")) == ("closed", 1)
    order.clear()
    asked(capsys, phantom, "--map")
    assert (order[0], order[-1]) == ("decode", "closed")


@pytest.fixture
def own_bundle(demo: Path, tmp_path: Path) -> Path:
    """The demonstration in a folder of its own, so that a profile can lie beside it."""
    return Path(shutil.copytree(demo, tmp_path / "demo"))


def test_a_damaged_profile_is_a_line_and_the_answer_comes(capsys, own_bundle: Path, phantom: Path) -> None:
    own_bundle.with_name("demo.profile.npz").write_bytes(b"PK no profile")
    answer = asked(capsys, phantom, "--bundle", str(own_bundle))
    assert answer["trust"]["failed"] == "E-TRU-002 (profile)"
    assert answer["trust"]["profile"] is None
    assert all(sentence["entropy"] is not None for sentence in answer["trust"]["sentences"])
    assert run(["ask", str(phantom), QUESTION, "--bundle", str(own_bundle)]) == 0
    words = capsys.readouterr().err
    assert "Not everything could be checked: E-TRU-002 (profile). The answer is not affected." in words
    assert "\u2713" not in words


def test_a_profile_of_another_bundle_is_a_line_and_nothing_of_it_is_used(
    capsys, own_bundle: Path, phantom: Path
) -> None:
    manifest = json.loads((own_bundle / "manifest.json").read_text("utf-8"))
    manifest["prompt"]["default"] = "train"  # the panel is asked in other words
    (own_bundle / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    trust = asked(capsys, phantom, "--bundle", str(own_bundle))["trust"]
    assert (trust["failed"], trust["findings"], trust["film"]) == ("E-TRU-001 (profile)", [], None)


def test_a_panel_that_fails_is_a_line_and_the_answer_comes(capsys, monkeypatch, phantom: Path) -> None:
    expected = asked(capsys, phantom, "--trust", "off")
    assess, decode = Assessor.assess, LlamaContext.decode

    def failing(self: Assessor, *arguments: Any) -> Any:
        monkeypatch.setattr(LlamaContext, "decode", lambda *_: 1 / 0)
        try:
            return assess(self, *arguments)
        finally:
            monkeypatch.setattr(LlamaContext, "decode", decode)

    monkeypatch.setattr(Assessor, "assess", failing)
    answer = asked(capsys, phantom)
    assert answer["token_ids"] == expected["token_ids"]
    assert answer["trust"]["failed"] == "E-BUG-001 (panel)"


def test_without_a_profile_the_rules_are_applied_and_a_line_says_so(capsys, own_bundle: Path, phantom: Path) -> None:
    manifest = json.loads((own_bundle / "manifest.json").read_text("utf-8"))
    manifest["files"] = [file for file in manifest["files"] if file["role"] != "profile"]
    (own_bundle / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    (own_bundle / "profile.npz").unlink()
    assert run(["ask", str(phantom), QUESTION, "--bundle", str(own_bundle), "--max-tokens", "14"]) == 0
    words = capsys.readouterr().err
    assert "No trust profile: only rules about the words were applied." in words
    assert "(W-TXT-007)" in words


def test_files_of_the_same_pixels_share_an_answer_and_each_has_the_marks_of_its_own_header(
    capsys, root: Path, tmp_path: Path
) -> None:
    import pydicom

    plain = pydicom.dcmread(root / "examples" / "phantom-1-effusion-right.dcm")
    (tmp_path / "films").mkdir()
    plain.save_as(tmp_path / "films" / "a.dcm")
    plain.ImageLaterality = "R"
    plain.save_as(tmp_path / "films" / "b.dcm")
    command = ["batch", str(tmp_path / "films"), "--out", str(tmp_path / "out"), "--question", QUESTION, "--quiet"]
    assert run(command) == 0
    one, other = sorted(records(tmp_path / "out"), key=lambda row: row["path"])
    assert one["token_ids"] == other["token_ids"]
    assert one["trust"]["findings"] == other["trust"]["findings"]
    assert [s["flags"] for s in one["trust"]["sentences"]] == [[], [], []]
    assert [s["flags"] for s in other["trust"]["sentences"]] == [[], [], ["W-TXT-004"]]


def test_a_batch_of_strange_films_says_so_at_its_end(capsys, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.dcm").write_bytes(as_bytes(dataset(chest())))
    assert run(["batch", str(tmp_path / "films"), "--out", str(tmp_path / "out"), "--force"]) == 0
    words = capsys.readouterr().err
    assert "warning W-TRU-003: more than one in ten films are unlike the reference films (1 of 1)" in words
    summary = json.loads((tmp_path / "out" / "summary.json").read_text("ascii"))
    assert summary["trust"] == {"measured": 1, "unlike": 1}
