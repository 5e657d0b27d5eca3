"""Questions that a bundle has by name, the reason for an exam, and what a film that is cropped is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.tiny import TEMPLATES, write_bundle
from xraygpt_edge.batch import Indications
from xraygpt_edge.bundle.manifest import PromptRecipe, UsualQuestion
from xraygpt_edge.bundle.questions import INDICATION_MAX_CHARACTERS, asked, default, to_choose_from, with_place
from xraygpt_edge.cli import app
from xraygpt_edge.errors import UsageError
from xraygpt_edge.generation.prompt import Template

SAID = "{indication} {question} </s> {token:</s>}"
PLAIN, PLACED = "What is found?", "What is found given: {indication}"
FINDINGS = (UsualQuestion("findings", PLAIN, "findings"), UsualQuestion("findings", PLACED, "findings-indication"))
PROMPT = PromptRecipe("demo", (), {"demo": Template("a", "{question}", "{answer}{question}")}, questions=FINDINGS)
WITHOUT = PromptRecipe("demo", (), {"demo": Template("a", "{question}", "{answer}{question}")})
QUESTIONS = [{"group": q.group, "text": q.text, "name": q.name} for q in FINDINGS]


@pytest.mark.parametrize(
    ("question", "indication", "words"),
    [
        ("@findings", "", PLAIN),
        ("@findings", "fever, cough", "What is found given: fever, cough"),
        ("@findings-indication", " fever\n and\tcough ", "What is found given: fever and cough"),
        ("@findings", SAID, f"What is found given: {SAID}"),
        ("Is @findings a name? {indication}", "", "Is @findings a name? {indication}"),
    ],
)
def test_a_name_stands_for_the_bundles_own_words(question: str, indication: str, words: str) -> None:
    assert asked(PROMPT, question, indication) == words


@pytest.mark.parametrize(
    ("prompt", "question", "indication", "error_id"),
    [
        (PROMPT, "@nothing", "", "E-USE-010"),
        (PROMPT, "@", "", "E-USE-010"),
        (WITHOUT, "@findings", "", "E-USE-010"),
        (PROMPT, "@findings-indication", "", "E-USE-011"),
        (PROMPT, "free text", "fever", "E-USE-011"),
        (PROMPT, "free {indication}", "fever", "E-USE-011"),
        (PROMPT, "@findings", "x" * 2000, "E-USE-012"),
        (PROMPT, "@findings", "a\x07b", "E-USE-009"),
    ],
)
def test_what_cannot_be_asked_is_refused_as_wrong_usage(
    prompt: PromptRecipe, question: str, indication: str, error_id: str
) -> None:
    with pytest.raises(UsageError) as caught:
        asked(prompt, question, indication)
    assert caught.value.error_id == error_id
    assert caught.value.code == 2
    assert "xxx" not in caught.value.message


def test_the_longest_indication_that_is_taken_is_taken_whole() -> None:
    text = "x" * INDICATION_MAX_CHARACTERS
    assert asked(PROMPT, "@findings", text).endswith(f": {text}")


def test_only_questions_that_can_be_asked_as_they_stand_are_offered() -> None:
    assert to_choose_from(PROMPT) == FINDINGS[:1]
    assert (default(PROMPT), default(WITHOUT)) == ("@findings", None)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompt = {"default": "demo", "stop": ["###"], "templates": TEMPLATES, "questions": QUESTIONS}
    crop = {"size_px": 224, "fit": "crop", "mean": [0.5] * 3, "std": [0.25] * 3}
    root = tmp_path_factory.mktemp("named") / "tiny"
    return write_bundle(root, kind="llava-rad", prompt=prompt, image=crop, views=["frontal"])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A phantom's picture, higher than wide."""
    from xraygpt_edge.imaging.images import read_radiograph

    pixels = read_radiograph(min((root / "examples").glob("*.dcm"))).pixels
    folder = tmp_path_factory.mktemp("films")
    Image.fromarray(pixels).resize((600, 720)).save(folder / "film.png")
    Image.fromarray(pixels).resize((600, 620)).save(folder / "nearly-square.png")
    return folder / "film.png"


def ask(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, dict]:
    code = app.run(["ask", *map(str, words), "--json", "--max-tokens", "3", "--trust", "off"])
    return code, json.loads(capsys.readouterr().out)


def test_ask_takes_a_named_question_with_its_indication_and_findings_by_default(
    bundle: Path, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer = ask(capsys, film, "@findings", "--indication", "fever\nand cough", "--bundle", bundle)
    assert (code, answer["question"]) == (0, "What is found given: fever and cough")
    code, answer = ask(capsys, film, "--bundle", bundle)
    assert (code, answer["question"]) == (0, PLAIN)
    assert ask(capsys, film, "@other", "--bundle", bundle)[0] == 2
    assert ask(capsys, film)[0] == 2


def test_a_film_that_is_cropped_is_told_how_much_the_model_sees(
    bundle: Path, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, answer = ask(capsys, film, "--bundle", bundle)
    (warning,) = (w for w in answer["input"]["warnings"] if w["id"] == "W-IMG-030")
    assert "the middle 83 % of the height" in warning["message"]
    _, answer = ask(capsys, film.with_name("nearly-square.png"), "--bundle", bundle)
    assert [w for w in answer["input"]["warnings"] if w["id"] == "W-IMG-030"] == []
    app.run(["inspect", str(film), "--bundle", str(bundle), "--save", str(film.with_suffix(".seen.png"))])
    assert "W-IMG-030" in capsys.readouterr().out
    with Image.open(film.with_suffix(".seen.png")) as seen:
        assert seen.size == (224, 224)
    film.with_suffix(".seen.png").unlink()


def test_a_batch_puts_each_films_own_indication_into_its_question(
    bundle: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "why.csv", tmp_path / "out"
    table.write_text('path,text\nfilm.png,"fever, cough"\n')
    words = ["batch", str(film.parent), "--out", str(out), "--indications", str(table), "--bundle", str(bundle)]
    words += ["--max-tokens", "3", "--trust", "off", "--quiet"]
    assert app.run(words) == 0
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert {(r["path"], r["question"]) for r in records} == {
        ("film.png", "What is found given: fever, cough"),
        ("nearly-square.png", PLAIN),
    }
    assert app.run(words) == 0
    assert len((out / "records.jsonl").read_text().splitlines()) == 2
    table.write_text("path,text\nfilm.png,other\n")
    assert app.run(words) == 2
    assert "another table of indications" in capsys.readouterr().err


def test_rows_of_the_table_of_indications_without_a_film_are_counted_and_told(
    bundle: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "why.csv", tmp_path / "out"
    table.write_text("path,text\nfilm.png,fever\nFILM.png,cough\n./nearly-square.png,fall\n")
    words = ["batch", str(film.parent), "--out", str(out), "--indications", str(table), "--bundle", str(bundle)]
    assert app.run([*words, "--max-tokens", "3", "--trust", "off"]) == 0
    told = capsys.readouterr().err
    assert "W-BAT-002" in told
    assert "(2)" in told
    assert "cough" not in told
    assert json.loads((out / "summary.json").read_text())["last_run"]["reasons_left_over"] == 2
    shards = []
    for number in (0, 1):
        share = tmp_path / str(number)
        assert app.run([*words[:3], str(share), *words[4:], "--shard", f"{number}/2", "--max-tokens", "3"]) == 0
        shards.append(json.loads((share / "summary.json").read_text())["last_run"]["reasons_left_over"])
    assert sum(shards) == 2


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("film,why\na.png,b\n", "first line"),
        ("path,text\na.png,b\na.png,c\n", "line 3"),
        ("path,text\na.png\n", "line 2"),
        (f"path,text\na.png,{'x' * 501}\n", "line 2"),
        ('path,text\na.png,"b\n', "line"),
        ("", "first line"),
    ],
)
def test_a_table_that_is_not_whole_is_refused_with_its_line_and_without_its_words(
    tmp_path: Path, table: str, why: str
) -> None:
    path = tmp_path / "why.csv"
    path.write_text(table)
    with pytest.raises(UsageError, match=why) as caught:
        Indications.read(path, {PLAIN: with_place(PROMPT, "@findings")})
    assert "a.png" not in caught.value.message


def test_a_table_without_a_question_that_has_a_place_for_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no question has a place"):
        Indications.read(tmp_path / "why.csv", {"free": None})


def test_bundle_info_lists_the_questions(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["bundle", "info", str(bundle)]) == 0
    shown = capsys.readouterr().out
    assert f"@findings: {PLAIN}" in shown
    assert "Made for frontal views." in shown
