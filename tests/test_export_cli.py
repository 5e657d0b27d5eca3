"""`python -m export`: what a person types, and what the shell gets back."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from typer.testing import CliRunner

from export import gates
from export.__main__ import app
from tests.export_fixtures import MEDCLIP, VICUNA, released_files

pytestmark = pytest.mark.export


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def medclip(out, *more):
    medclip_file = MEDCLIP / "medclip-vit/pytorch_model.bin"
    checkpoint = MEDCLIP / "xraygpt_checkpoint.pth"
    files = ("--medclip", medclip_file, "--checkpoint", checkpoint, "--vicuna", VICUNA)
    return run("medclip", *files, "--out", out, "--vision", "int8", "--language", "Q8_0", "--threads", 1, *more)


def test_help_comes_at_once_and_loads_no_torch():
    began = time.monotonic()
    code = "import sys; from export.__main__ import app; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert time.monotonic() - began < 3
    assert all(name in run("--help").output for name in ("released", "medclip", "synthetic", "parity", "demo"))


@pytest.mark.shared
def test_an_export_shows_times_and_figures_and_ends_with_0(tmp_path):
    result = medclip(tmp_path / "tiny")
    assert result.exit_code == 0, result.output
    assert "image path to ONNX" in result.output
    assert "Q8_0" in result.output
    assert (tmp_path / "tiny/manifest.json").is_file()


@pytest.mark.long
@pytest.mark.shared
def test_parity_of_a_finished_bundle_writes_its_table(tmp_path):
    medclip(tmp_path / "tiny")
    result = run("parity", tmp_path / "tiny", "--markdown", tmp_path / "table.md", "--threads", 1)
    assert result.exit_code == 0, result.output
    assert "| int8 |" in (tmp_path / "table.md").read_text("utf-8")


@pytest.mark.long
@pytest.mark.shared
def test_parity_of_an_altered_bundle_is_refused(tmp_path):
    medclip(tmp_path / "tiny")
    with (tmp_path / "tiny/vision-int8.onnx").open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"\x55")
    result = run("parity", tmp_path / "tiny", "--threads", 1)
    assert result.exit_code == 12
    assert "vision-int8.onnx" in result.stderr


@pytest.mark.long
@pytest.mark.shared
def test_a_missed_gate_ends_with_18_and_no_bundle(tmp_path, monkeypatch):
    monkeypatch.setitem(gates.LANGUAGE, "Q8_0", {"mean_kl": 1e-9})
    result = medclip(tmp_path / "tiny")
    assert result.exit_code == 18
    assert "language Q8_0: mean_kl" in result.stderr
    assert not (tmp_path / "tiny").exists()


@pytest.mark.shared
def test_wrong_files_end_with_4_and_one_clear_reason(tmp_path):
    files = released_files()
    arguments = ("--eva", files["blip2"], "--blip2", files["blip2"], "--checkpoint", files["checkpoint"])
    result = run("released", *arguments, "--vicuna", VICUNA, "--out", tmp_path / "tiny")
    assert result.exit_code == 4
    assert "missing: cls_token" in result.stderr


def test_an_unknown_precision_ends_with_4(tmp_path):
    result = run("synthetic", "--kind", "medclip", "--scale", "tiny", "--out", tmp_path / "t", "--language", "Q4_X")
    assert result.exit_code == 4
    assert "Q4_X" in result.stderr


@pytest.mark.long
@pytest.mark.parametrize("kind", ["released", "medclip"])
def test_random_weights_become_a_bundle_by_the_same_code(tmp_path, kind):
    result = run("synthetic", "--kind", kind, "--scale", "tiny", "--out", tmp_path / "tiny", "--threads", 1)
    assert result.exit_code == 0, result.output
    assert "noise" in (tmp_path / "tiny/manifest.json").read_text("utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]


def test_the_questions_of_a_file_go_into_the_bundle_in_groups(tmp_path: Path) -> None:
    from export.prompts import with_questions

    file = tmp_path / "questions.txt"
    file.write_text(
        "<Img><ImageHere></Img> Describe it.\n\nIs the heart enlarged?\nAny infection?\nWhat else?\n", "utf-8"
    )
    found = with_questions(file).questions
    assert [(question.group, question.text) for question in found] == [
        ("describe", "Describe it."),
        ("heart", "Is the heart enlarged?"),
        ("infection", "Any infection?"),
        ("other", "What else?"),
    ]
    assert with_questions(None).questions == ()


@pytest.mark.parametrize("content", [b"", b"x" * 1000, b"?\n" * 1000])
def test_a_file_that_is_no_list_of_questions_is_refused(tmp_path: Path, content: bytes) -> None:
    import typer

    from export.prompts import with_questions

    file = tmp_path / "questions.txt"
    file.write_bytes(content)
    with pytest.raises(typer.BadParameter):
        with_questions(file)
