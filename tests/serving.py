"""A real server process for tests, and ways to speak to it. `python -m tests.serving serve ...` has the slow model."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

WAIT_S = 60.0
ROOT = Path(__file__).parent.parent


@dataclass
class Reply:
    """One answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]

    @property
    def frames(self) -> list[tuple[str, Any]]:
        """Server-sent events."""
        return frames(self.body)


def frames(body: bytes) -> list[tuple[str, Any]]:
    found = []
    for block in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        if lines:
            data = lines["data"]
            found.append((lines.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return found


class Serving:
    """A server process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        line = process.stdout.readline()
        self.said = json.loads(line) if line else {}
        self.early: tuple[Reply, ...] = ()
        """What was answered before the model was loaded."""
        self.port, self.token = self.said.get("port"), self.said.get("token")

    def wait_until_ready(self) -> Self:
        until = time.monotonic() + WAIT_S
        while self.get("/api/v1/status").json["model"]["state"] != "ready":
            assert time.monotonic() < until
            time.sleep(0.05)
        return self

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """With the token, unless another authorization is given."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, data, {k: v for k, v in given.items() if v})
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any = b"", **headers: str) -> Reply:
        return self.request("POST", path, body, **headers)

    @property
    def pids(self) -> list[str]:
        """Of the server and of all that it has started."""
        process = psutil.Process(self.process.pid)
        return [str(each.pid) for each in (process, *process.children(recursive=True))]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)

    def begin(self, path: str, body: Any) -> socket.socket:
        """Send a whole request and read nothing."""
        data = json.dumps(body).encode()
        raw = self.connect()
        raw.sendall(self.head("POST", path, f"Content-Length: {len(data)}") + data)
        return raw

    def head(self, method: str, path: str, *more: str) -> bytes:
        host = (f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {self.token}")
        return "\r\n".join([f"{method} {path} HTTP/1.1", *host, *more, "", ""]).encode()

    def send(self, film: Path) -> str:
        """The id of a radiograph that is held now."""
        reply = self.post("/api/v1/radiographs", film.read_bytes())
        assert reply.status == 201, reply.body
        return reply.json["id"]

    def ask(self, radiograph: str, question: str, **more: Any) -> list[tuple[str, Any]]:
        reply = self.post(f"/api/v1/radiographs/{radiograph}/answers", {"question": question, **more})
        assert reply.status == 200, reply.body
        return reply.frames


@contextmanager
def serving(
    bundle: Path, *more: str, module: str = "xraygpt_edge", entrance: str = "--api-only", **environment: str
) -> Iterator[Serving]:
    """A server on a free port; killed at the end if it has not ended by then."""
    command = [sys.executable, "-m", module, "serve", entrance, "--port", "0", "--json", "--quiet"]
    process = subprocess.Popen(
        [*command, "--bundle", str(bundle), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    try:
        yield Serving(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()


def data_url(film: Path, media: str = "application/dicom") -> str:
    return f"data:{media};base64,{base64.b64encode(film.read_bytes()).decode()}"


def chat(film: Path | None, question: str = "findings?", **more: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": question}]
    if film:
        parts.append({"type": "image_url", "image_url": {"url": data_url(film)}})
    return {"model": "tiny", "messages": [{"role": "user", "content": parts}], **more}


if __name__ == "__main__":
    from xraygpt_edge.cli import main
    from xraygpt_edge.host import process as model_process
    from xraygpt_edge.sandbox import bound_command
    from xraygpt_edge.serve import sessions

    sessions.SESSION_IDLE_S = float(os.environ.get("TEST_SESSION_IDLE_S", sessions.SESSION_IDLE_S))
    model_process.COMMAND = bound_command("tests.slow_model")
    main()
