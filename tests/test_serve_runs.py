"""Folder runs of `serve`: every film answered once, a person first, nothing lost, and kept as a batch keeps it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import drawn_dicom
from tests.serving import WAIT_S, Reply, Serving, serving
from tests.tiny import write_bundle
from xraygpt_edge.batch import Job, Running, Settings
from xraygpt_edge.batch import run as batch
from xraygpt_edge.batch.walk import BARE_DICOM, IMAGE_ENDINGS, look_at
from xraygpt_edge.cli.app import run as command
from xraygpt_edge.errors import OutputError
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.host import Room
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.imaging.sniff import BRANDS, HEAD_BYTES, OTHER_STARTS, READ_STARTS, UNREAD_STARTS
from xraygpt_edge.ledger import Answered, Ledger, Records, claimed
from xraygpt_edge.records import Failure
from xraygpt_edge.serve.questions import Questions
from xraygpt_edge.serve.runs.keeping import Keeper
from xraygpt_edge.serve.runs.registry import Runs
from xraygpt_edge.serve.runs.run import Asked

pytestmark = pytest.mark.long

QUESTIONS = ["What are the main findings?", "Is the heart enlarged?"]
TOKENS = "8"


class Run:
    """A run as a browser sees it."""

    def __init__(self, server: Serving, files: int, questions: list[str] = QUESTIONS, **more: Any) -> None:
        self.server = server
        reply = server.post("/api/v1/runs", {"questions": questions, "files": files, **more})
        assert reply.status == 201, reply.body
        self.path = f"/api/v1/runs/{reply.json['id']}"

    def put(self, number: int, data: bytes, name: str = "", *, sent: bytes | None = None) -> Reply:
        headers = {"X_SHA256": sha256(data).hexdigest(), "X_Name": base64.b64encode(name.encode()).decode()}
        return self.server.request("PUT", f"{self.path}/files/{number}", data if sent is None else sent, **headers)

    def probe(self, number: int, data: bytes) -> Reply:
        return self.put(number, data, sent=b"")

    def send(self, films: list[bytes], first: int = 1) -> None:
        """Each as soon as there is room."""
        for number, film in enumerate(films, first):
            until(lambda number=number, film=film: self.put(number, film, f"folder/film {number}.png").status != 409)

    def told(self, after: int = 0) -> dict[str, Any]:
        return self.server.get(f"{self.path}?after={after}").json

    def ended(self) -> dict[str, Any]:
        until(lambda: self.told()["state"] == "ended")
        return self.told()

    def export(self, form: str) -> bytes:
        reply = self.server.post(f"{self.path}/export", {"format": form})
        assert reply.status == 200, reply.body
        return reply.body


def until(is_so: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < limit_s
        time.sleep(0.02)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def films(root: Path) -> list[bytes]:
    return [film.read_bytes() for film in sorted((root / "examples").glob("*.dcm"))[:4]]


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[Serving]:
    with serving(tiny, "--max-tokens", TOKENS, "--parallel", "2") as found:
        yield found.wait_until_ready()


@pytest.fixture(scope="module")
def done(server: Serving, films: list[bytes]) -> Run:
    """A run that has ended."""
    found = Run(server, len(films))
    found.send(films)
    found.ended()
    return found


@pytest.fixture(scope="module")
def slow_server(tiny: Path) -> Iterator[Serving]:
    """A word every 20 ms, as many at the same time as there is room for."""
    with serving(tiny, "--parallel", "2", module="tests.serving") as found:
        yield found.wait_until_ready()


@pytest.fixture
def slow(slow_server: Serving) -> Iterator[Serving]:
    """Without the runs of others."""
    yield slow_server
    for run in slow_server.get("/api/v1/runs").json["runs"]:
        assert slow_server.request("DELETE", f"/api/v1/runs/{run['id']}").status == 204


def answers(told: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {row["sha256"]: {each["question"]: each["text"] for each in row["answers"]} for row in told["rows"]}


# What becomes of the films


def test_every_film_gets_the_answers_that_batch_gives(
    done: Run, films: list[bytes], tiny: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "films", tmp_path / "out"
    folder.mkdir()
    for number, film in enumerate(films):
        (folder / f"{number}.dcm").write_bytes(film)
    settings = Settings(sampling=Sampling(max_tokens=int(TOKENS)))
    digest = sha256((tiny / "manifest.json").read_bytes()).hexdigest()
    batch(Job(folder, tiny, digest, tuple(QUESTIONS), settings), out, Running(parallel=2))
    wanted: dict[str, dict[str, str]] = {}
    for entry in Records(out):
        assert isinstance(entry.row, Answered)
        wanted.setdefault(entry.row.input.sha256, {})[entry.row.question] = entry.row.text
    assert answers(done.told()) == wanted
    assert done.told()["counts"] == {"ok": len(films)}


def test_who_asks_what_has_changed_is_told_that_alone(done: Run) -> None:
    told = done.told()
    assert [row["n"] for row in done.told(told["after"])["rows"]] == []
    assert len(done.told(told["after"] - 1)["rows"]) == 1


def test_a_known_film_is_answered_at_once_without_its_bytes(server: Serving, done: Run, films: list[bytes]) -> None:
    again = Run(server, 2)
    reply = again.probe(1, films[0])
    assert (reply.status, reply.json["known"]) == (200, True)
    assert again.put(2, films[1]).status == 200
    assert again.told()["state"] == "ended"
    assert answers(again.told()).items() <= answers(done.told()).items()
    other = Run(server, 1, ["Is this chest x-ray normal?"])
    assert (other.probe(1, films[0]).status, other.probe(1, films[0]).json["state"]) == (202, "wanted")


def test_a_file_that_is_no_radiograph_fails_or_is_left_out_and_the_others_go_on(
    server: Serving, films: list[bytes]
) -> None:
    report = drawn_dicom.dataset(drawn_dicom.chest(), SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Rows=None)
    del report.PixelData
    found = Run(server, 3, left_out={"hidden": 2})
    found.send([b"no radiograph at all", drawn_dicom.as_bytes(report), films[0]])
    told = found.ended()
    rows = {row["n"]: row for row in told["rows"]}
    assert [rows[n]["state"] for n in (1, 2, 3)] == ["failed", "left out", "ok"]
    assert rows[1]["error"]["code"] == "E-IMG-001"
    assert found.put(1, b"no radiograph at all").status == 200  # a failure may be sent again, and is tried again
    assert found.put(1, films[1]).status in {200, 202}  # and so may another file in its place
    assert found.ended()["counts"] == {"ok": 2, "left out": 1}


@pytest.mark.parametrize(
    ("number", "headers", "status", "param"),
    [
        ("0", {}, 404, "n"),
        ("3", {}, 404, "n"),
        ("x", {}, 404, "n"),
        ("1", {"X_SHA256": ""}, 400, "x-sha256"),
        ("1", {"X_SHA256": "0" * 64}, 400, "x-sha256"),
        ("1", {"X_Name": "%"}, 400, "x-name"),
    ],
)
def test_what_a_run_cannot_take_is_refused_by_its_field(
    server: Serving, films: list[bytes], number: str, headers: dict[str, str], status: int, param: str
) -> None:
    found = Run(server, 2, ["What is new?"])
    given = {"X_SHA256": sha256(films[0]).hexdigest(), **headers}
    reply = server.request("PUT", f"{found.path}/files/{number}", films[0], **given)
    assert (reply.status, reply.json["error"]["param"]) == (status, param)
    assert found.told()["counts"] == {}


def test_a_run_belongs_to_its_session(server: Serving, done: Run, films: list[bytes]) -> None:
    code = server.post("/api/v1/session/code").json["code"]
    token = server.post("/api/v1/session", {"code": code}).json["token"]
    stranger = {"Authorization": f"Bearer {token}"}
    assert server.get(done.path, **stranger).status == 404
    assert server.request("DELETE", done.path, **stranger).status == 404
    assert server.get("/api/v1/runs", **stranger).json == {"runs": []}
    theirs = server.request("POST", "/api/v1/runs", {"questions": QUESTIONS, "files": 1}, **stranger).json["id"]
    probe = server.request(
        "PUT", f"/api/v1/runs/{theirs}/files/1", b"", X_SHA256=sha256(films[0]).hexdigest(), **stranger
    )
    assert probe.json["state"] == "wanted"  # what others were told is not known to them


def test_a_forgotten_run_is_gone(server: Serving) -> None:
    found = Run(server, 1)
    assert server.request("DELETE", found.path).status == 204
    assert server.get(found.path).status == 404


def test_a_row_is_opened_as_a_conversation_about_its_radiograph(server: Serving, done: Run, phantom: Path) -> None:
    held = server.send(phantom)
    reply = server.post(f"{done.path}/files/1/open", {"radiograph": held})
    assert [each["question"] for each in reply.json["answers"]] == QUESTIONS
    kept = server.get(f"/api/v1/radiographs/{held}").json["answers"]
    assert kept == reply.json["answers"]
    follow_up = server.ask(held, "And the lungs?", conversation=kept[0]["conversation"])
    assert follow_up[-1][0] == "done"
    assert server.post(f"{done.path}/files/2/open", {"radiograph": held}).status == 404


# Many at once, and a person first


def test_only_a_few_films_are_taken_ahead(slow: Serving, films: list[bytes]) -> None:
    found = Run(slow, 5, ["repeat 500 cat"])
    until(lambda: found.told()["room"] >= 4)
    assert [found.put(n, film).status for n, film in enumerate(films, 1)] == [202] * 4
    refused = found.put(5, films[0] + b" ")
    assert (refused.status, refused.code) == (409, "E-SRV-021")
    assert found.told()["room"] == 0
    until(lambda: found.told()["counts"] == {"answering": 2, "waiting": 2})


def test_a_person_is_answered_while_a_run_goes_on(slow: Serving, films: list[bytes], phantom: Path) -> None:
    held, found = slow.send(phantom), Run(slow, 4, ["repeat 1000 cat"])
    found.send(films)
    until(lambda: found.told()["counts"].get("answering") == 2)
    assert slow.ask(held, "hello")[-1][1]["text"] == "hello"
    assert found.told()["counts"]["answering"] == 2


def test_a_paused_run_begins_nothing_and_goes_on_when_told(slow: Serving, films: list[bytes]) -> None:
    found = Run(slow, 4, ["repeat 20 cat"])
    assert slow.post(f"{found.path}/pause").json["state"] == "paused"
    assert found.put(1, films[0]).status == 202
    assert found.told()["counts"] == {"waiting": 1}
    assert slow.post(f"{found.path}/resume").json["state"] == "going"
    found.send(films[1:], 2)
    assert found.ended()["counts"] == {"ok": 4}


def test_a_film_that_kills_the_model_twice_fails_and_the_server_goes_on(
    slow: Serving, films: list[bytes], phantom: Path
) -> None:
    found = Run(slow, 1, ["die"])
    found.send(films[:1])
    row = found.ended()["rows"][0]
    assert (row["state"], row["error"]["code"]) == ("failed", "E-BAT-020")
    until(lambda: slow.get("/api/v1/status").json["model"]["state"] == "ready")
    assert slow.ask(slow.send(phantom), "hello")[-1][0] == "done"


# Taking away


def test_a_run_is_taken_away_as_every_kind_of_report(done: Run, films: list[bytes]) -> None:
    csv = done.export("csv").decode("utf-8-sig").splitlines()
    assert len(csv) == 1 + len(films) * len(QUESTIONS)
    assert len(json.loads(done.export("json"))["records"]) == len(films) * len(QUESTIONS)
    assert b"Content-Security-Policy" in done.export("html")
    names = zipfile.ZipFile(io.BytesIO(done.export("all"))).namelist()
    ids = [sha256(film).hexdigest()[:16] for film in films]
    reports = ["report.csv", "report.html", "report.json"]
    assert set(names) == {*reports, *(f"dicom-sr/{each}.dcm" for each in ids), *(f"fhir/{each}.json" for each in ids)}
    refused = done.server.post(f"{done.path}/export", {"format": "pdf"})
    assert (refused.status, refused.json["error"]["param"]) == (400, "format")


def test_what_has_no_report_is_listed_with_the_reason(server: Serving, done: Run, films: list[bytes]) -> None:
    """A film that was known is not sent again, so nobody knows its patient."""
    again = Run(server, 1)
    assert again.probe(1, films[0]).status == 200
    archive = zipfile.ZipFile(io.BytesIO(again.export("dicom-sr")))
    assert archive.namelist() == ["dicom-sr/left-out.txt"]
    assert "E-REP-010" in archive.read("dicom-sr/left-out.txt").decode()


def test_a_name_is_told_to_nobody_where_nothing_is_kept(done: Run) -> None:
    everything = zipfile.ZipFile(io.BytesIO(done.export("all")))
    text = b"".join(everything.read(name) for name in everything.namelist()) + json.dumps(done.told()).encode()
    assert b"folder/film" not in text


# The rules of batch


def test_a_file_is_left_out_for_the_reason_that_batch_has(server: Serving, films: list[bytes], tmp_path: Path) -> None:
    starts = [*READ_STARTS, *UNREAD_STARTS, *OTHER_STARTS, *BARE_DICOM, b"", b"hello", films[0]]
    starts += [b"\0\0\0\x18ftyp" + brand for brand in BRANDS] + [b"RIFF....WEBP", b"RIFF....AVI ", b"BM" + bytes(16)]
    heads = [start[:HEAD_BYTES] for start in starts]
    wanted = []
    for number, head in enumerate(heads):
        (tmp_path / str(number)).write_bytes(head)
        look = look_at(tmp_path / str(number))
        wanted.append(look.reason if look.skip else "")
    asked = {"heads": [base64.b64encode(head).decode() for head in heads]}
    assert server.post("/api/v1/looks", asked).json == {"reasons": wanted}
    assert server.get("/api/v1/status").json["folder"]["endings"] == list(IMAGE_ENDINGS)


# Kept


def rows(folder: Path) -> dict[str, list[str]]:
    """Path → what was said."""
    found: dict[str, list[str]] = {}
    for entry in Records(folder):
        found.setdefault(entry.row.path, []).append(getattr(entry.row, "text", "failed"))
    return found


def test_a_kept_run_is_a_batchs_folder_and_outlives_a_server_that_is_killed(
    tiny: Path, films: list[bytes], tmp_path: Path
) -> None:
    keep = tmp_path / "kept"
    options = ("--keep", str(keep), "--max-tokens", TOKENS, "--parallel", "2")
    with serving(tiny, *options) as server:
        found = Run(server.wait_until_ready(), 4, QUESTIONS[:1])
        found.send(films[:2])
        until(lambda: found.told()["counts"].get("ok") == 2)
        assert found.told()["rows"][0]["name"] == "folder/film 1.png"
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    before = rows(keep)
    assert set(before) == {"folder/film 1.png", "folder/film 2.png"}
    with serving(tiny, *options) as server:
        again = Run(server.wait_until_ready(), 4, QUESTIONS[:1], left_out={"hidden": 1})
        assert [again.probe(n, film).status for n, film in enumerate(films, 1)] == [200, 200, 202, 202]
        assert again.put(3, films[2], "folder/film 1.png").status == 202  # another file of that name
        assert again.put(4, films[3], "../../etc/\0passwd").status == 202
        again.ended()
        until((keep / "summary.json").exists)
        other = Run(server, 1, QUESTIONS[1:])
        other.send(films[:1])
        other.ended()
    third = f"folder/film 1 ({sha256(films[2]).hexdigest()[:8]}).png"
    assert before.items() <= rows(keep).items()
    assert set(rows(keep)) >= {third, "etc/passwd"}
    summary = json.loads((keep / "summary.json").read_bytes())
    assert (summary["failed"], summary["skipped_by_reason"]) == (0, {"hidden": 1})
    assert command(["report", str(keep), "--to", "csv", "--out", str(tmp_path / "all.csv")]) == 0
    assert (tmp_path / "all.csv").read_text("utf-8-sig").count("\n") == 1 + sum(map(len, rows(keep).values()))
    [elsewhere] = keep.glob("run-*")
    assert len(rows(elsewhere)) == 1


def test_a_folder_that_another_process_holds_or_nobody_can_write_is_told_at_the_start(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    begin = ["serve", "--api-only", "--port", "0", "--bundle", str(tiny), "--keep"]
    assert command([*begin, str(tmp_path / "file" / "kept")]) == 16
    assert "E-OUT-002" in capsys.readouterr().err
    with claimed(tmp_path / "held"):
        assert command([*begin, str(tmp_path / "held")]) == 11
    assert "E-BAT-011" in capsys.readouterr().err


class Idle:
    """A model host that answers nothing."""

    def make_room(self, room: Room) -> None:
        """None is needed."""


def test_a_disk_that_is_full_ends_the_run_until_it_is_told_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = Failure("E-IMG-001", "no picture", 4)

    def full(*_: object) -> None:
        raise OutputError("E-OUT-002", "No space left on device")

    async def story() -> None:
        settings = SimpleNamespace(
            keep=Keeper(tmp_path, "0" * 64), parallel=1, template=None, sampling=Sampling(max_tokens=8)
        )
        runs = Runs(settings, Questions(1))
        runs.attach(Idle(), asyncio.get_running_loop())
        run = await runs.begin("me", Asked(("findings?",), ReadOptions()), 2, {})
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "append", full)
            await runs.refuse(run, runs.film(run, 1, "a" * 64, "one.dcm"), failure)
        assert (run.state, run.error.error_id, run.films) == ("broken", "E-OUT-002", {})
        runs.resume(run)
        await runs.refuse(run, runs.film(run, 1, "a" * 64, "one.dcm"), failure)
        assert (run.state, run.told(0, 0, names=True)["rows"][0]["state"]) == ("going", "failed")
        runs.close()

    asyncio.run(story())
    assert rows(tmp_path) == {"one.dcm": ["failed"]}


@pytest.mark.slow
def test_no_record_that_was_shown_is_lost_when_the_server_is_killed(
    tiny: Path, films: list[bytes], tmp_path: Path
) -> None:
    """Each time at another moment of a run; XRAYGPT_KILLS says how often."""
    shown: set[str] = set()
    for number in range(int(os.environ.get("XRAYGPT_KILLS", "5"))):
        keep, question = tmp_path / "kept", f"repeat {number + 1} cat"
        with serving(tiny, "--keep", str(keep / str(number)), "--parallel", "2", module="tests.serving") as server:
            found = Run(server.wait_until_ready(), 5, [question])
            found.send(films)
            until(lambda found=found: found.told()["counts"].get("ok", 0) >= 1)
            time.sleep(number % 5 * 0.02)
            shown = {row["name"] for row in found.told()["rows"] if row["state"] == "ok"}
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        assert shown <= set(rows(keep / str(number)))
