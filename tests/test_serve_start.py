"""Starting `serve` as a person does: a browser that opens with a code, a second start, a log that says little."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.serving import ROOT, WAIT_S, Serving, serving
from tests.tiny import write_bundle
from xraygpt_edge.cli.app import run
from xraygpt_edge.serve.codes import Codes, new_code, new_key


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """A runtime folder, and a browser that writes down what it is started with."""
    (tmp_path / "runtime").mkdir(mode=0o700)
    note = tmp_path / "browser.py"
    note.write_text(f"import sys; open({str(tmp_path / 'visited')!r}, 'a').write(sys.argv[1] + '\\n')", "utf-8")
    return {"XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "BROWSER": f"{sys.executable} {note} %s"}


def visited(tmp_path: Path, count: int) -> list[str]:
    """Links that the browser was started with, once there are so many."""
    until = time.monotonic() + WAIT_S
    while True:
        links = (tmp_path / "visited").read_text("utf-8").split() if (tmp_path / "visited").exists() else []
        if len(links) >= count:
            return links
        assert time.monotonic() < until
        time.sleep(0.05)


class Linked(Serving):
    """A server whose one line of standard output is its link."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process, self.early = process, ()
        address, _, self.token = process.stdout.readline().decode().strip().partition("/#t=")
        self.port = int(address.rsplit(":", 1)[1])


@contextmanager
def linked(bundle: Path, place: dict[str, str], *more: str, module: str = "tests.serving") -> Iterator[Linked]:
    """`serve` as a person starts it."""
    command = [sys.executable, "-m", module, "serve", "--port", "0", "--bundle", str(bundle), *more]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=ROOT, env={**os.environ, **place})
    try:
        yield Linked(process)
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture
def started(tiny: Path, place: dict[str, str]) -> Iterator[Linked]:
    with linked(tiny, place) as found:
        yield found


def session_of(server: Serving, link: str) -> str:
    """The token that the page gets for the code in its link."""
    address, _, code = link.partition("/#c=")
    assert address == f"http://127.0.0.1:{server.port}"
    reply = server.post("/api/v1/session", {"code": code}, Authorization="")
    return reply.json["token"] if reply.status == 200 else reply.code


def test_the_browser_opens_with_a_code_that_works_once_and_never_with_the_token(
    started: Linked, tmp_path: Path
) -> None:
    (link,) = visited(tmp_path, 1)
    assert started.token not in link
    token = session_of(started, link)
    assert started.get("/api/v1/status", Authorization=f"Bearer {token}").status == 200
    assert session_of(started, link) == "E-SRV-004"


def start_again(server: Linked, bundle: Path, place: dict[str, str]) -> tuple[int, str]:
    """Exit code, and what was printed."""
    command = [sys.executable, "-m", "xraygpt_edge", "serve", "--bundle", str(bundle), "--port", str(server.port)]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **place}, timeout=60, check=False)
    return done.returncode, done.stdout.decode().strip()


def test_a_second_start_opens_the_page_of_the_first_and_ends(
    started: Linked, tiny: Path, place: dict[str, str], tmp_path: Path
) -> None:
    visited(tmp_path, 1)
    code, printed = start_again(started, tiny, place)
    assert (code, printed) == (0, visited(tmp_path, 2)[1])
    assert session_of(started, printed) != "E-SRV-004"
    assert start_again(started, write_bundle(tmp_path / "other", seed=1), place) == (11, "")


def test_the_file_by_which_a_server_is_found_is_its_users_alone_and_goes_with_it(
    tiny: Path, place: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "runtime" / "xraygpt-edge"
    with linked(tiny, place, "--no-browser") as server:
        (file,) = folder.iterdir()
        assert file.name == f"serve-{server.port}.json"
        assert file.stat().st_mode & 0o077 == 0
        assert server.token not in file.read_text("utf-8")
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "visited").exists()


def test_a_code_works_once_for_a_minute_and_only_with_the_servers_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = Codes(new_key())
    code, other, late = codes.new(), new_code(new_key()), codes.new()
    assert [codes.redeem(each) for each in (code, code, other, "", "\u00e9", code[:-4], "A" * 75)] == [True] + [
        False
    ] * 6
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 61)
    assert not codes.redeem(late)
    assert not codes.redeem(code)


def test_a_log_has_patterns_and_nothing_that_was_sent(tiny: Path, tmp_path: Path, phantom: Path) -> None:
    log = tmp_path / "log"
    with serving(tiny, "--log", str(log), module="tests.serving") as server:
        server.wait_until_ready()
        film = server.send(phantom)
        server.ask(film, "SECRET question")
        server.get(f"/api/v1/radiographs/{film}/values?max_px=64&SECRET=1")
        server.get("/SECRET/path")
        server.request("SECRET", "/api/v1/status")
        server.get("/api/v1/status", Host="SECRET", Authorization="Bearer SECRET")
        server.post("/v1/chat/completions", {"model": "SECRET", "messages": [{"role": "user", "content": "SECRET"}]})
    lines = [line.split() for line in log.read_text("utf-8").splitlines()]
    assert {len(line) for line in lines} == {6}
    assert not [line for line in lines if film in line[2] or "SECRET" in str(line)]
    asked = [line[1:4] for line in lines if line[2] != "/api/v1/status"]
    assert asked[0] == ["POST", "/api/v1/radiographs", "201"]
    assert asked[1] == ["POST", "/api/v1/radiographs/{r}/answers", "200"]
    assert asked[2] == ["GET", "/api/v1/radiographs/{r}/values", "400"]
    assert asked[3] == ["GET", "-", "404"]
    assert log.stat().st_mode & 0o077 == 0


def test_a_model_that_cannot_be_loaded_is_said_where_a_page_may_show_it_and_ends_the_server_otherwise(
    tiny: Path, place: dict[str, str], tmp_path: Path, phantom: Path
) -> None:
    broken = Path(shutil.copytree(tiny, tmp_path / "broken"))
    language = next(broken.glob("*.gguf"))
    language.write_bytes(b"X" * language.stat().st_size)
    with linked(broken, place, module="xraygpt_edge") as server:
        until = time.monotonic() + WAIT_S
        while (model := server.get("/api/v1/status").json["model"])["state"] == "loading":
            assert time.monotonic() < until
        assert (model["state"], model["error"]["code"][:5]) == ("failed", "E-BND")
        film = server.send(phantom)
        reply = server.post(f"/api/v1/radiographs/{film}/answers", {"question": "findings?"})
        assert (reply.status, reply.code) == (503, model["error"]["code"])
    with linked(broken, place, "--no-browser", module="xraygpt_edge") as server:
        assert server.process.wait(WAIT_S) == model["error"]["xraygpt"]["exit_code"]


@pytest.mark.skipif(sys.platform != "linux", reason="the entry of Linux")
def test_a_shortcut_starts_the_server_with_the_same_options_from_anywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    odd = '$a `b` "c" %d \\e'
    options = ["--port", "8700", "--name", "a.example", "--name", "b.example", "--api-only", "--log", odd]
    assert run(["serve", "--shortcut", *options]) == 0
    entry = Path(capsys.readouterr().out.strip())
    assert entry == tmp_path / "applications" / "xraygpt-edge.desktop"
    (command,) = (line for line in entry.read_text("utf-8").splitlines() if line.startswith("Exec="))
    unescaped = command.removeprefix("Exec=").replace("\\\\", "\\").replace("%%", "%")
    words = [re.sub(r"\\(.)", r"\1", word) for word in re.findall(r'"((?:[^"\\]|\\.)*)"', unescaped)]
    assert words[1:4] == ["-m", "xraygpt_edge", "serve"]
    assert sorted(words[4:]) == sorted([*options[:-1], str(tmp_path / odd)])
