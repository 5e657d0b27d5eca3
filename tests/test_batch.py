"""A folder of radiographs with the real demonstration model: every file accounted for, every answer repeatable."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pydicom
import pytest
from PIL import Image

from tests.near_ties import first_near_tie
from xraygpt_edge import Sampling, XrayGPT, batch, bundle
from xraygpt_edge.cli.app import run as command
from xraygpt_edge.engine import Ask
from xraygpt_edge.errors import UsageError
from xraygpt_edge.loading import LoadOptions

TOKENS = 24
CPU = LoadOptions("cpu")
SETTINGS = batch.Settings(sampling=Sampling(max_tokens=TOKENS))
NOISE = 0.1
"""Logits of 8-bit weights in company differ by up to this: docs/batch.md."""
QUESTIONS = (batch.DEFAULT_QUESTION, "Is the heart enlarged?")


@pytest.fixture(scope="module")
def examples(root: Path) -> list[Path]:
    return sorted((root / "examples").glob("*.dcm"))


@pytest.fixture
def films(tmp_path: Path, examples: list[Path]) -> Path:
    """Phantoms and everything that lies between radiographs in a real folder."""
    folder = tmp_path / "films"
    (folder / "study").mkdir(parents=True)
    for number, path in enumerate(examples):
        shutil.copy(path, folder / ("study" if number % 2 else ".") / path.name)
    shutil.copy(examples[0], folder / "the same again.dcm")
    (folder / "empty.dcm").touch()
    (folder / "cut.dcm").write_bytes(examples[0].read_bytes()[:5000])
    (folder / "notes.txt").write_text("words")
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (folder / "films.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    return folder


def job(films: Path, demo: Path, *questions: str, settings: batch.Settings = SETTINGS) -> batch.Job:
    manifest = bundle.opened(demo).manifest_sha256
    return batch.Job(films, demo, manifest, questions or (batch.DEFAULT_QUESTION,), settings)


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "records.jsonl").read_text("ascii").splitlines()]


def answers(out: Path) -> dict[tuple[str, str], tuple[int, ...]]:
    return {(r["path"], r["question"]): tuple(r["token_ids"]) for r in records(out) if r["status"] == "ok"}


def test_every_file_is_an_answer_a_failure_or_a_skip(
    films: Path, demo: Path, examples: list[Path], tmp_path: Path
) -> None:
    summary = batch.run(job(films, demo), tmp_path / "out", batch.Running(CPU))
    assert (summary.ok, summary.failed, summary.skipped) == (len(examples) + 1, 2, 3)
    assert summary.found == sum(1 for path in films.rglob("*") if path.is_file())
    assert summary.skipped_by_reason == {"DICOMDIR": 1, "not an image": 1, "not read: a ZIP archive": 1}
    assert {failure["path"] for failure in summary.failures} == {"empty.dcm", "cut.dcm"}
    written = json.loads((tmp_path / "out" / "summary.json").read_bytes())
    assert written["found"] == written["ok"] + written["failed"] + written["skipped"]
    assert list(written)[1] == "failures"


def test_files_in_which_a_radiograph_may_be_are_counted_by_kind_and_the_first_ones_named(
    demo: Path, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(30):
        (films / f"{number:02d}.gif").write_bytes(b"GIF89a")
    (films / "day.zip").write_bytes(b"PK\x03\x04")
    (films / "notes.txt").write_text("words")
    summary = batch.run(job(films, demo), tmp_path / "out", batch.Running(CPU))
    assert (summary.found, summary.ok, summary.failed, summary.skipped) == (32, 0, 0, 32)
    assert summary.skipped_by_reason == {"not an image": 1, "not read: GIF": 30, "not read: a ZIP archive": 1}
    unread = json.loads((tmp_path / "out" / "summary.json").read_bytes())["unread"]
    assert unread == {
        "GIF": {"files": 30, "first": [{"path": f"{number:02d}.gif"} for number in range(5)]},
        "a ZIP archive": {"files": 1, "first": [{"path": "day.zip"}]},
    }


def test_files_of_one_study_stand_together_and_nothing_tells_whose_they_are(
    films: Path, demo: Path, examples: list[Path], tmp_path: Path
) -> None:
    batch.run(job(films, demo), tmp_path / "out", batch.Running(CPU))
    (study,) = json.loads((tmp_path / "out" / "summary.json").read_bytes())["studies"]
    together = {
        record["id"] for record in records(tmp_path / "out") if record.get("input", {}).get("study") == study["study"]
    }
    assert together == set(study["ids"])
    assert len(study["ids"]) == 3  # the first example, its copy, and the one that was cut short
    uid = str(pydicom.dcmread(examples[0], stop_before_pixels=True).StudyInstanceUID)
    assert uid not in (tmp_path / "out" / "summary.json").read_text() + (tmp_path / "out" / "records.jsonl").read_text()


@pytest.mark.parametrize("parallel", [1, 16, pytest.param(3, marks=pytest.mark.slow)])
def test_answers_are_the_ones_that_ask_gives(films: Path, demo: Path, tmp_path: Path, parallel: int) -> None:
    out = tmp_path / "out"
    batch.run(job(films, demo, *QUESTIONS), out, batch.Running(CPU, parallel=parallel))
    with XrayGPT.load(demo, "cpu") as model:
        for (path, question), token_ids in answers(out).items():
            alone = model.ask(films / path, question, sampling=Sampling(max_tokens=TOKENS)).token_ids
            if alone != token_ids:
                assert parallel > 1
                prompt = model.prompt(model.embed(films / path), Ask(question))
                tie = first_near_tie(model.parts.wait_for_language(), prompt, alone, NOISE)
                assert tie is not None
                assert alone[:tie] == token_ids[:tie]


def test_with_little_memory_no_more_than_four_are_answered_at_once(films: Path, demo: Path, tmp_path: Path) -> None:
    summary = batch.run(job(films, demo), tmp_path / "out", batch.Running(LoadOptions("cpu", memory="low")))
    assert summary.run.engine["parallel"] == 4
    assert summary.ok > 4


def test_a_record_says_what_made_it(films: Path, demo: Path, tmp_path: Path) -> None:
    batch.run(job(films, demo), tmp_path / "out", batch.Running(CPU))
    record = next(r for r in records(tmp_path / "out") if r["status"] == "ok")
    assert set(record) >= {"schema", "id", "path", "attempt", "question", "text", "finish_reason", "input", "notice"}
    assert record["id"] == record["input"]["sha256"][:16]
    assert record["bundle"]["manifest_sha256"] == bundle.opened(demo).manifest_sha256
    assert record["engine"]["max_tokens"] == TOKENS


def test_running_it_again_asks_nothing_and_changes_no_record(films: Path, demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = batch.run(job(films, demo), out, batch.Running(CPU))
    before = (out / "records.jsonl").read_bytes()
    again = batch.run(job(films, demo), out, batch.Running(CPU))
    assert (out / "records.jsonl").read_bytes() == before
    assert (again.ok, again.failed, again.skipped) == (first.ok, first.failed, first.skipped)
    assert again.run.engine == {}  # the model was not even loaded


def test_a_new_file_is_asked_when_the_batch_is_run_again(
    films: Path, demo: Path, examples: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = batch.run(job(films, demo), out, batch.Running(CPU))
    shutil.copy(examples[1], films / "new.dcm")
    again = batch.run(job(films, demo), out, batch.Running(CPU))
    assert again.ok == first.ok + 1
    assert again.run.files == 1


def test_a_failure_is_tried_again_only_when_asked_and_its_answer_counts(
    films: Path, demo: Path, examples: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = batch.run(job(films, demo), out, batch.Running(CPU))
    shutil.copy(examples[2], films / "cut.dcm")
    assert batch.run(job(films, demo), out, batch.Running(CPU)).failed == first.failed
    again = batch.run(job(films, demo), out, batch.Running(CPU, retry_failed=True))
    assert (again.ok, again.failed) == (first.ok + 1, first.failed - 1)
    attempts = [(r["path"], r["attempt"]) for r in records(out) if r["path"] in ("cut.dcm", "empty.dcm")]
    assert Counter(attempts) == Counter([("cut.dcm", 1), ("cut.dcm", 2), ("empty.dcm", 1), ("empty.dcm", 2)])


JOB_OF_0_1_0 = """{
 "schema": 1,
 "manifest_sha256": "MANIFEST",
 "folder_sha256": "FOLDER",
 "questions": [
  "Take a look at this chest x-ray and describe the findings and impression."
 ],
 "settings": {
  "template": null,
  "profile": "mimic-jpg",
  "frame": null,
  "force": false,
  "max_tokens": 24,
  "temperature": 0.0,
  "top_p": 0.9,
  "seed": 0
 }
}"""
RECORD_OF_0_1_0 = (
    '{"schema": 1, "id": "5e368e891ea3f803", "path": "one.dcm", "attempt": 1, "question": "Take a look at this chest '
    'x-ray and describe the findings and impression.", "status": "ok", "text": "Findings: The heart is of normal '
    'size.", "finish_reason": "length", "token_ids": [538, 951], "input": {"sha256": "5e368e891ea3f8038e8f4a706c1725c'
    '59c681d3653cfcd852177691a9543373a", "format": "dicom", "rows": 640, "columns": 640, "profile": "mimic-jpg", '
    '"sop_class": "Digital X-Ray Image Storage - For Presentation", "transfer_syntax": "Explicit VR Little Endian", '
    '"photometric": "MONOCHROME2", "study": "18132a9533163bb9", "forced": false, "warnings": []}, "bundle": {"id": '
    '"demo", "manifest_sha256": "MANIFEST", "kind": "medclip", "vision": "int8", "language": "Q8_0", "demo": true}, '
    '"engine": {"version": "0.1.0", "device": "cpu", "providers": ["CPUExecutionProvider"], "threads": 2, "memory": '
    '"auto", "n_ctx": 256, "seed": 0, "temperature": 0.0, "top_p": 0.9, "max_tokens": 24, "template": "demo", "draft": '
    'false, "libraries": {"onnxruntime": "1.32.0"}}, "timing": {"read_s": 0.05, "load_s": 0.0, "vision_s": 0.05, '
    '"prefill_s": 0.14, "decode_s": 2.1, "first_token_s": 0.24, "total_s": 2.4, "tokens": 24, "tokens_per_s": 10.6}, '
    '"notice": "DEMONSTRATION"}\n'
)
FAILURE_OF_0_1_0 = (
    '{"schema": 1, "id": "e3b0c44298fc1c14", "path": "empty.dcm", "attempt": 1, "question": "Take a look at this chest '
    'x-ray and describe the findings and impression.", "status": "failed", "error_id": "E-IMG-002", "message": "the '
    'file is empty.", "code": 4}\n'
)


def test_a_folder_that_version_0_1_0_began_is_gone_on_with(demo: Path, tmp_path: Path, examples: list[Path]) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir(), out.mkdir()
    shutil.copy(examples[0], films / "one.dcm"), shutil.copy(examples[1], films / "two.dcm")
    (films / "empty.dcm").touch()
    begun = (RECORD_OF_0_1_0 + FAILURE_OF_0_1_0).replace("MANIFEST", bundle.opened(demo).manifest_sha256)
    of_folder = sha256(bytes(films.resolve())).hexdigest()
    facts = JOB_OF_0_1_0.replace("MANIFEST", bundle.opened(demo).manifest_sha256).replace("FOLDER", of_folder)
    (out / "records.jsonl").write_text(begun, "ascii")
    (out / "job.json").write_text(facts, "ascii")
    summary = batch.run(job(films, demo), out, batch.Running(CPU))
    assert (summary.ok, summary.failed, summary.run.earlier, summary.run.files) == (2, 1, 2, 1)
    assert (out / "job.json").read_text("ascii") == facts
    assert (out / "records.jsonl").read_text("ascii").startswith(begun)
    assert [record["path"] for record in records(out)] == ["one.dcm", "empty.dcm", "two.dcm"]
    fresh = tmp_path / "fresh"
    batch.run(job(films, demo), fresh, batch.Running(CPU))
    assert (fresh / "job.json").read_text("ascii") == facts  # and version 0.1.0 would go on with ours


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"questions": ("Other?",)}, "other questions"),
        ({"settings": batch.Settings(sampling=Sampling(max_tokens=TOKENS, temperature=0.5))}, "other settings"),
        ({"manifest_sha256": "1" * 64}, "another bundle"),
        ({"folder": Path("/")}, "another folder"),
    ],
)
def test_another_job_in_the_same_folder_is_refused(
    films: Path, demo: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    out = tmp_path / "out"
    for path in films.rglob("*.dcm"):
        path.unlink()
    this = job(films, demo)
    batch.run(this, out, batch.Running(CPU))
    facts = {"folder": this.folder, "bundle": demo, "manifest_sha256": this.manifest_sha256}
    other = batch.Job(**{**facts, "questions": this.questions, "settings": SETTINGS, **change})
    with pytest.raises(UsageError, match=words) as caught:
        batch.run(other, out, batch.Running(CPU))
    assert int(caught.value.code) == 2


def test_the_same_picture_in_another_file_is_computed_once_and_gets_a_record_of_its_own(
    demo: Path, tmp_path: Path, examples: list[Path]
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for number in range(5):
        shutil.copy(examples[0], films / f"{number}.dcm")
    out = tmp_path / "out"
    summary = batch.run(job(films, demo), out, batch.Running(CPU))
    assert len(set(answers(out).values())) == 1
    assert {record["path"] for record in records(out)} == {f"{number}.dcm" for number in range(5)}
    assert summary.run.busy["tokens"] == len(records(out)[0]["token_ids"])


def test_equal_pixels_in_different_files_get_the_record_of_their_own_file(demo: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    picture = Image.effect_noise((256, 256), 60)
    picture.save(films / "a.png", compress_level=1)
    picture.save(films / "b.png", compress_level=9)
    batch.run(job(films, demo), tmp_path / "out", batch.Running(CPU))
    first, second = records(tmp_path / "out")
    assert first["token_ids"] == second["token_ids"]
    assert first["input"]["sha256"] != second["input"]["sha256"]
    assert first["id"] != second["id"]


@pytest.mark.parametrize("parallel", [1, 2, 8])
def test_what_stands_beside_a_radiograph_does_not_change_its_answer(
    demo: Path, tmp_path: Path, examples: list[Path], parallel: int
) -> None:
    crowd, alone = tmp_path / "crowd", tmp_path / "alone"
    crowd.mkdir(), alone.mkdir()
    for number, path in enumerate([*examples, *examples]):
        shutil.copy(path, crowd / f"{number:02d}.dcm")
    shutil.copy(examples[3], alone / "03.dcm")
    for folder in (crowd, alone):
        batch.run(job(folder, demo), tmp_path / f"out-{folder.name}", batch.Running(CPU, parallel=parallel))
    question = batch.DEFAULT_QUESTION
    in_company = answers(tmp_path / "out-crowd")
    assert in_company["03.dcm", question] == answers(tmp_path / "out-alone")["03.dcm", question]
    assert in_company["03.dcm", question] == in_company[f"{3 + len(examples):02d}.dcm", question]


def test_names_that_are_not_utf_8_hold_newlines_or_look_like_options_are_answered(
    demo: Path, tmp_path: Path, examples: list[Path]
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    names = [b"caf\xe9_\xff.dcm", b"two\nlines.dcm", b"-rf.dcm", "ünï \U0001fac1.dcm".encode(), b"x" * 251 + b".dcm"]
    for name in names:
        shutil.copy(examples[0], os.fsencode(films) + b"/" + name)
    out = tmp_path / "out"
    assert batch.run(job(films, demo), out, batch.Running(CPU)).ok == len(names)
    odd = [record for record in records(out) if "path_b64" in record]
    assert [record["path"] for record in odd] == ["caf\\xe9_\\xff.dcm"]
    again = batch.run(job(films, demo), out, batch.Running(CPU))
    assert again.run.earlier == len(names)


def test_the_output_folder_may_lie_among_the_radiographs(films: Path, demo: Path) -> None:
    out = films / "answers"
    first = batch.run(job(films, demo), out, batch.Running(CPU))
    again = batch.run(job(films, demo), out, batch.Running(CPU))
    assert (first.found, first.run.found) == (again.found, again.run.found)


def test_outputs_are_for_their_owner_alone_whatever_the_umask(films: Path, demo: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        batch.run(job(films, demo), tmp_path / "out", batch.Running(CPU))
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "out").iterdir()}
    assert set(modes.values()) == {"0o600"}
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700


def test_the_command_says_3_for_failures_and_0_without(
    films: Path, demo: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", str(films), "--bundle", str(demo), "--max-tokens", str(TOKENS), "--device", "cpu", "--json"]
    assert command([*words, "--out", str(tmp_path / "a")]) == 3
    counts = json.loads(capfd.readouterr().out)
    assert counts["found"] == counts["ok"] + counts["failed"] + counts["skipped"]
    assert counts["unread"] == {"a ZIP archive": 1}
    (films / "cut.dcm").unlink(), (films / "empty.dcm").unlink()
    assert command([*words, "--out", str(tmp_path / "b")]) == 0


def test_progress_names_no_file(films: Path, demo: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (films / "DOE^JANE-1970.dcm").touch()
    (films / "DOE^JANE-1971.gif").write_bytes(b"GIF89a")
    words = ["batch", str(films), "--out", str(tmp_path / "out"), "--bundle", str(demo), "--max-tokens", "2"]
    command([*words, "--device", "cpu"])
    said = capfd.readouterr()
    assert "JANE" not in said.err + said.out
    assert "files:" in said.err
    assert "warning W-BAT-001" in said.err
    assert "(GIF: 1, a ZIP archive: 1)" in said.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--parallel", "0"], 2),
        (["--parallel", "many"], 2),
        (["--question", " "], 2),
        (["--template", "none"], 2),
        (["--max-tokens", "5000"], 2),
        (["--bundle", "/nowhere"], 10),
    ],
)
def test_what_cannot_work_is_refused_with_its_code(
    films: Path, demo: Path, tmp_path: Path, words: list[str], code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    common = ["batch", str(films), "--out", str(tmp_path / "out"), "--bundle", str(demo), "--device", "cpu"]
    assert command([*common, *words]) == code
    assert capfd.readouterr().err.count("\n") == 1


def test_a_folder_that_is_none_is_refused(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        batch.run(job(tmp_path / "nowhere", demo), tmp_path / "out", batch.Running(CPU))
    assert not (tmp_path / "out").exists()
