"""Who may use the server, and how it is reached: by its own names, with the token, from no foreign page."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Reply, Serving, chat, serving
from tests.tiny import write_bundle

HEADERS = ("content-security-policy", "x-content-type-options", "referrer-policy", "cross-origin-opener-policy")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    bundle = write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    with serving(bundle, "--max-upload", "1", "--hold", "3", module="tests.serving") as found:
        yield found.wait_until_ready()


def raw(server: Serving, *lines: str, body: bytes = b"") -> bytes:
    """Send lines as they stand, read to the end of the connection."""
    with server.connect() as connection:
        connection.settimeout(10)
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        found = b""
        try:
            while data := connection.recv(65536):
                found += data
        except TimeoutError:
            pass
        return found


def status_for_host(server: Serving, *hosts: str, path: str = "/") -> int:
    lines = [f"GET {path} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close"]
    return int(raw(server, *lines).split()[1])


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/status"])
def test_a_name_that_is_not_the_servers_is_refused_before_anything_else(server: Serving, path: str) -> None:
    port = server.port
    foreign = [
        *(
            "evil.example",
            f"evil.example:{port}",
            "",
            "127.0.0.1",
            "localhost",
            f"127.0.0.1:{port + 1}",
            "localhost:80",
        ),
        *(f"printer.local:{port}", f"192.168.1.7:{port}", f"10.0.0.1:{port}", f"0.0.0.0:{port}", f"127.0.0.2:{port}"),
        *(f"[::]:{port}", f"::1:{port}", f"localhost.:{port}", f"localhost.evil.example:{port}", f"a@localhost:{port}"),
        *(f"127.0.0.1:{port}.evil.example", f"127.1:{port}", f"2130706433:{port}", f"0x7f000001:{port}", "null"),
        *(f"localhost:0{port}", f"localhost:{port}/", f"localhost:{port},evil", f"[::ffff:127.0.0.1]:{port}"),
        *(f"172.16.0.1:{port}", f"169.254.1.1:{port}", f"127.0.0.1.:{port}", f"127.0.0.1:{port}#", f"*:{port}"),
        *(
            f"127.0.0.1:{port}@evil.example",
            f"http://127.0.0.1:{port}",
            f"127.0.0.1 :{port}",
            f"[0:0:0:0:0:0:0:1]:{port}",
            "[::1]",
        ),
        *(
            f"localhost.localdomain:{port}",
            f"localhost%00:{port}",
            f"127.000.000.001:{port}",
            f"localhost:{port}.",
            f"l1calhost:{port}",
        ),
    ]
    assert len(foreign) >= 40
    assert {host: status_for_host(server, host, path=path) for host in foreign} == dict.fromkeys(foreign, 403)
    assert status_for_host(server, f"localhost:{port}", f"localhost:{port}", path=path) in {400, 403}
    assert status_for_host(server, path=path) == 400
    own = [f"127.0.0.1:{port}", f"localhost:{port}", f"LocalHost:{port}", f"[::1]:{port}"]
    assert {status_for_host(server, host, path=path) for host in own} == {401 if "api" in path else 200}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "anything"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/v1/status"), ("POST", "/v1/chat/completions"), ("POST", "/")]
)
def test_another_web_page_gets_nothing_even_with_the_token(
    server: Serving, headers: dict[str, str], method: str, path: str
) -> None:
    lines = [f"{name.replace('_', '-')}: {value.format(port=server.port)}" for name, value in headers.items()]
    head = [f"Host: 127.0.0.1:{server.port}", f"Authorization: Bearer {server.token}", "Connection: close"]
    found = raw(
        server, f"{method} {path} HTTP/1.1", *head, *lines, *(["Content-Length: 0"] if method == "POST" else [])
    )
    assert found.startswith(b"HTTP/1.1 403")
    assert b"access-control" not in found.lower()


def test_our_own_page_and_a_visit_to_the_front_are_let_in(server: Serving) -> None:
    own = server.get("/api/v1/status", Origin=f"http://localhost:{server.port}", Sec_Fetch_Site="same-origin")
    visit = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert (own.status, server.get("/", Authorization="", **visit).status) == (200, 200)
    frame = server.get("/", Authorization="", **{**visit, "Sec_Fetch_Dest": "iframe"})
    assert frame.status == 403


@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/chat/completions", "/nowhere"])
def test_a_preflight_is_refused_and_no_answer_allows_another_origin(server: Serving, path: str) -> None:
    reply = server.request("OPTIONS", path, Access_Control_Request_Method="POST")
    assert reply.status == 403
    for each in (reply, server.get(path)):
        assert [name for name in each.headers if name.startswith("access-control")] == []


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer x", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {short}"]
)
def test_without_the_token_nothing_but_the_front_is_told(server: Serving, given: str) -> None:
    header = given.format(token=server.token, short=server.token[:-1])
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/nowhere"),
        ("POST", "/api/v1/quit"),
    ):
        reply = server.request(method, path, Authorization=header)
        assert (reply.status, reply.code) == (401, "E-SRV-004")
    assert server.get(f"/v1/models?token={server.token}", Authorization=header).status == 401
    assert server.get("/", Authorization=header).status == 200
    assert server.token.encode() not in server.get("/", Authorization="").body


def replies(server: Serving) -> Iterator[Reply]:
    yield server.get("/")
    yield server.get("/healthz")
    yield server.get("/v1/models")
    yield server.get("/nowhere")
    yield server.request("PUT", "/v1/models")
    yield server.post("/v1/chat/completions", b"{")
    yield server.get("/v1/models", Authorization="")
    yield server.get("/v1/models", Host="evil")


def test_every_answer_carries_the_headers_and_no_banner(server: Serving) -> None:
    for reply in replies(server):
        assert reply.headers["cache-control"] == "no-store"
        assert set(HEADERS) <= set(reply.headers)
        assert "server" not in reply.headers
        assert "set-cookie" not in reply.headers
        if reply.status >= 400:
            error = reply.json["error"]
            assert re.fullmatch(r"E-[A-Z]{3}-\d{3}", error["code"])
            assert "Traceback" not in error["message"]


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: -1"],
        ["Transfer-Encoding: gzip, chunked"],
        ["X-A: b\x00c"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding:\x0bchunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: chunked\rContent-Length: 5"],
        ["Content-Length: +5"],
        ["Content-Length: 5, 6"],
        ["Content-Length: 0x5"],
        ["Content-Length: 5 5"],
        ["Content-Length: " + "9" * 30],
        ["Content-Length : 5"],
        ["Host: 127.0.0.1:{port}"],
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused_and_the_connection_closed(
    server: Serving, lines: list[str]
) -> None:
    head = [f"Host: 127.0.0.1:{server.port}", f"Authorization: Bearer {server.token}"]
    lines = [line.replace("{port}", str(server.port)) for line in lines]
    found = raw(server, "POST /v1/chat/completions HTTP/1.1", *head, *lines, body=b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
    assert re.match(rb"HTTP/1.1 (400|501) ", found)
    assert found.count(b"HTTP/1.1 ") == 1
    assert b"no-store" in found


def test_words_about_proxies_change_nothing(server: Serving) -> None:
    reply = server.get("/v1/models", X_Forwarded_For="1.2.3.4", X_Forwarded_Host="evil", X_Forwarded_Proto="https")
    assert reply.status == 200


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/static/../../x",
            "//evil.example/",
            "/v1/models/..%2f..%2fx",
        ),
        *("/api/v1/radiographs/%00", "/v1/models/%00", "/" + "a" * 2000, "/api/v1/radiographs/r_x/view?profile=../x"),
    ],
)
def test_a_path_leads_nowhere(server: Serving, path: str) -> None:
    assert server.get(path).status == 404


def test_what_is_too_large_is_refused_before_it_is_read(server: Serving) -> None:
    with server.connect() as connection:
        connection.sendall(server.head("POST", "/api/v1/radiographs", "Content-Length: 2000000000"))
        came = b""
        while data := connection.recv(65536):  # until the connection is closed, its body unread
            came += data
    assert came.startswith(b"HTTP/1.1 413")


def test_what_does_not_say_how_large_it_is_is_cut_at_the_limit(server: Serving) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    sent = 0
    with server.connect() as connection:
        connection.sendall(server.head("POST", "/api/v1/radiographs", "Transfer-Encoding: chunked"))
        try:
            for _ in range(1000):
                connection.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
    assert sent < 40 << 20
    assert server.get("/api/v1/status").json["limits"]["taken_bytes"] == 0


def test_files_beyond_the_memory_make_the_longest_unused_ones_leave(server: Serving, phantom: Path) -> None:
    films = [server.send(phantom) for _ in range(4)]
    assert server.get(f"/api/v1/radiographs/{films[0]}").status == 404
    assert server.get(f"/api/v1/radiographs/{films[-1]}").status == 200
    assert server.get("/api/v1/status").json["limits"]["taken_bytes"] <= 3 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means")
def test_the_server_listens_on_loopback_alone_and_can_open_no_connection(server: Serving) -> None:
    table = {}
    for name in ("tcp", "tcp6"):
        lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        table.update({line.split()[9]: line.split()[1] for line in lines if line.split()[3] == "0A"})
    links = [link.readlink().name for link in Path(f"/proc/{server.process.pid}/fd").iterdir() if link.is_symlink()]
    inodes = {match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
    addresses = {table[inode].split(":")[0] for inode in inodes if inode in table}
    assert addresses <= {"0100007F", "0" * 24 + "01000000"}
    assert addresses
    assert server.said["network"] == "cut off"
    ours, its = (Path(f"/proc/{pid}/ns/net").readlink() for pid in ("self", server.process.pid))
    filtered = "Seccomp:\t2" in Path(f"/proc/{server.process.pid}/status").read_text()
    assert ours != its or filtered


def visible_to_others() -> str:
    """Arguments of every process, as any user sees them, and environments, as the same user does."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                found.append((process / name).read_bytes().decode("utf-8", "replace"))
            except OSError:
                continue
    return "\n".join(found)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_command_line_and_no_environment_shows_a_secret(server: Serving, phantom: Path) -> None:
    code = server.post("/api/v1/session/code").json["code"]
    session = server.post("/api/v1/session", {"code": code}, Authorization="").json["token"]
    server.ask(server.send(phantom), "who-is-it")
    seen = visible_to_others()
    assert "tests.serving" in seen
    assert not [each for each in (server.token, session, code, "who-is-it") if each in seen]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_process_that_holds_a_file_leaves_a_core(server: Serving, phantom: Path) -> None:
    server.send(phantom)
    limits = [(Path("/proc") / pid / "limits").read_text("utf-8") for pid in server.pids]
    assert len(limits) > 2
    assert all(re.search(r"Max core file size +0 +0", each) for each in limits)


def test_nothing_that_was_sent_is_said_or_written(tmp_path: Path, phantom: Path) -> None:
    bundle = write_bundle(tmp_path / "tiny")
    (tmp_path / "home").mkdir()
    (tmp_path / "temporary").mkdir()
    places = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "temporary")}
    canary = "CanaryAnna1984"
    with serving(bundle, module="tests.serving", **places) as server:
        server.wait_until_ready()
        server.post(f"/v1/chat/completions?name={canary}", chat(phantom, canary, user=canary))
        server.post(f"/{canary}", canary.encode())
        server.get("/v1/models", X_Patient=canary, Authorization=canary)
        server.post("/v1/chat/completions", {"model": canary, "messages": canary})
        server.post("/api/v1/radiographs", canary.encode())
        raw(server, f"NONSENSE {canary}")
        server.post("/api/v1/quit")
        assert server.process.wait(10) == 0
        said = server.process.stdout.read() + server.process.stderr.read()
    assert canary.encode() not in said
    written = [path for place in ("home", "temporary") for path in (tmp_path / place).rglob("*") if path.is_file()]
    assert written == []
