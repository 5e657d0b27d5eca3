"""A ward: other computers reach the server by TLS and a password, and nobody sees what is another's."""

from __future__ import annotations

import asyncio
import io
import shutil
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving import ROOT, WAIT_S, chat
from tests.tiny import write_bundle
from tests.warding import PASSWORD, Warding, ward_options, warding, write_certificate
from xraygpt_edge.cli.app import run
from xraygpt_edge.errors import UsageError
from xraygpt_edge.serve import passwords, sessions
from xraygpt_edge.serve import ward as wards
from xraygpt_edge.serve.addresses import names, origin
from xraygpt_edge.serve.codes import Codes, new_key
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.guard import Guard
from xraygpt_edge.serve.passwords import Guesses
from xraygpt_edge.serve.ward import Reach, context_of, reach

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ward")


@pytest.fixture(scope="module")
def ward(tiny: Path, folder: Path) -> Iterator[Warding]:
    with warding(tiny, folder, "--token-file", str(folder / "token")) as found:
        yield found


# Who may listen where


OUTSIDE = ["0.0.0.0", "192.168.1.7", "10.0.0.1", "127.0.0.2", "169.254.1.1", "::", "[::]", "fe80::1", "2001:db8::1"]


@pytest.mark.parametrize("host", OUTSIDE)
@pytest.mark.parametrize("missing", [0, 1, 2, None])
def test_another_address_needs_certificate_key_and_password(host: str, missing: int | None) -> None:
    files: list[Path | None] = [Path("cert"), Path("key"), Path("password")]
    if missing is None:
        files = [None, None, None]
    else:
        files[missing] = None
    with pytest.raises(UsageError, match="can be reached from other computers"):
        reach(host, ["ward"], *files)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_this_computer_needs_none(host: str) -> None:
    assert reach(host, [], None, None, None) == Reach("127.0.0.1", ("127.0.0.1", "localhost", "[::1]"), None)


def test_a_start_that_lets_others_in_without_tls_and_password_ends_with_2(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "--bundle", str(tiny), "--port", "0", "--host", "0.0.0.0"]) == 2
    assert "E-SRV-002" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "a b", "ward:8620", "http://ward", "ward/", "-ward", "w\u00e4rd", "*", "a..b"])
def test_a_name_is_a_host_and_nothing_else(name: str) -> None:
    with pytest.raises(UsageError):
        reach("127.0.0.1", [name], None, None, None)


def test_links_bear_the_name_that_was_given_and_no_port_that_browsers_leave_out() -> None:
    assert names("192.168.1.7", ("ward",))[:2] == ("ward", "192.168.1.7")
    assert names("fd00::7", ())[0] == "[fd00::7]"
    with pytest.raises(UsageError, match="--name"):
        names("0.0.0.0", ())
    assert [origin("https", "ward", port) for port in (443, 8620)] == ["https://ward", "https://ward:8620"]


# Certificate, key, password


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write_certificate(tmp_path)


def test_files_that_others_can_read_or_that_fit_nothing_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = pair
    assert context_of(cert, key).minimum_version == ssl.TLSVersion.TLSv1_2
    (tmp_path / "other").mkdir()
    _, other = write_certificate(tmp_path / "other")
    locked = tmp_path / "locked"
    subprocess.run(
        ["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked], check=True, capture_output=True
    )
    locked.chmod(0o600)
    for bad in ((cert, other), (cert, locked), (cert, tmp_path / "none"), (key, key), (cert, cert), (cert, tmp_path)):
        with pytest.raises(UsageError, match=r"^a certificate, key, password"):
            context_of(*bad)
    for mode in (0o640, 0o604, 0o660):
        key.chmod(mode)
        with pytest.raises(UsageError, match="others can read it"):
            context_of(cert, key)


def test_a_certificate_that_has_ended_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cert, key = write_certificate(tmp_path, "-days", "2")
    now_s = time.time()
    monkeypatch.setattr(wards.time, "time", lambda: now_s + 86400)
    context_of(cert, key)
    monkeypatch.setattr(wards.time, "time", lambda: now_s + 3 * 86400)
    with pytest.raises(UsageError, match="no longer valid"):
        context_of(cert, key)


def make_password(monkeypatch: pytest.MonkeyPatch, path: Path, *lines: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return run(["serve", "--make-password", str(path)])


def test_a_password_is_asked_for_twice_and_kept_as_a_salted_line_of_its_owner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, again = tmp_path / "password", tmp_path / "again"
    assert make_password(monkeypatch, path, PASSWORD, PASSWORD) == 0
    assert make_password(monkeypatch, again, PASSWORD, PASSWORD) == 0
    line = path.read_text("ascii")
    assert line.startswith("scrypt$")
    assert line.count("\n") == 1
    assert PASSWORD not in line
    assert line != again.read_text("ascii")
    assert path.stat().st_mode & 0o777 == 0o600
    kept = passwords.from_file(path)
    assert [kept.fits(each) for each in (PASSWORD, PASSWORD[:-1], PASSWORD.upper(), "")] == [True, False, False, False]


@pytest.mark.parametrize("lines", [(PASSWORD, "something else"), ("short", "short"), (), ("",) * 2, ("x" * 300,) * 2])
def test_two_different_passwords_or_a_short_one_make_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: tuple[str, ...]
) -> None:
    assert make_password(monkeypatch, tmp_path / "password", *lines) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_password_is_changed_in_its_own_file_and_no_other_file_is_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, other = tmp_path / "password", tmp_path / "notes"
    other.write_text("not a password", "utf-8")
    other.chmod(0o600)
    for each in (PASSWORD, "another password"):
        assert make_password(monkeypatch, path, each, each) == 0
        assert passwords.from_file(path).fits(each)
    assert make_password(monkeypatch, other, PASSWORD, PASSWORD) == 2
    assert other.read_text("utf-8") == "not a password"
    assert make_password(monkeypatch, tmp_path / "nowhere" / "password", PASSWORD, PASSWORD) == 16


@pytest.mark.parametrize(
    "line", ["", PASSWORD, "scrypt$1$8$1$AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 44, "scrypt$9999999$99$99$" + "A" * 64]
)
def test_a_file_without_a_password_line_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "password"
    path.write_text(line, "utf-8")
    path.chmod(0o600)
    with pytest.raises(UsageError, match=r"^a certificate, key, password"):
        passwords.from_file(path)


def test_the_same_letters_typed_on_another_keyboard_are_the_same_password() -> None:
    composed, apart = "Schl\u00fcssel!", "Schlu\u0308ssel!"
    line = passwords.LINE.fullmatch(passwords.line_of(composed))
    assert line
    found = passwords.Password(int(line[1]), int(line[2]), int(line[3]), b64decode(line[4]), b64decode(line[5]))
    assert found.fits(apart)


# Guessing


class Known:
    """A password that is recognised at once."""

    tried = 0

    def fits(self, given: str) -> bool:
        self.tried += 1
        return given == PASSWORD


def outcomes(guesses: Guesses, tries: list[tuple[str, str]]) -> list[str]:
    async def all_of_them() -> list[str]:
        found = []
        for address, given in tries:
            try:
                await guesses.check(Known(), given, address)
                found.append("in")
            except Refused as refused:
                found.append(refused.failure.error_id[-3:])
        return found

    return asyncio.run(all_of_them())


def test_after_five_wrong_passwords_an_address_waits_five_minutes_and_no_other_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guesses, now_s = Guesses(), time.monotonic()
    monkeypatch.setattr(passwords.time, "monotonic", lambda: now_s)
    one, other = "192.168.1.7", "192.168.1.8"
    assert outcomes(guesses, [(one, "x")] * 6) == ["026"] * 5 + ["025"]
    assert outcomes(guesses, [(one, PASSWORD), (other, PASSWORD), (other, "x")]) == ["025", "in", "026"]
    now_s += 299
    assert outcomes(guesses, [(one, PASSWORD)]) == ["025"]
    now_s += 2
    assert outcomes(guesses, [(one, PASSWORD)]) == ["in"]


def test_right_passwords_do_not_count_and_wrong_ones_are_forgotten_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guesses, now_s = Guesses(), time.monotonic()
    monkeypatch.setattr(passwords.time, "monotonic", lambda: now_s)
    assert outcomes(guesses, [("::1", PASSWORD)] * 20) == ["in"] * 20
    for _ in range(10):  # one every 80 s: never five in five minutes
        now_s += 80
        assert outcomes(guesses, [("::1", "x")]) == ["026"]


def test_all_addresses_of_one_ipv6_network_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords.time, "monotonic", lambda: 1.0)
    guesses = Guesses()
    assert outcomes(guesses, [(f"2001:db8::{n}", "x") for n in range(1, 8)]) == ["026"] * 5 + ["025"] * 2
    assert outcomes(guesses, [("2001:db8:0:1::1", "x")]) == ["026"]


def test_guesses_at_once_are_not_more_than_one_after_another(tiny: Path, folder: Path) -> None:
    (folder / "guessed").mkdir()
    with warding(tiny, folder / "guessed") as other, ThreadPoolExecutor(20) as pool:
        assert other.said["token"] is None  # nor is there one without --token-file
        body = {"password": "wrong password"}
        coming = [pool.submit(other.post, "/api/v1/session", body, Authorization="") for _ in range(20)]
        replies = [each.result() for each in coming]
        assert sorted(reply.status for reply in replies) == [401] * 5 + [429] * 15
        late = other.post("/api/v1/session", {"password": PASSWORD}, Authorization="")
        assert (late.status, late.code, late.headers["retry-after"]) == (429, "E-SRV-025", "300")
        assert late.headers["x-should-retry"] == "false"
        assert other.get("/api/v1/status").status == 200  # who is in stays in


# What a ward's server does and does not


def test_the_password_opens_a_session_and_nothing_else_does(ward: Warding) -> None:
    assert ward.get("/v1/models").status == 200
    refused = ward.get("/api/v1/status", Authorization="")
    assert (refused.status, refused.code, refused.json["error"]["param"]) == (401, "E-SRV-004", "password")
    for body in ({}, {"code": ""}, {"code": PASSWORD}):
        assert ward.post("/api/v1/session", body, Authorization="").status in {400, 401}
    assert ward.get("/", Authorization="").status == 200


def test_programs_come_in_by_the_token_file_which_is_never_printed(ward: Warding, folder: Path, phantom: Path) -> None:
    assert ward.said["token"] is None
    token = (folder / "token").read_text("ascii").strip()
    reply = ward.post("/v1/chat/completions", chat(phantom, "hello"), Authorization=f"Bearer {token}")
    assert reply.json["choices"][0]["message"]["content"].startswith("hello")


def test_nobody_ends_a_wards_server_from_afar(ward: Warding) -> None:
    assert (ward.post("/api/v1/quit").status, ward.process.poll()) == (404, None)
    assert ward.get("/api/v1/status").json["protections"]["loopback_only"] is False


def test_nobody_sees_what_is_of_another_session(ward: Warding, phantom: Path) -> None:
    film = ward.send(phantom)
    answer = ward.ask(film, "hello")[-1][1]["answer"]
    other = {"Authorization": f"Bearer {ward.sign_in()}"}
    calls = [
        ("GET", f"radiographs/{film}", None), ("DELETE", f"radiographs/{film}", None),
        ("POST", f"radiographs/{film}/reading", {}), ("GET", f"radiographs/{film}/view", None),
        ("GET", f"radiographs/{film}/values", None), ("POST", f"radiographs/{film}/answers", {"question": "x"}),
        ("DELETE", f"answers/{answer}", None), ("POST", f"answers/{answer}/export", {"format": "text"}),
    ]  # fmt: skip
    for method, path, body in calls:
        foreign = ward.request(method, f"/api/v1/{path}", body, **other)
        unknown = ward.request(method, f"/api/v1/{path.replace(film, 'r_x').replace(answer, 'a_x')}", body, **other)
        assert (foreign.status, foreign.body) == (404, unknown.body), path
    assert ward.get(f"/api/v1/radiographs/{film}").status == 200


def test_a_session_that_was_ended_lets_nobody_in_and_has_forgotten_its_films(ward: Warding, phantom: Path) -> None:
    own, token = ward.token, ward.sign_in()
    ward.token = token
    film = ward.send(phantom)
    assert ward.request("DELETE", "/api/v1/session").status == 204
    assert ward.get(f"/api/v1/radiographs/{film}").status == 401
    ward.token = own
    assert ward.get(f"/api/v1/radiographs/{film}").status == 404


def test_a_session_ends_after_eight_idle_hours_and_a_page_that_only_looks_is_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now_s)
    held = sessions.Sessions((), Codes(new_key()))
    token, looking = held.open(), held.open()

    def asked(token: str, path: str) -> int:
        return status_of(Guard(answers, frozenset({"https://ward"}), held, has_password=True), token, path)

    for _ in range(4):
        now_s += 3 * 3600
        assert asked(token, "/v1/models") == 200
        seen = asked(looking, "/api/v1/status")
    assert seen == 401
    now_s += 8 * 3600 + 1
    assert asked(token, "/v1/models") == 401
    assert len(set(held.forget_ended())) == 2  # so that what they had can be forgotten, too
    assert held.forget_ended() == []


async def answers(scope: dict, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def status_of(guard: Guard, token: str, path: str) -> int:
    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"host", b"ward"), (b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": "GET", "path": path, "scheme": "https", "headers": headers}
    asyncio.run(guard(scope, None, send))
    return sent[0]["status"]


def test_a_ward_is_addressed_by_its_names_by_tls_and_from_its_own_page(ward: Warding) -> None:
    port = ward.port
    own = (f"ward.example:{port}", f"127.0.0.1:{port}", f"localhost:{port}", f"WARD.example:{port}")
    assert {ward.get("/", Host=host).status for host in own} == {200}
    foreign = ("ward.example", f"ward.example:{port + 1}", f"other.example:{port}", f"x.ward.example:{port}", "")
    assert {ward.get("/", Host=host or "x").status for host in foreign} == {403}
    assert ward.get("/v1/models", Origin=f"https://ward.example:{port}").status == 200
    for bad in (f"http://ward.example:{port}", "https://ward.example", f"https://other.example:{port}", "null"):
        assert ward.get("/v1/models", Origin=bad).status == 403


def test_who_speaks_no_tls_gets_no_answer(ward: Warding) -> None:
    with ward.connect() as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{ward.port}\r\n\r\n".encode())
        came = b""
        while data := raw.recv(4096):
            came += data
    assert b"HTTP" not in came


WEAK = ("NULL", "aNULL", "RC4", "3DES", "EXPORT", "AES128-SHA", "ECDHE-ECDSA-AES128-SHA", "AES128-GCM-SHA256")
"""No encryption, no identity, broken, or without a key that is forgotten afterwards."""


def shaken(port: int, version: ssl.TLSVersion, ciphers: str = "ALL:COMPLEMENTOFALL:@SECLEVEL=0") -> str | None:
    """The version that was agreed on, or None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.set_ciphers(ciphers)
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as raw, context.wrap_socket(raw) as safe:
            assert safe.compression() is None
            return safe.version()
    except (ssl.SSLError, ConnectionError):
        return None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_and_weak_ciphers_are_refused(ward: Warding) -> None:
    old, new = ("TLSv1", "TLSv1_1"), ("TLSv1_2", "TLSv1_3")
    assert [shaken(ward.port, ssl.TLSVersion[name]) for name in (*old, *new)] == [None, None, "TLSv1.2", "TLSv1.3"]
    assert {shaken(ward.port, ssl.TLSVersion.TLSv1_2, f"{weak}:@SECLEVEL=0") for weak in WEAK} == {None}


def test_who_begins_tls_and_does_not_go_on_holds_up_nobody(ward: Warding) -> None:
    silent = [ward.connect() for _ in range(100)]
    assert ward.get("/healthz").status == 200
    for each in silent:
        each.close()


@pytest.mark.slow
def test_who_begins_tls_and_does_not_go_on_is_let_go_after_ten_seconds(ward: Warding) -> None:
    with ward.connect() as silent:
        began_s = time.monotonic()
        assert silent.recv(1) == b""
        assert 9 < time.monotonic() - began_s < 15


def test_one_who_is_not_known_cannot_take_the_memory_of_the_others(ward: Warding) -> None:
    reply = ward.post("/api/v1/session", b'{"password": "' + b"x" * 8192 + b'"}', Authorization="")
    assert (reply.status, reply.code) == (413, "E-SRV-006")


# From outside


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("ip"), reason="needs Linux and ip")
def test_another_computer_reaches_a_ward_and_nothing_of_a_server_for_this_computer(tiny: Path, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    command = ["unshare", "-rnm", sys.executable, "-m", "tests.two_computers", str(tiny), *ward_options(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode == 3:
        pytest.skip("no cable between namespaces here")
    assert done.stdout.split("\n") == ["loopback: refused", "ward: HTTP/1.1 200", ""], done.stderr
