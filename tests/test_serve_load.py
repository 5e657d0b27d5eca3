"""Many clients, leaving ones, slow ones, processes that die: nobody waits for ever or gets another's answer."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from tests.drawn_dicom import as_bytes, chest, dataset
from tests.serving import WAIT_S, Serving, chat, serving
from tests.tiny import write_bundle

CHAT = "/v1/chat/completions"
LONG = "repeat 3000 word"
"""A minute of the slow model."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def server(tiny: Path) -> Iterator[Serving]:
    with serving(tiny, module="tests.serving") as found:
        yield found.wait_until_ready()


@pytest.fixture(scope="module")
def film(server: Serving, phantom: Path) -> str:
    return server.send(phantom)


def until(what: Any) -> None:
    ends = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.02)


def queue(server: Serving) -> dict[str, Any]:
    return server.get("/api/v1/status").json["queue"]


def until_ended(processes: list[psutil.Process], most_s: float) -> float:
    """Seconds until all have ended, which is within so many."""
    began_s = time.monotonic()
    until(lambda: all(map(has_ended, processes)))
    taken_s = time.monotonic() - began_s
    assert taken_s <= most_s
    return taken_s


def has_ended(process: psutil.Process) -> bool:
    """Also one that nobody has asked for its exit code: that is up to the system's first process."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def is_idle(server: Serving) -> bool:
    return queue(server) == {"waiting": 0, "busy": False}


def test_of_fifty_who_ask_at_once_each_gets_its_own_answer_or_is_told_to_come_again(
    server: Serving, phantom: Path
) -> None:
    barrier = threading.Barrier(50)

    def one(number: int) -> tuple[int, Any]:
        body = chat(phantom, f"repeat 4 w{number}", stream=number % 2 == 0, xraygpt={"notice": False})
        barrier.wait()
        return number, server.post(CHAT, body)

    slowest_s = 0.0
    with ThreadPoolExecutor(50) as pool:
        coming = [pool.submit(one, number) for number in range(50)]
        while not all(each.done() for each in coming):
            began_s = time.monotonic()
            server.get("/api/v1/status")
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            time.sleep(0.05)
    answered = 0
    for number, reply in (each.result() for each in coming):
        if reply.status == 503:
            assert reply.code == "E-SRV-003"
            assert (reply.headers["x-should-retry"], int(reply.headers["retry-after"]) <= 60) == ("true", True)
            continue
        answered += 1
        if number % 2:
            text = reply.json["choices"][0]["message"]["content"]
        else:
            assert reply.frames[-1][1] == "[DONE]"
            text = "".join(f["choices"][0]["delta"].get("content", "") for _, f in reply.frames[:-1])
        assert text.split() == [f"w{number}"] * 4
    assert answered >= 33
    assert is_idle(server)
    print(f"answered {answered}, slowest status {slowest_s:.3f} s")  # shown with -s


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_while_it_is_answered_makes_room_at_once(
    server: Serving, phantom: Path, *, stream: bool
) -> None:
    leaving = server.begin(CHAT, chat(phantom, LONG, stream=stream))
    until(lambda: queue(server)["busy"])
    time.sleep(0.1)
    leaving.close()
    reply = server.post(CHAT, chat(phantom, "here", xraygpt={"notice": False}))
    assert reply.json["choices"][0]["message"]["content"] == "here"
    assert is_idle(server)


def test_a_client_that_leaves_while_it_waits_is_gone_from_the_queue(server: Serving, phantom: Path, film: str) -> None:
    first = server.begin(CHAT, chat(phantom, LONG))
    until(lambda: queue(server)["busy"])
    waiting = [server.begin(CHAT, chat(phantom, LONG, stream=stream)) for stream in (True, False)]
    waiting.append(server.begin(f"/api/v1/radiographs/{film}/answers", {"question": LONG}))
    until(lambda: queue(server)["waiting"] == 3)
    for each in waiting:
        each.close()
    until(lambda: queue(server)["waiting"] == 0)
    assert queue(server)["busy"]
    first.close()
    until(lambda: is_idle(server))


def test_who_waits_is_told_its_place_and_moves_up(server: Serving, film: str, phantom: Path) -> None:
    first = server.begin(CHAT, chat(phantom, LONG))
    until(lambda: queue(server)["busy"])
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(server.ask, film, "one")
        until(lambda: queue(server)["waiting"] == 1)
        two = pool.submit(server.ask, film, "two")
        until(lambda: queue(server)["waiting"] == 2)
        first.close()
        told = [each.result() for each in (one, two)]
    places = [[data["position"] for name, data in each if name == "queued"] for each in told]
    assert places == [[1], [2, 1]]
    assert [each[-1][1]["text"] for each in told] == ["one", "two"]
    assert [name for name, _ in told[0]] == ["queued", "started", "text", "done"]


def test_who_waits_for_long_gets_ordinary_chunks_with_its_place(server: Serving, phantom: Path) -> None:
    first = server.begin(CHAT, chat(phantom, LONG))
    until(lambda: queue(server)["busy"])
    waiting = server.begin(CHAT, chat(phantom, "now", stream=True, xraygpt={"notice": False}))
    came = waiting.recv(65536)
    while b"queue" not in came:
        came += waiting.recv(65536)
    first.close()
    while b"[DONE]" not in came:
        came += waiting.recv(65536)
    waiting.close()
    assert b"\n:" not in came
    assert b'"xraygpt":{"queue":{"position":1,"wait_s":' in came


@pytest.mark.slow
def test_who_waits_holds_no_file_in_memory(server: Serving, phantom: Path, tmp_path: Path) -> None:
    from pydicom import dcmread

    dataset = dcmread(phantom)
    dataset.private_block(0x0011, "PADDING", create=True).add_new(1, "OB", bytes(16 << 20))
    large = tmp_path / "large.dcm"
    dataset.save_as(large)
    process = psutil.Process(server.process.pid)
    first = server.begin(CHAT, chat(phantom, LONG))
    until(lambda: queue(server)["busy"])
    before = process.memory_info().rss
    waiting = []
    for number in range(10):
        waiting.append(server.begin(CHAT, chat(large, f"repeat 2 w{number}", stream=number % 2 == 0)))
        until(lambda: queue(server)["waiting"] == len(waiting))
    assert server.get("/api/v1/status").json["limits"]["taken_bytes"] <= phantom.stat().st_size * 2
    grown = process.memory_info().rss - before
    print(f"grown by {grown / 1e6:.0f} MB")  # shown with -s
    for connection in (first, *waiting):
        connection.close()
    assert grown < 110 << 20  # ten files and their base64 are 380 MB
    until(lambda: is_idle(server))


def test_a_stopped_answer_keeps_what_it_has_said(server: Serving, film: str) -> None:
    asking = server.begin(f"/api/v1/radiographs/{film}/answers", {"question": LONG})
    came = b""
    while b"event: text" not in came:
        came += asking.recv(65536)
    answer = came.split(b'"answer":"')[1].split(b'"')[0].decode()
    assert server.request("DELETE", f"/api/v1/answers/{answer}").status == 202
    while b"event: done" not in came or not came.endswith(b"0\r\n\r\n"):
        came += asking.recv(65536)
    asking.close()
    assert b'"finish_reason":"cancelled"' in came
    assert b'"text":"word' in came.split(b"event: done")[1]
    assert server.request("DELETE", f"/api/v1/answers/{answer}").status == 404


def test_a_death_of_the_model_is_one_questions_and_the_others_keep_their_places(tiny: Path, phantom: Path) -> None:
    with serving(tiny, module="tests.serving") as server:
        server.wait_until_ready()
        film = server.send(phantom)
        first = server.begin(CHAT, chat(phantom, LONG))
        until(lambda: queue(server)["busy"])
        with ThreadPoolExecutor(3) as pool:
            dying = pool.submit(server.post, CHAT, chat(phantom, "die"))
            until(lambda: queue(server)["waiting"] == 1)
            after = pool.submit(server.ask, film, "after")
            until(lambda: queue(server)["waiting"] == 2)
            first.close()
        assert (dying.result().status, dying.result().code) == (503, "E-SRV-015")
        assert after.result()[-1][1]["text"] == "after"
        assert server.ask(film, "die")[-1][1]["error"]["code"] == "E-SRV-015"
        refused = server.post(CHAT, chat(phantom, "once more"))
        assert (refused.status, refused.code) == (422, "E-SRV-019")
        assert server.get("/api/v1/status").json["model"]["restarts"] == 2


def test_three_deaths_with_no_answer_between_end_the_server_with_19(tiny: Path, root: Path) -> None:
    with serving(tiny, module="tests.serving") as server:
        server.wait_until_ready()
        films = sorted((root / "examples").glob("*.dcm"))[:3]
        for film in films:
            until(lambda: server.process.poll() is not None or not queue(server)["busy"])
            server.post(CHAT, chat(film, "die"))
        assert server.process.wait(20) == 19


@pytest.mark.parametrize("moment", ["while it starts", "when it is ready"])
def test_a_killed_server_leaves_no_process_and_its_port_is_free(tiny: Path, phantom: Path, moment: str) -> None:
    with serving(tiny, module="tests.serving") as server:
        if moment == "when it is ready":
            server.wait_until_ready()
            server.send(phantom)
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children
        server.process.kill()
        until_ended(children, 5)
        port = str(server.port)
    with serving(tiny, "--port", port, module="tests.serving") as again:
        assert again.port == int(port)


def test_open_streams_get_a_last_word_when_the_server_ends(tiny: Path, phantom: Path) -> None:
    with serving(tiny, module="tests.serving") as server:
        server.wait_until_ready()
        film = server.send(phantom)
        asking = server.begin(f"/api/v1/radiographs/{film}/answers", {"question": LONG})
        came = b""
        while b"event: text" not in came:
            came += asking.recv(65536)
        server.process.send_signal(signal.SIGTERM)
        while data := asking.recv(65536):
            came += data
        asking.close()
        assert b"event: failed" in came
        assert server.process.wait(10) == 143


def test_sessions_take_turns_whoever_asks_most(server: Serving, phantom: Path) -> None:
    code = server.post("/api/v1/session/code").json["code"]
    token = server.post("/api/v1/session", {"code": code}, Authorization="").json["token"]
    other = f"Bearer {token}"
    own, theirs = server.send(phantom), server.post("/api/v1/radiographs", phantom.read_bytes(), Authorization=other)
    asking = [server.begin(f"/api/v1/radiographs/{own}/answers", {"question": LONG}) for _ in range(6)]
    until(lambda: queue(server)["waiting"] == 5)
    path = f"/api/v1/radiographs/{theirs.json['id']}/answers"
    with ThreadPoolExecutor(1) as pool:
        hello = pool.submit(server.post, path, {"question": "hello"}, Authorization=other)
        until(lambda: queue(server)["waiting"] == 6)
        asking[0].close()  # whoever is next may be answered now
        event, place = hello.result().frames[0]
    assert (event, place["position"]) == ("queued", 1)
    for each in asking[1:]:
        each.close()
    until(lambda: is_idle(server))


@pytest.mark.slow
def test_half_open_connections_hold_up_nobody_and_are_closed(server: Serving, film: str) -> None:
    half_open = [server.connect() for _ in range(200)]
    for connection in half_open:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: ")
    assert server.ask(film, "hello")[-1][1]["text"] == "hello"
    for connection in half_open[:5]:
        connection.settimeout(WAIT_S)
        assert connection.recv(1) == b""  # after 10 s
    for connection in half_open:
        connection.close()


@pytest.mark.slow
def test_a_body_that_stands_still_is_answered_with_408(server: Serving) -> None:
    with server.connect() as connection:
        connection.sendall(server.head("POST", "/api/v1/radiographs", "Content-Length: 100") + b"few")
        assert b"HTTP/1.1 408" in connection.recv(65536)


def test_what_a_session_had_is_forgotten_when_it_ends_though_nobody_asks_for_it(tiny: Path, phantom: Path) -> None:
    with serving(tiny, module="tests.serving", TEST_SESSION_IDLE_S="2") as server:
        code, programs = server.post("/api/v1/session/code").json["code"], server.token
        server.token = server.post("/api/v1/session", {"code": code}, Authorization="").json["token"]
        server.send(phantom)
        server.token = programs
        assert taken_bytes(server) > 0
        until(lambda: taken_bytes(server) == 0)


def taken_bytes(server: Serving) -> int:
    return server.get("/api/v1/status").json["limits"]["taken_bytes"]


@pytest.mark.slow
def test_two_gigabytes_are_cut_at_the_limit_and_cost_no_more_memory_than_it(tiny: Path) -> None:
    """With a length that says so, without one, and with one that is just below the limit; three times each."""
    with serving(tiny, module="tests.serving") as server:
        server.wait_until_ready()
        process = psutil.Process(server.process.pid)
        before = process.memory_info().rss
        sent = [poured(server, *how) for how in POURED for _ in range(3)]
        peak = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text("utf-8"))[1]) << 10
        print(f"sent {[n >> 20 for n in sent]} MB, peak {peak - before >> 20} MB over {before >> 20}")  # shown with -s
        assert max(sent) < 200 << 20
        assert peak - before <= (128 + 40) << 20
        assert server.get("/api/v1/status").json["limits"]["taken_bytes"] == 0


POURED = (("Content-Length: 2147483648", 0), ("Transfer-Encoding: chunked", 1), ("Content-Length: 130000000", 0))


def poured(server: Serving, header: str, is_chunked: int) -> int:
    """Bytes of two gigabytes that the server took, or of the length that it was told."""
    block = b"100000\r\n" * is_chunked + bytes(1 << 20) + b"\r\n" * is_chunked
    sent = 0
    with server.connect() as connection:
        connection.sendall(server.head("POST", "/api/v1/radiographs", header))
        try:
            while sent < 2 << 30:
                connection.sendall(block)
                sent += len(block)
        except OSError:
            pass
    return sent


KILLS = int(os.environ.get("XRAYGPT_KILLS", "200"))


@pytest.mark.soak
def test_a_server_that_is_killed_at_any_moment_leaves_no_process_and_a_free_port(tiny: Path, phantom: Path) -> None:
    random = Random(7)
    slowest_s, port = 0.0, "0"
    for _ in range(KILLS):
        with serving(tiny, "--port", port, module="tests.serving") as server:
            port = str(server.port)
            if random.random() < 0.7:
                server.wait_until_ready()
                server.begin(CHAT, chat(phantom, LONG)).close()
            time.sleep(random.uniform(0, 0.5))
            children = psutil.Process(server.process.pid).children(recursive=True)
            server.process.kill()
            slowest_s = max(slowest_s, until_ended(children, 10))
    print(f"{KILLS} kills, slowest end of the children {slowest_s:.2f} s")  # shown with -s


@pytest.mark.soak
def test_a_model_process_that_is_killed_again_and_again_costs_one_question_each_time(
    server: Serving, tmp_path: Path
) -> None:
    """Each time with another film: one that has killed it twice is refused."""
    before = server.get("/api/v1/status").json["model"]["restarts"]
    film = tmp_path / "film.dcm"
    for number in range(KILLS):
        film.write_bytes(as_bytes(dataset(chest(), InstanceNumber=number)))
        with ThreadPoolExecutor(2) as pool:
            dying = pool.submit(server.post, CHAT, chat(film, LONG))
            until(lambda: queue(server)["busy"])
            waiting = pool.submit(server.post, CHAT, chat(film, f"w{number}", xraygpt={"notice": False}))
            until(lambda: queue(server)["waiting"] == 1)
            model_process(server).kill()
            assert (dying.result().status, dying.result().code) == (503, "E-SRV-015")
            assert waiting.result().json["choices"][0]["message"]["content"] == f"w{number}"
    killed = server.get("/api/v1/status").json["model"]["restarts"] - before
    print(f"{killed} deaths of the model, no waiting question lost")  # shown with -s
    assert killed == KILLS


def model_process(server: Serving) -> psutil.Process:
    children = psutil.Process(server.process.pid).children(recursive=True)
    return next(each for each in children if "tests.slow_model" in " ".join(each.cmdline()))


@pytest.mark.soak
def test_three_hundred_leaving_clients_leave_nothing_behind(server: Serving, phantom: Path, film: str) -> None:
    process = psutil.Process(server.process.pid)
    sizes = []
    for _ in range(3):
        for number in range(100):
            leaving = server.begin(CHAT, chat(phantom, f"repeat 3000 w{number}", stream=number % 2 == 0))
            time.sleep(0.01 * (number % 7))
            leaving.close()
        until(lambda: is_idle(server))
        sizes.append((process.memory_info().rss, process.num_fds(), process.num_threads()))
    assert server.ask(film, "still here")[-1][1]["text"] == "still here"
    assert sizes[-1][0] < sizes[0][0] * 1.1
    until(lambda: process.num_fds() <= sizes[0][1])  # the last connection is closed a moment after its answer
    assert sizes[-1][2] <= sizes[0][2] + 8  # threads of a pool that has not grown to its size yet
