"""Questions by name and the reason for an exam: the same words by both interfaces and by the page as by `ask`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Serving, chat, serving
from tests.test_questions import PLAIN, QUESTIONS
from tests.tiny import TEMPLATES, write_bundle

GIVEN = "What is found given: fever and cough"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A bundle with usual questions, without a model: it says what it was asked."""
    prompt = {"default": "demo", "stop": ["###"], "templates": TEMPLATES, "questions": QUESTIONS}
    bundle = write_bundle(tmp_path_factory.mktemp("named") / "tiny", kind="llava-rad", prompt=prompt)
    with serving(bundle, module="tests.serving", entrance="--no-browser") as found:
        yield found.wait_until_ready()


@pytest.fixture(scope="module")
def film(server: Serving, phantom: Path) -> str:
    return server.send(phantom)


def test_the_state_names_what_is_asked_as_it_stands_and_what_wants_an_indication(server: Serving) -> None:
    told = server.get("/api/v1/status").json
    assert [each["text"] for each in told["questions"]] == [PLAIN]
    assert [each["name"] for each in told["questions_with_indication"]] == ["findings-indication"]
    assert told["folder"]["question"] == PLAIN


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"question": "@findings"}, PLAIN),
        ({"question": "@findings", "indication": " fever\nand cough"}, GIVEN),
        ({"question": "@findings-indication", "indication": "fever and cough"}, GIVEN),
    ],
)
def test_a_name_and_an_indication_are_the_bundles_own_words(
    server: Serving, film: str, phantom: Path, asked: dict[str, str], words: str
) -> None:
    assert server.ask(film, **asked)[-1][1]["question"] == words
    extra = {"indication": asked["indication"]} if "indication" in asked else {}
    reply = server.post("/v1/chat/completions", chat(phantom, asked["question"], xraygpt=extra))
    assert reply.json["xraygpt"]["question"] == words


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        ({"question": "@other"}, "E-USE-010", "question"),
        ({"question": "@findings-indication"}, "E-USE-011", "indication"),
        ({"question": "free text", "indication": "fever"}, "E-USE-011", "indication"),
        ({"question": "@findings", "indication": "x" * 501}, "E-USE-012", "indication"),
        ({"question": "@findings", "indication": "a\x07"}, "E-USE-009", "indication"),
    ],
)
def test_what_does_not_go_together_is_refused_as_ask_refuses_it(
    server: Serving, film: str, phantom: Path, asked: dict[str, str], code: str, param: str
) -> None:
    refused = server.post(f"/api/v1/radiographs/{film}/answers", asked)
    assert (refused.status, refused.code, refused.json["error"]["param"]) == (400, code, param)
    assert "xxx" not in refused.json["error"]["message"]
    extra = {"indication": asked.get("indication", "")}
    refused = server.post("/v1/chat/completions", chat(phantom, asked["question"], xraygpt=extra))
    assert (refused.status, refused.code) == (400, code)


def test_the_indication_of_a_conversation_stays_in_its_first_question(server: Serving, phantom: Path) -> None:
    body: dict[str, Any] = chat(phantom, "@findings", xraygpt={"indication": "fever and cough"})
    body["messages"] += [{"role": "assistant", "content": "Clear."}, {"role": "user", "content": "Why?"}]
    assert server.post("/v1/chat/completions", body).json["xraygpt"]["question"] == "Why?"
    body["messages"][0]["content"][0]["text"] = "What is there?"
    assert server.post("/v1/chat/completions", body).code == "E-USE-011"


def test_a_folder_is_asked_by_name_but_for_what_wants_an_indication(server: Serving) -> None:
    begun = server.post("/api/v1/runs", {"questions": ["@findings", PLAIN], "files": 1}).json
    assert begun["questions"] == [PLAIN]
    assert server.request("DELETE", f"/api/v1/runs/{begun['id']}").status == 204
    refused = server.post("/api/v1/runs", {"questions": ["@findings-indication"], "files": 1})
    assert (refused.status, refused.code) == (400, "E-USE-011")
