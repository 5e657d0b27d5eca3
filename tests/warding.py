"""A ward's server for tests: a certificate, a password, and clients that speak TLS to it."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving import WAIT_S, Reply, Serving, serving
from xraygpt_edge.serve import passwords

PASSWORD = "correct horse battery"
NEW = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def write_certificate(folder: Path, *more: str) -> tuple[Path, Path]:
    """A certificate of its own and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = ("-subj", "/CN=ward", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    days = more or ("-days", "30")
    command = ["openssl", *NEW, *days, *names, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


def ward_options(folder: Path) -> list[str]:
    """Certificate, key, password and their options."""
    cert, key = write_certificate(folder)
    passwords.write(folder / "password", PASSWORD)
    files = ("--tls-cert", str(cert), "--tls-key", str(key), "--password-file", str(folder / "password"))
    return [*files, "--name", "ward.example"]


class Warding(Serving):
    """A ward's server, by TLS."""

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """With `token`, where there is one."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.token}" if self.token else "", **headers}
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=WAIT_S, context=context)
        try:
            sent = {name.replace("_", "-"): value for name, value in given.items() if value}
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def sign_in(self, password: str = PASSWORD) -> str:
        """The token of a new session."""
        reply = self.post("/api/v1/session", {"password": password}, Authorization="")
        assert reply.status == 200, reply.body
        return reply.json["token"]


@contextmanager
def warding(bundle: Path, folder: Path, *more: str, **environment: str) -> Iterator[Warding]:
    """A ward's server with the slow model, on this computer."""
    options = (*ward_options(folder), *more)
    with serving(bundle, *options, module="tests.serving", entrance="--no-browser", **environment) as found:
        ward = Warding.__new__(Warding)
        ward.__dict__ |= found.__dict__
        ward.token = ward.sign_in()
        yield ward.wait_until_ready()
