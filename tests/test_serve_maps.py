"""Maps of an answer that was given before, drawn when somebody asks for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Serving, serving
from tests.tiny import write_bundle
from xraygpt_edge.cli.app import run

pytestmark = pytest.mark.long

DESCRIBE = "Describe the given chest x-ray image in detail."


@pytest.fixture(scope="module")
def server(demo: Path) -> Iterator[Serving]:
    with serving(demo) as found:
        yield found.wait_until_ready()


@pytest.fixture(scope="module")
def answer(server: Serving, phantom: Path) -> dict[str, Any]:
    return server.ask(server.send(phantom), DESCRIBE)[-1][1]


def drawn(server: Serving, answer: str) -> list[tuple[str, Any]]:
    return server.post(f"/api/v1/answers/{answer}/maps").frames


def test_an_answer_gets_the_maps_that_ask_draws_and_nothing_else_changes(
    server: Serving, answer: dict[str, Any], demo: Path, phantom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server.get("/api/v1/status").json["maps"] is True
    assert answer["marked"]["can_be_mapped"] is True
    events = drawn(server, answer["answer"])
    assert [name for name, _ in events] == ["started", "done"]
    mapped = events[-1][1]
    run(["ask", str(phantom), DESCRIBE, "--bundle", str(demo), "--map", "--json", "--timeout", "300"])
    alone = json.loads(capsys.readouterr().out)
    assert mapped["evidence"]["maps"] == alone["trust"]["maps"]
    assert [each["finding"] for each in mapped["marked"]["maps"]]
    assert mapped["marked"]["maps_said"].startswith("Maps: ")
    assert mapped["marked"]["can_be_mapped"] is False
    for name in ("text", "answer", "conversation", "question", "token_ids", "timing", "input"):
        assert mapped[name] == answer[name]


def test_the_maps_go_into_what_is_saved(server: Serving, answer: dict[str, Any]) -> None:
    drawn(server, answer["answer"])
    page = server.post(f"/api/v1/answers/{answer['answer']}/export", {"format": "json"}).json
    assert page["records"][0]["trust"]["maps"]["findings"]


def test_maps_are_of_the_picture_that_was_answered_however_the_film_is_read_now(server: Serving, phantom: Path) -> None:
    film = server.send(phantom)
    first = server.ask(film, DESCRIBE)[-1][1]
    server.post(f"/api/v1/radiographs/{film}/reading", {"profile": "display"})
    again = drawn(server, first["answer"])[-1][1]
    assert again["input"] == first["input"]
    assert again["evidence"]["maps"]["findings"]


def test_maps_of_nobodys_answer_are_not_found(server: Serving, answer: dict[str, Any]) -> None:
    assert server.post("/api/v1/answers/a_nobody/maps").status == 404
    code = server.post("/api/v1/session/code").json["code"]
    token = server.post("/api/v1/session", {"code": code}, Authorization="").json["token"]
    reply = server.post(f"/api/v1/answers/{answer['answer']}/maps", Authorization=f"Bearer {token}")
    assert (reply.status, reply.code) == (404, "E-SRV-013")


def test_where_no_maps_can_be_drawn_it_is_said_before_anything_is_asked(tmp_path: Path, phantom: Path) -> None:
    with serving(write_bundle(tmp_path / "tiny"), "--max-tokens", "3") as server:
        server.wait_until_ready()
        assert server.get("/api/v1/status").json["maps"] is False
        answer = server.ask(server.send(phantom), "findings?")[-1][1]
        reply = server.post(f"/api/v1/answers/{answer['answer']}/maps")
        assert (reply.status, reply.code) == (400, "E-TRU-006")
