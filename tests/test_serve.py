"""`serve` with a real model: every way of asking gives the same answer, and every refusal says why."""

from __future__ import annotations

import io
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.serving import Serving, chat, data_url, serving
from tests.tiny import write_bundle
from xraygpt_edge import Sampling, XrayGPT
from xraygpt_edge.cli.app import run
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.imaging.inspection import inspect
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.records import NOTICE

QUESTION = "Is the heart enlarged?"
CHAT = "/v1/chat/completions"
TOKENS = 24


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[Serving]:
    with serving(tiny, "--max-tokens", str(TOKENS)) as found:
        found.early = found.post(CHAT, chat(None)), found.get("/healthz")
        yield found.wait_until_ready()


@pytest.fixture(scope="module")
def client(server: Serving) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=server.token, max_retries=0)


@pytest.fixture(scope="module")
def film(server: Serving, phantom: Path) -> str:
    return server.send(phantom)


# The same answer, however it is asked


@pytest.fixture(scope="module")
def model(tiny: Path) -> Iterator[XrayGPT]:
    with XrayGPT.load(tiny) as loaded:
        yield loaded


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.8, "seed": 5, "top_p": 0.7}])
def test_ask_and_both_apis_streamed_or_not_give_the_same_tokens(
    server: Serving, model: XrayGPT, phantom: Path, film: str, sampling: dict[str, Any]
) -> None:
    wanted = model.ask(phantom, QUESTION, sampling=Sampling(max_tokens=TOKENS, **sampling))
    native = server.ask(film, QUESTION, sampling=sampling)[-1][1]
    whole = server.post(CHAT, chat(phantom, QUESTION, **sampling)).json
    streamed = server.post(CHAT, chat(phantom, QUESTION, stream=True, **sampling)).frames
    ends = [frame["xraygpt"] for _, frame in streamed if frame != "[DONE]" and frame.get("xraygpt")]
    found = [tuple(each["token_ids"]) for each in (native, whole["xraygpt"], ends[-1])]
    assert found == [wanted.token_ids] * 3
    assert whole["choices"][0]["message"]["content"].startswith(wanted.text)
    assert whole["xraygpt"]["engine"]["temperature"] == sampling.get("temperature", 0)
    n_prompt = sum(map(len, model.prompt_ids(QUESTION))) + 2
    assert whole["usage"] == {
        "prompt_tokens": n_prompt,
        "completion_tokens": len(wanted.token_ids),
        "total_tokens": n_prompt + len(wanted.token_ids),
    }


def test_openais_client_streams_what_it_gets_whole(client: openai.OpenAI, phantom: Path) -> None:
    whole = client.chat.completions.create(**chat(phantom, QUESTION))
    pieces = list(
        client.chat.completions.create(**chat(phantom, QUESTION, stream=True, stream_options={"include_usage": True}))
    )
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text.split() == whole.choices[0].message.content.split()
    assert text.endswith(NOTICE)
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert pieces[-1].usage == whole.usage


def test_the_model_is_named_and_another_name_is_refused(client: openai.OpenAI, phantom: Path) -> None:
    assert [each.id for each in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError) as told:
        client.chat.completions.create(**{**chat(phantom), "model": "gpt-9"})
    assert told.value.code == "E-SRV-016"


def test_a_follow_up_sees_the_turns_before_it_whichever_api_is_used(server: Serving, phantom: Path, film: str) -> None:
    first = server.ask(film, QUESTION)[-1][1]
    native = server.ask(film, "And the lungs?", conversation=first["conversation"])[-1][1]
    said = server.post(CHAT, chat(phantom, QUESTION)).json["choices"][0]["message"]
    assert said["content"] != first["text"]  # warnings and the notice stand behind it
    follow_up = [said, {"role": "user", "content": "And the lungs?"}]
    body = chat(phantom, QUESTION)
    body["messages"] += follow_up
    openais = server.post(CHAT, body).json["xraygpt"]
    alone = server.ask(film, "And the lungs?")[-1][1]
    assert openais["token_ids"] == native["token_ids"]
    assert native["token_ids"] != alone["token_ids"]


def test_when_a_conversation_outgrows_the_context_the_oldest_turns_leave_and_it_is_said(
    server: Serving, phantom: Path
) -> None:
    body = chat(phantom, "a" * 200)
    body["messages"] += [{"role": "assistant", "content": "b" * 200}, {"role": "user", "content": QUESTION}]
    assert server.post(CHAT, body).json["xraygpt"]["forgotten"] == 1
    too_long = server.post(CHAT, chat(phantom, "a" * 1000))
    assert (too_long.status, too_long.code) == (400, "E-USE-008")
    assert server.post(CHAT, chat(phantom, "a" * 1000, stream=True)).status == 400


def test_what_ends_the_answer_is_taken_from_the_request(server: Serving, phantom: Path) -> None:
    whole = server.post(CHAT, chat(phantom, QUESTION)).json["xraygpt"]["text"]
    cut = server.post(CHAT, chat(phantom, QUESTION, stop=[whole[3:5]], xraygpt={"notice": False})).json
    assert cut["choices"][0]["message"]["content"] == whole[:3].strip()
    assert server.post(CHAT, chat(phantom, QUESTION, max_tokens=3)).json["choices"][0]["finish_reason"] == "length"


def test_what_cannot_be_honoured_is_named(server: Serving, phantom: Path) -> None:
    body = chat(phantom, QUESTION, presence_penalty=1, user="Müller^Anna", logprobs=False, tools=[], store=None)
    body["messages"].insert(0, {"role": "system", "content": "Say yes."})
    assert server.post(CHAT, body).json["xraygpt"]["ignored"] == ["messages[0]", "presence_penalty"]


# Refusals


CT = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"messages": []}, 400, "E-SRV-008", "messages"),
        ({"messages": "hello"}, 400, "E-SRV-008", "messages"),
        ({"temperature": "hot"}, 400, "E-SRV-008", "temperature"),
        ({"temperature": 3}, 400, "E-SRV-008", "temperature"),
        ({"max_tokens": TOKENS + 1}, 400, "E-SRV-008", "max_tokens"),
        ({"stop": ["a"] * 5}, 400, "E-SRV-008", "stop"),
        ({"xraygpt": {"profile": "pretty"}}, 400, "E-SRV-008", "xraygpt.profile"),
        ({"n": 2}, 400, "E-SRV-012", "n"),
        ({"tools": [{"type": "function"}]}, 400, "E-SRV-012", "tools"),
        ({"response_format": {"type": "json_object"}}, 400, "E-SRV-012", "response_format"),
        ({"logprobs": True}, 400, "E-SRV-012", "logprobs"),
        ({"messages": [{"role": "user", "content": QUESTION}]}, 422, "E-SRV-009", "messages"),
        ({"messages": [{"role": "user", "content": [CT]}]}, 400, "E-USE-004", "messages[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a?"}, CT]}]},
            422,
            "E-IMG-001",
            "messages[0].content[1]",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, 422, "E-SRV-009", "messages"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_with_the_field(
    server: Serving, phantom: Path, change: dict[str, Any], status: int, code: str, param: str
) -> None:
    reply = server.post(CHAT, {**chat(phantom), **change})
    assert (reply.status, reply.code, reply.json["error"]["param"]) == (status, code, param)
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/a.png", "https://example.org/a.dcm", "file:///etc/passwd", "/etc/passwd", "//h/a", ""),
        *("ftp://h/a", "a.dcm", "\x00", "blob:http://x", "HTTP://h/"),
    ],
)
def test_no_address_is_fetched_and_no_path_opened(server: Serving, url: str) -> None:
    for part in ({"type": "image_url", "image_url": {"url": url}}, {"type": "file", "file": {"file_data": url}}):
        messages = [{"role": "user", "content": [{"type": "text", "text": "a?"}, part]}]
        reply = server.post(CHAT, {"model": "tiny", "messages": messages})
        assert (reply.status, reply.code) == (422, "E-SRV-011")


def test_a_conversation_is_about_one_radiograph(server: Serving, phantom: Path, root: Path) -> None:
    other = max((root / "examples").glob("*.dcm"))
    body = chat(phantom)
    again = {"type": "file", "file": {"file_data": data_url(phantom, "image/png")}}  # the bytes decide
    body["messages"][0]["content"].append(again)
    assert server.post(CHAT, body).status == 200
    body["messages"][0]["content"].append({"type": "image_url", "image_url": {"url": data_url(other)}})
    reply = server.post(CHAT, body)
    assert (reply.status, reply.code) == (422, "E-SRV-010")


def test_a_refusal_that_can_be_forced_says_so_and_force_answers(server: Serving, tmp_path: Path) -> None:
    from PIL import Image

    small = tmp_path / "small.png"
    Image.linear_gradient("L").resize((12, 12)).save(small)
    refused = server.post(CHAT, chat(small))
    assert (refused.status, refused.json["error"]["xraygpt"]["can_force"]) == (422, True)
    assert refused.json["error"]["xraygpt"]["input"]["format"] == "png"
    forced = server.post(CHAT, chat(small, xraygpt={"force": True})).json
    assert forced["xraygpt"]["input"]["forced"] is True
    assert forced["xraygpt"]["input"]["warnings"][0]["id"] in forced["choices"][0]["message"]["content"]


def test_until_the_model_is_loaded_clients_are_told_to_come_again(server: Serving) -> None:
    early, health = server.early
    assert (early.status, early.code) == (503, "E-SRV-014")
    assert (early.headers["x-should-retry"], early.headers["retry-after"]) == ("true", "5")
    assert health.status == 200


def test_openais_client_understands_a_refusal(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as told:
        client.chat.completions.create(**chat(None))
    assert (told.value.code, told.value.type) == ("E-SRV-009", "invalid_request_error")


# The native API


def test_a_radiograph_is_held_shown_read_otherwise_and_forgotten(server: Serving, phantom: Path) -> None:
    film = server.send(phantom)
    path = f"/api/v1/radiographs/{film}"
    assert server.get(path).json["input"]["profile"] == "mimic-jpg"
    trained, shown = (server.get(f"{path}/view?profile={profile}").body for profile in ("mimic-jpg", "display"))
    assert trained.startswith(b"\x89PNG")
    assert trained != shown
    assert server.post(f"{path}/reading", {"profile": "display"}).json["input"]["profile"] == "display"
    assert server.ask(film, QUESTION)[-1][1]["input"]["profile"] == "display"
    assert server.request("DELETE", path).status == 204
    assert (server.get(path).status, server.get(path).code) == (404, "E-SRV-013")


def test_a_viewer_gets_the_values_of_a_radiograph_and_all_that_it_takes_to_show_them(
    server: Serving, model: XrayGPT, film: str, phantom: Path
) -> None:
    facts = server.get(f"/api/v1/radiographs/{film}").json
    reply = server.get(f"/api/v1/radiographs/{film}/values?max_px=64")
    rows, columns = int(reply.headers["x-rows"]), int(reply.headers["x-columns"])
    assert max(rows, columns) == 64
    assert len(reply.body) == rows * columns * 2
    whole = server.get(f"/api/v1/radiographs/{film}/values?max_px=60000")
    assert (int(whole.headers["x-rows"]), int(whole.headers["x-columns"])) == (
        facts["values"]["rows"],
        facts["values"]["columns"],
    )
    assert {float(whole.headers[f"x-{end}"]) for end in ("low", "high")} == {
        facts["values"]["low"],
        facts["values"]["high"],
    }
    with Reader() as reader:
        wanted = reader.read_with_account(phantom, shown_px=60000).shown
        inspected = inspect(phantom, ReadOptions(), model.parts.plan.bundle.manifest.image, reader)
    assert wanted is not None
    assert whole.body == wanted.samples.astype("<u2").tobytes()
    assert [window["name"] for window in facts["values"]["windows"]][-2:] == ["all", "middle 98 %"]
    assert facts["side"] == wanted.presentation.side
    assert [step["name"] for step in facts["steps"]] == [step.name for step in inspected.steps]


def test_status_offers_questions_in_groups_and_says_how_much_is_told_of_trust(server: Serving, film: str) -> None:
    status = server.get("/api/v1/status").json
    assert {"describe", "findings", "heart"} <= {question["group"] for question in status["questions"]}
    assert server.ask(film, status["questions"][0]["text"])[-1][0] == "done"
    assert status["defaults"]["trust"] == "fast"
    assert status["model"]["demo"] is False


def test_the_questions_of_the_bundle_are_offered_where_it_names_some(tiny: Path, tmp_path: Path) -> None:
    import json
    import shutil

    named = Path(shutil.copytree(tiny, tmp_path / "named"))
    manifest = json.loads((named / "manifest.json").read_bytes())
    manifest["prompt"]["questions"] = [{"group": "heart", "text": "How large is the heart?"}]
    (named / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with serving(named, module="tests.serving") as found:
        assert found.get("/api/v1/status").json["questions"] == manifest["prompt"]["questions"]


@pytest.mark.parametrize("level", ["off", "fast"])
def test_evidence_says_how_far_to_trust_an_answer_unless_it_is_off(demo: Path, phantom: Path, level: str) -> None:
    with serving(demo, "--trust", level) as found:
        found.wait_until_ready()
        answer = found.ask(found.send(phantom), QUESTION)[-1][1]
        chatted = found.post(CHAT, {**chat(phantom, QUESTION), "model": "demo"}).json["xraygpt"]
    assert "trust" not in answer
    if level == "off":
        assert answer["evidence"] is None
    else:
        assert answer["evidence"]["sentences"]
        assert answer["evidence"]["findings"]
        assert chatted["evidence"]["sentences"] == answer["evidence"]["sentences"]


@pytest.mark.parametrize("query", ["?max_px=0", "?max_px=70000", "?max_px=large", "?min_px=100"])
def test_samples_of_no_size_are_refused(server: Serving, film: str, query: str) -> None:
    assert server.get(f"/api/v1/radiographs/{film}/values{query}").code == "E-SRV-008"


def test_a_page_that_is_loaded_again_gets_the_finished_turns_as_their_streams_ended(
    server: Serving, phantom: Path
) -> None:
    film = server.send(phantom)
    first = server.ask(film, QUESTION)[-1][1]
    second = server.ask(film, "And the lungs?", conversation=first["conversation"])[-1][1]
    assert server.get(f"/api/v1/radiographs/{film}").json["answers"] == [first, second]


@pytest.mark.parametrize("query", ["?profile=pretty", "?frame=0", "?frame=x", "?force=2", "?colour=red", "?frame=9"])
def test_a_reading_that_does_not_exist_is_refused(server: Serving, phantom: Path, query: str) -> None:
    reply = server.post(f"/api/v1/radiographs{query}", phantom.read_bytes())
    assert reply.status == (422 if query == "?frame=9" else 400)


def test_ids_of_one_session_are_nothing_to_another(server: Serving, film: str) -> None:
    code = server.post("/api/v1/session/code").json["code"]
    opened = server.post("/api/v1/session", {"code": code}, Authorization="")
    other = f"Bearer {opened.json['token']}"
    assert server.get(f"/api/v1/radiographs/{film}", Authorization=other).status == 404
    again = server.post("/api/v1/session", {"code": code}, Authorization="")
    assert (again.status, again.code) == (401, "E-SRV-004")
    assert server.request("DELETE", "/api/v1/session", Authorization=other).status == 204
    assert server.get("/api/v1/status", Authorization=other).status == 401


def test_an_answer_is_taken_away_in_every_format_of_a_report(server: Serving, film: str, phantom: Path) -> None:
    from pydicom import dcmread

    done = server.ask(film, QUESTION)[-1][1]
    kept = {
        form: server.post(f"/api/v1/answers/{done['answer']}/export", {"format": form})
        for form in ("text", "html", "json", "fhir", "dicom-sr")
    }
    assert {reply.status for reply in kept.values()} == {200}
    for form in ("text", "html", "json"):
        assert NOTICE.encode() in kept[form].body
    assert kept["json"].json["records"][0]["token_ids"] == done["token_ids"]
    assert kept["fhir"].json["resourceType"] == "DiagnosticReport"
    document, original = dcmread(io.BytesIO(kept["dicom-sr"].body)), dcmread(phantom)
    assert document.PatientID == original.PatientID
    digits = done["input"]["sha256"][:8]
    assert f'filename="answer-{digits}.dcm"' in kept["dicom-sr"].headers["content-disposition"]
    unknown = server.post(f"/api/v1/answers/{done['answer']}/export", {"format": "pdf"})
    assert (unknown.status, unknown.json["error"]["param"]) == (400, "format")


def test_a_picture_has_no_patient_for_dicom_sr(server: Serving, tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "film.png"
    Image.effect_noise((400, 400), 60).save(picture)
    film = server.post("/api/v1/radiographs?force=true", picture.read_bytes()).json["id"]
    answer = server.ask(film, QUESTION)[-1][1]["answer"]
    refused = server.post(f"/api/v1/answers/{answer}/export", {"format": "dicom-sr"})
    assert (refused.status, refused.code) == (422, "E-REP-012")


def test_an_id_is_explained(server: Serving) -> None:
    assert "too many questions" in server.get("/api/v1/explain/E-SRV-003").json["what"]
    assert server.get("/api/v1/explain/E-XXX-999").status == 404


# Start and end


def test_it_says_where_it_is_and_that_the_network_is_cut_off(server: Serving) -> None:
    assert {"schema", "status", "url", "token", "port", "pid", "network"} == set(server.said)
    assert server.get("/api/v1/status").json["protections"]["loopback_only"] is True


def test_a_port_that_is_taken_ends_with_11_on_either_address(
    tiny: Path, server: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--api-only", "--port", str(server.port), "--bundle", str(tiny)]) == 11
    assert "E-SRV-001" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--port", "70000"], 2),
        (["--api-only", "--log", "/nowhere/log"], 16),
        (["--api-only", "--bundle", "/nowhere"], 10),
        (["--api-only", "--profile", "x"], 2),
    ],
)
def test_a_start_that_cannot_be_is_refused(tiny: Path, options: list[str], code: int) -> None:
    bundle = [] if "--bundle" in options else ["--bundle", str(tiny)]
    assert run(["serve", "--port", "0", *bundle, *options]) == code


def test_a_token_file_is_made_once_kept_private_and_refused_when_others_can_read_it(tmp_path: Path) -> None:
    from xraygpt_edge.errors import UsageError
    from xraygpt_edge.serve import tokens

    path = tmp_path / "token"
    token = tokens.from_file(path)
    assert len(token) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tokens.from_file(path) == token
    path.chmod(0o644)
    for bad in (path, tmp_path):
        with pytest.raises(UsageError, match=r"certificate, key, password or token"):
            tokens.from_file(bad)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 0)])
def test_it_ends_when_told_and_leaves_no_process(tiny: Path, number: int | None, code: int) -> None:
    import psutil

    with serving(tiny, module="tests.serving") as found:
        found.wait_until_ready()
        children = psutil.Process(found.process.pid).children(recursive=True)
        assert len(children) >= 2
        if number is None:
            assert found.post("/api/v1/quit").status == 202
        else:
            found.process.send_signal(number)
        assert found.process.wait(10) == code
        assert psutil.wait_procs(children, timeout=5)[1] == []


def test_it_ends_by_itself_when_nobody_asks(tiny: Path) -> None:
    with serving(tiny, "--idle-exit", "0.02", module="tests.serving") as found:
        assert found.process.wait(30) == 0
