"""A server in a process of its own, and a client that streams."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.child import ROOT, SideFailed, environment

WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Words:
    """An answer as a client met it."""

    first_s: float
    """From the question to the first word."""
    rest_s: float
    """From there to the end."""
    text: str
    tokens: int

    @property
    def tokens_per_s(self) -> float:
        """Behind the first word."""
        return self.tokens / self.rest_s


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks to one server."""

    pid: int
    port: int
    token: str

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
        """The object of an answer; raises SideFailed for a refusal."""
        with self._asked(method, f"/api/v1/{path}", body, headers) as response:
            return json.loads(response.read())

    def status_of(self, method: str, path: str, body: bytes) -> int:
        """The status of an answer, once it is whole."""
        with self._connected(method, path, body, {}) as response:
            response.read()
            return response.status

    def ask(self, radiograph: str, question: str) -> Words:
        """Ask about a held radiograph and take the words as they come."""
        began_s, first_s = time.perf_counter(), None
        body = json.dumps({"question": question}).encode()
        with self._asked("POST", f"/api/v1/radiographs/{radiograph}/answers", body, {}) as events:
            for name, data in _events(events):
                if name == "text" and first_s is None:
                    first_s = time.perf_counter() - began_s
                elif name == "done" and first_s is not None:
                    rest_s, answer = time.perf_counter() - began_s - first_s, json.loads(data)
                    return Words(first_s, rest_s, answer["text"], answer["timing"]["tokens"])
        raise SideFailed("the server's answer had no end")

    def wait_until_ready(self) -> None:
        """Until the model is loaded; raises SideFailed where it cannot be."""
        while (model := self.call("GET", "status")["model"])["state"] != "ready":
            if model["error"]:
                raise SideFailed(model["error"]["message"])
            time.sleep(0.05)

    @contextmanager
    def _asked(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        with self._connected(method, path, body, headers) as response:
            if response.status >= 300:
                raise SideFailed(f"{path}: {response.status} {response.read()[:300]!r}")
            yield response

    @contextmanager
    def _connected(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)) as connection:
            connection.request(method, path, body or None, {"Authorization": f"Bearer {self.token}", **headers})
            yield connection.getresponse()


@contextmanager
def serving(bundle: str, threads: int, *more: str) -> Iterator[Client]:
    """A server for programs while the context lasts; its model is loaded behind it."""
    command = [sys.executable, "-m", "xraygpt_edge", "serve", "--api-only", "--json", "--quiet", "--port", "0"]
    command += ["--bundle", bundle, "--device", "cpu", "--threads", str(threads), *more]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd=ROOT,
    )
    try:
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise SideFailed(f"serve ended with {process.wait()}")
        said = json.loads(line)
        yield Client(process.pid, said["port"], said["token"])
    finally:
        process.terminate()
        process.wait(WAIT_S)


def _events(stream: http.client.HTTPResponse) -> Iterator[tuple[str, bytes]]:
    """Name and data of each event, as soon as it has come."""
    name = ""
    for line in stream:
        kind, _, rest = line.rstrip(b"\n").partition(b": ")
        if kind == b"event":
            name = rest.decode()
        elif kind == b"data":
            yield name, rest
