"""A cluster of Ray as docs/scale.md starts it, with a token, and with machines that can be killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psutil
from ray.util import get_node_ip_address

from tests.soak.folder import ROOT
from xraygpt_edge.scale import guard

HASTE = {"RAY_worker_niceness": "0"}
"""Ray's workers take what other programs leave (15), which beside other tests is nothing for minutes."""
SETTINGS = {"RAY_AUTH_MODE": "token", "RAY_automatic_object_spilling_enabled": "0", **guard.QUIET, **guard.PROXIES}
STORE_BYTES = 80_000_000
JOINED, JOINED_S = b"Ray runtime started", 150.0


class Cluster:
    """A head without CPUs of its own, and machines beside it; a context manager."""

    def __init__(self, delay_s: float = 0.0, watched_by: tuple[str, ...] = ()) -> None:
        """delay_s: what a film costs on its machines, which have their settings from their own start.

        watched_by: the start of a command line that watches another, such as strace's.
        """
        self.port = free_port()
        self.host = get_node_ip_address()
        self.address = f"{self.host}:{self.port}"
        self._temp = tempfile.mkdtemp(prefix="xr-", dir="/tmp")
        self.environment = {
            **os.environ,
            **SETTINGS,
            **HASTE,
            "no_proxy": f"{guard.PROXIES['no_proxy']},{self.host}",
            "FAKE_DELAY_S": str(delay_s),
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "PYTHONPATH": str(ROOT),
        }
        self._watched_by = watched_by
        self._nodes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        words = (f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={self._temp}")
        self.head = self._start("--head", *words)
        return self

    def __exit__(self, *_facts: object) -> None:
        for node in self._nodes:
            self.kill(node)
        shutil.rmtree(self._temp, ignore_errors=True)

    def add(self, cpus: int = 1) -> subprocess.Popen[bytes]:
        """One more machine."""
        return self._start(f"--address={self.address}", f"--num-cpus={cpus}")

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """At once, with all that it has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        node.wait()

    def scale(self, folder: Path, out: Path, bundle: Path, *more: str) -> subprocess.Popen[bytes]:
        """`scale ray` over the cluster, with workers without a model."""
        return scale(folder, out, bundle, "--address", self.address, *more, **self.environment)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        """Wait until it has joined: two that begin at once on one computer take the same port, and one dies."""
        script, said = Path(sys.executable).with_name("ray"), Path(self._temp) / f"machine-{len(self._nodes)}"
        ray = [sys.executable, script, "start", *words, f"--object-store-memory={STORE_BYTES}", "--block"]
        command = [*self._watched_by, *ray]
        with said.open("wb") as output:
            node = subprocess.Popen(command, env=self.environment, stdout=output, stderr=subprocess.STDOUT)
        self._nodes.append(node)
        until(lambda: JOINED in said.read_bytes())
        return node


def scale(
    folder: Path, out: Path, bundle: Path, *more: str, delay_s: float = 0.0, **settings: str
) -> subprocess.Popen[bytes]:
    """`scale ray` with workers without a model; standard error is kept."""
    words = ["scale", "ray", str(folder), "--out", str(out), "--bundle", str(bundle), "--quiet", *more]
    environment = {**os.environ, **HASTE, **settings, "FAKE_DELAY_S": str(delay_s), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.soak.ray_driver", *words], cwd=ROOT, env=environment, stderr=subprocess.PIPE
    )


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(holds: Any, limit_s: float = JOINED_S) -> None:
    end_s = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > end_s:
            raise TimeoutError
        time.sleep(0.1)


@contextlib.contextmanager
def timed(what: str) -> Iterator[None]:
    began_s = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began_s:.1f} s")
