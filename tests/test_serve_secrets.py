"""Neither what a patient's file says nor what lets somebody in is left anywhere: canaries through every call."""

from __future__ import annotations

import itertools
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drawn_dicom import as_bytes, chest, dataset
from tests.serving import WAIT_S, Reply, Serving, chat, serving
from tests.test_canary import BIRTH_DATE, CANARIES, NOT_TOLD, UIDS
from tests.tiny import write_bundle

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]

CANARY = "CANARY question"
FORMATS = ("text", "html", "json", "dicom-sr", "fhir", "none", CANARY)
USUAL = {"BodyPartExamined": "CHEST", "Modality": "DX", "ViewPosition": "PA"}
PLACES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where a program could leave something."""
    folder = tmp_path_factory.mktemp("places")
    for name in PLACES:
        (folder / name).mkdir(mode=0o700)
    return {name: str(folder / name) for name in PLACES}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with a canary in every text element that may name somebody."""
    path = tmp_path_factory.mktemp("CANARY") / "CANARY^ANNA.dcm"
    path.write_bytes(drawn())
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


HELD, CHAT = "/api/v1/radiographs", "/v1/chat/completions"
NOWHERE = ("/CANARY", "/v1/CANARY", "/api/v1/CANARY", f"{HELD}/CANARY", "/api/v1/answers/CANARY", f"{HELD}/..")
QUERIES = ("profile=CANARY", "frame=CANARY", "force=CANARY", "CANARY=1", "frame=99999")
NO_IMAGES = (b"CANARY", b"\x89PNG\r\n\x1a\nCANARY", b"\xff\xd8\xffCANARY", b"")
LACKING = ("SOPClassUID", "PhotometricInterpretation", "Rows", "BitsStored", "PixelData", "Columns")
ODD = ({"Modality": "CT"}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, {"BodyPartExamined": "CANARY"})
FIELDS = ({"model": CANARY}, {"messages": CANARY}, {"tools": [CANARY]}, {"max_tokens": CANARY}, {"n": 9})
URLS = ("http://CANARY/", "file:///CANARY", "/CANARY", "data:CANARY")


def drawn(**more: object) -> bytes:
    return as_bytes(dataset(chest(), **{**CANARIES, **UIDS, **USUAL, "PatientBirthDate": BIRTH_DATE, **more}))


def refused_files() -> Iterator[bytes]:
    whole = drawn()
    yield from (*NO_IMAGES, whole[:1000], whole[:-3000])
    yield from (drawn(**{field: None}) for field in LACKING)
    yield from (drawn(**odd) for odd in ODD)


def refused_chats(film: Path) -> Iterator[dict[str, Any]]:
    yield from (chat(film, CANARY, **bad) for bad in FIELDS)
    yield chat(None, CANARY)
    for url in URLS:
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": CANARY}]
        yield {"model": "tiny", "messages": [{"role": "user", "content": content}]}


def refusals(server: Serving, film: Path) -> Iterator[Reply]:
    """More than sixty requests that cannot be answered, each with a canary where it is wrong."""
    for method, path in itertools.product(("GET", "POST", "PUT", "DELETE", "PATCH"), NOWHERE):
        yield server.request(method, path, b"CANARY" if method != "GET" else None)
    for query in QUERIES:
        yield server.post(f"{HELD}?{query}", film.read_bytes())
    for data in refused_files():
        yield server.post(HELD, data)
    for body in refused_chats(film):
        yield server.post(CHAT, body)
    for header in ("Host", "Origin", "Authorization", "Sec_Fetch_Site"):
        yield server.get("/api/v1/status", **{header: "CANARY"})


def accepted(server: Serving, film: Path) -> Iterator[Reply]:
    """Every call that can be answered."""
    server.post(CHAT, chat(film, CANARY, user=CANARY))
    list(server.post(CHAT, chat(film, CANARY, stream=True)).frames)
    held = server.send(film)
    here = f"{HELD}/{held}"
    yield server.get(here)
    yield server.post(f"{here}/reading", {"profile": "display"})
    for path in (f"{here}/view", f"{here}/values", "/api/v1/explain/E-SRV-003", "/v1/models", "/api/v1/openapi.json"):
        yield server.get(path)
    answer = server.ask(held, CANARY)[-1][1]["answer"]
    for form in FORMATS:
        server.post(f"/api/v1/answers/{answer}/export", {"format": form})
    assert CANARY.encode() in server.get(here).body  # its own question, to whoever asked it
    server.request("DELETE", here)


def files(*folders: str) -> dict[Path, bytes]:
    return {path: path.read_bytes() for each in folders for path in Path(each).rglob("*") if path.is_file()}


def test_canaries_in_every_call_and_sixty_failures_are_left_nowhere(
    bundle: Path, film: Path, places: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with serving(bundle, "--log", str(log), module="tests.serving", **places) as server:
        server.wait_until_ready()
        for reply in accepted(server, film):
            assert not [each for each in NOT_TOLD if each.encode() in reply.body]
        failed = list(refusals(server, film))
        assert len(failed) >= 60
        for reply in failed:
            assert reply.status >= 400 or b"CANARY" not in reply.body, reply.body
            assert not [each for each in NOT_TOLD if each.encode() in reply.body], reply.body
        assert sum(reply.status >= 400 for reply in failed) >= 60
        assert server.post("/api/v1/quit").status == 202
        assert server.process.wait(10) == 0
        said = server.process.stdout.read() + server.process.stderr.read()
    left = {**files(*places.values()), log: log.read_bytes()}
    assert set(left) == {log}
    assert not [each for each in (*NOT_TOLD, server.token) if each.encode() in said + left[log]]


WRITES = re.compile(r'open(?:at)?\([^"]*"([^"]*)".*O_(?:WRONLY|RDWR|CREAT)')


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_kernel_sees_no_file_opened_for_writing_and_no_connection(bundle: Path, film: Path, tmp_path: Path) -> None:
    with serving(bundle, module="tests.serving") as server:
        server.wait_until_ready()
        server.send(film)  # the readers are there
        pids, trace = server.pids, tmp_path / "trace"
        calls = "trace=open,openat,creat,connect,sendto,rename,renameat,mkdir,mkdirat"
        command = ["strace", "-f", "-qq", "-e", calls, "-o", str(trace), "-p", ",".join(pids)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as watching:
            try:
                until = time.monotonic() + WAIT_S
                while "TracerPid:\t0" in (Path("/proc") / pids[0] / "status").read_text("utf-8"):
                    assert time.monotonic() < until
                    time.sleep(0.05)
                list(accepted(server, film))
                list(refusals(server, film))
            finally:
                watching.send_signal(signal.SIGINT)
    seen = trace.read_text("utf-8", "replace")
    assert "openat(" in seen  # it did watch
    assert [each for each in WRITES.findall(seen) if each != "/dev/null"] == []
    assert [line for line in seen.splitlines() if re.search(r"connect\(|AF_INET|rename|mkdir|creat\(", line)] == []
