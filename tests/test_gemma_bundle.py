"""A whole bundle whose language model looks at an image at once: asked, in turns, in a folder, by HTTP, in reports."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import chat as request
from tests.serving import serving
from tests.tiny_gemma import NAMED, TEMPLATE, TOKENS, write_bundle
from xraygpt_edge import Conversation, Sampling, XrayGPT
from xraygpt_edge.bundle import load
from xraygpt_edge.cli import app
from xraygpt_edge.engine import Ask
from xraygpt_edge.errors import BundleIncompatible
from xraygpt_edge.generation.llama import Span

SHORT = Sampling(max_tokens=12)
END_OF_TURN = len(TOKENS) - len(NAMED) + NAMED.index("<end_of_turn>")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("gemma") / "tiny")


@pytest.fixture(scope="module")
def model(bundle: Path) -> Iterator[XrayGPT]:
    with XrayGPT.load(bundle, device="cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def films(root: Path) -> list[Path]:
    return sorted((root / "examples").glob("*.dcm"))[:3]


@pytest.fixture(scope="module")
def answers(model: XrayGPT, films: list[Path]) -> dict[str, tuple[int, ...]]:
    """Token ids of each film's answer, asked alone."""
    return {film.name: model.ask(film, "heart?", sampling=SHORT).token_ids for film in films}


def test_the_tiny_model_says_something_of_each_film(answers: dict[str, tuple[int, ...]]) -> None:
    assert len(set(answers.values())) == len(answers)
    assert min(len(set(answer)) for answer in answers.values()) > 3


def test_a_bundle_of_older_kind_says_nothing_of_thinking(bundle: Path, demo: Path) -> None:
    assert load(bundle).manifest.prompt.thinking == ("<unused94>", "<unused95>")
    assert load(demo).manifest.prompt.thinking is None


def test_ask_shows_no_trust_figures_where_nothing_was_measured(
    bundle: Path, films: list[Path], answers: dict[str, tuple[int, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["ask", str(films[0]), "heart?", "--bundle", str(bundle), "--json", "--max-tokens", "12", "--threads", "1"]
    assert app.run([*given, "--trust", "fast"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert tuple(answer["token_ids"]) == answers[films[0].name]
    assert answer["bundle"]["kind"] == "medgemma"
    assert answer["trust"]["profile"] is None
    assert answer["trust"]["film"] is None
    assert [sentence["score"] for sentence in answer["trust"]["sentences"] if sentence["score"] is not None] == []


def test_a_follow_up_decodes_its_own_words_and_says_what_is_said_from_nothing(
    model: XrayGPT, films: list[Path], decodes: list[list[Span]]
) -> None:
    image = model.encode(films[0])
    conversation = Conversation(model, image, sampling=SHORT)
    first = conversation.ask("heart?")
    decodes.clear()
    second = conversation.ask("lungs?")
    assert [spans for spans in decodes if spans[0].is_whole_image] == []
    history = tuple(conversation.turns[:1])
    with model.begin_answer(image, Ask("lungs?", history, SHORT)) as stream:
        assert stream.answer().token_ids == second.token_ids
    assert first.token_ids != second.token_ids
    _, after = model.prompt_ids("lungs? <end_of_turn>", history=history)
    assert after.count(END_OF_TURN) == (TEMPLATE["after"] + TEMPLATE["follow_up"]).count("{token:<end_of_turn>}")


def test_chat_answers_question_after_question(
    bundle: Path, films: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"heart?\nlungs?\n")))
    given = ["chat", str(films[0]), "--bundle", str(bundle), "--max-tokens", "5", "--trust", "off", "--threads", "1"]
    assert app.run(given) == 0
    assert capsys.readouterr().out.strip()


def test_a_folder_is_answered_at_once_as_each_film_alone_and_reports_show_it(
    bundle: Path, films: list[Path], answers: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    folder, out = tmp_path / "films", tmp_path / "out"
    folder.mkdir()
    for film in films:
        shutil.copy(film, folder)
    given = ["--bundle", str(bundle), "--max-tokens", "12", "--threads", "1", "--parallel", "3", "--trust", "off"]
    assert app.run(["batch", str(folder), "--question", "heart?", "--out", str(out), "--quiet", *given]) == 0
    records = [json.loads(line) for line in (out / "records.jsonl").read_text("utf-8").splitlines()]
    found = {Path(record["path"]).name: tuple(record["token_ids"]) for record in records if "token_ids" in record}
    assert found == answers
    assert app.run(["report", str(out), "--to", "html", "--out", str(tmp_path / "page.html"), "--quiet"]) == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "XrayGPT" not in page.replace("xraygpt-edge", "")
    assert all(film.name in page for film in films)


def test_the_server_says_what_ask_says(
    bundle: Path, films: list[Path], answers: dict[str, tuple[int, ...]], model: XrayGPT
) -> None:
    wanted = model.ask(films[0], "heart?", sampling=SHORT)
    with serving(bundle, "--max-tokens", "12", "--threads", "1", "--trust", "off") as server:
        server.wait_until_ready()
        reply = server.post("/v1/chat/completions", request(films[0], "heart?", max_tokens=12))
        assert reply.status == 200, reply.body
        assert reply.json["choices"][0]["message"]["content"].startswith(wanted.text)
        assert reply.json["usage"]["completion_tokens"] == len(wanted.token_ids)
        told = server.get("/api/v1/status").json
    assert told["model"]["state"] == "ready"


def test_a_bundle_whose_manifest_names_another_kind_of_language_model_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "tiny")
    manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "architecture": "llama"}), "utf-8")
    with pytest.raises(BundleIncompatible) as caught, XrayGPT.load(bundle, device="cpu") as model:
        model.parts.wait_for_language()
    assert caught.value.error_id == "E-BND-023"
