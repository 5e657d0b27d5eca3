"""TLS of a node: who has no certificate of the clinic comes in nowhere, and holds nobody up."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from tests.node import free_port, needs
from tests.test_node_guard import is_closed, request
from tests.test_node_parts import MINIMAL, read
from xraygpt_edge.errors import UsageError
from xraygpt_edge.node import check, server, tls
from xraygpt_edge.node.door import Door
from xraygpt_edge.node.settings import Settings, Tls

pytestmark = needs("openssl")

PEER = '[[peer]]\nname = "xr"\nae = "BAD"\naddress = "127.0.0.1"\n'


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "60")
    openssl(folder, *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def certificate(folder: Path, name: str, by: str, days: str = "20") -> None:
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}")
    openssl(folder, *new, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    signed = ("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial")
    openssl(folder, *signed, "-days", days, "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clinic")
    for name in ("clinic", "other"):
        authority(folder, name)
    certificate(folder, "node", "clinic")
    certificate(folder, "modality", "clinic")
    certificate(folder, "stranger", "other")
    return folder


@pytest.fixture(scope="module")
def settings(clinic: Path) -> Settings:
    files = '{ cert = "node.pem", key = "node.key", peers_ca = "clinic.pem" }'
    text = MINIMAL.replace("[[result]]", f'listen = "127.0.0.1:{free_port()}"\ntls = {files}\n[[result]]')
    return read(clinic, text + PEER)


@pytest.fixture(scope="module")
def listening(settings: Settings) -> Iterator[int]:
    port = int(settings.node.listen.rpartition(":")[2])
    found = server.Server(
        ("127.0.0.1", port), Door(settings), lambda *_: 0, lambda _: (0, None), tls.for_listening(settings.node.tls)
    )
    accepting = threading.Thread(target=lambda: found.serve_forever(0.05))
    accepting.start()
    yield port
    found.ae._servers.append(found)
    found.shutdown()
    accepting.join()


def answer(clinic: Path, port: int, name: str | None) -> bytes:
    """The first byte that the node says to an association request over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(clinic / "clinic.pem")
    if name:
        context.load_cert_chain(clinic / f"{name}.pem", clinic / f"{name}.key")
    with socket.create_connection(("127.0.0.1", port), 5) as plain, context.wrap_socket(plain) as link:
        link.sendall(request())
        return link.recv(1)


def test_a_peer_with_a_certificate_of_the_clinic_is_accepted_while_others_are_silent(
    clinic: Path, listening: int
) -> None:
    with socket.create_connection(("127.0.0.1", listening)), socket.create_connection(("127.0.0.1", listening)):
        assert answer(clinic, listening, "modality") == b"\2"


@pytest.mark.parametrize("name", [None, "stranger"])
def test_a_peer_without_a_certificate_of_the_clinic_is_not(clinic: Path, listening: int, name: str | None) -> None:
    with pytest.raises(OSError):
        assert answer(clinic, listening, name) == b"\2"


def test_a_plain_connection_to_a_port_of_tls_is_closed(listening: int) -> None:
    with socket.create_connection(("127.0.0.1", listening)) as link:
        link.sendall(request())
        assert is_closed(link, 5)


def test_check_says_when_certificates_end_and_which_cannot_be_used(clinic: Path, settings: Settings) -> None:
    left_s = check.certificate_ends(settings)
    assert 19 < left_s["node.pem"] / 86400 < 20
    assert 59 < left_s["clinic.pem"] / 86400 < 60
    with pytest.raises(UsageError) as raised:
        tls.for_listening(Tls(str(clinic / "node.pem"), str(clinic / "other.key")))
    assert raised.value.error_id == "E-NOD-003"


def test_check_says_in_one_line_that_pictures_cross_the_network_in_the_clear(
    settings: Settings, tmp_path: Path
) -> None:
    assert check.in_the_clear(settings) == ""
    away = read(tmp_path, MINIMAL.replace("127.0.0.1:104", "192.168.7.2:104"))
    assert "192.168.7.2:104" in check.in_the_clear(away)
    assert "\n" not in check.in_the_clear(away)
