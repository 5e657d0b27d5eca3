"""Whatever strangers and broken peers do, a peer that we know is answered within a second and its film is stored."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from pydicom.dataset import Dataset

from tests.node import AE, HOSTILE, Clinic, Node, children_of, echo, needs, no_film, send, until
from xraygpt_edge.node import part10
from xraygpt_edge.node.contexts import STORED_CLASSES, STORED_SYNTAXES
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.spool import file_hash

pytestmark = needs("storescu", "echoscu")

STRANGER = "127.0.0.9"
ECHO_S = 1.0
MEMORY_MAX_BYTES = 300 << 20
FIRST = 1000
"""Number of the first film here; others have sent theirs to the same node."""


@pytest.fixture
def node(clinic: Clinic) -> Node:
    return clinic.node


def connect(node: Node, source: str = HOSTILE) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.port), 5, source_address=(source, 0))


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def request(
    called: bytes = AE.encode(),
    calling: bytes = b"BAD",
    abstract: bytes = b"1.2.840.10008.5.1.4.1.1.1",
    syntax: bytes = b"1.2.840.10008.1.2",
) -> bytes:
    context = item(0x20, b"\1\0\0\0" + item(0x30, abstract) + item(0x40, syntax))
    user = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
    body = b"\0\1\0\0" + called.ljust(16) + calling.ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + context + user
    return struct.pack(">BBL", 1, 0, len(body)) + body


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0, number, len(value)) + value


def pdata(data: bytes, header: int) -> bytes:
    value = struct.pack(">LBB", len(data) + 2, 1, header) + data
    return struct.pack(">BBL", 4, 0, len(value)) + value


def store_command(instance: bytes = b"1.2.3.4") -> bytes:
    even = instance + b"\0" * (len(instance) % 2)
    elements = (
        element(0x0002, b"1.2.840.10008.5.1.4.1.1.1\0"), element(0x0100, struct.pack("<H", 1)),
        element(0x0110, struct.pack("<H", 1)), element(0x0700, struct.pack("<H", 0)),
        element(0x0800, struct.pack("<H", 1)), element(0x1000, even),
    )  # fmt: skip
    body = b"".join(elements)
    return element(0x0000, struct.pack("<L", len(body))) + body


def associated(node: Node) -> socket.socket:
    link = connect(node)
    link.sendall(request())
    assert link.recv(6)[0] == 2, "accepted"
    link.recv(10_000)
    return link


def is_closed(link: socket.socket, seconds: float) -> bool:
    """Whether the node closes, or aborts and closes, in time; a rejection is read first."""
    link.settimeout(seconds)
    try:
        while link.recv(4096):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def the_good_peer_is_served(node: Node, number: int, folder: Path) -> None:
    began_s = time.monotonic()
    assert echo(node.port) == 0
    assert time.monotonic() - began_s < ECHO_S + 1, "an echo takes no longer than it should"
    before = node.status()["all"]["received"]
    assert send(node.port, no_film(FIRST + number, folder)).returncode == 0
    assert node.status()["all"]["received"] == before + 1


def flood(node: Node, message: Callable[[random.Random], bytes], times: int, source: str = HOSTILE) -> None:
    chance = random.Random(7)
    for _ in range(times):
        try:
            with connect(node, source) as link:
                link.sendall(message(chance))
        except OSError:
            pass


def random_bytes(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, 4000))


def cut_request(chance: random.Random) -> bytes:
    whole = request()
    return whole[: chance.randrange(1, len(whole))]


def flipped_request(chance: random.Random) -> bytes:
    changed = bytearray(request())
    for _ in range(chance.randrange(1, 6)):
        changed[chance.randrange(42, len(changed))] = chance.randrange(256)
    return bytes(changed)


def half_store(chance: random.Random) -> bytes:
    return request() + pdata(store_command(), 3) + pdata(chance.randbytes(8000), 0)


def odd_title(chance: random.Random) -> bytes:
    return request(calling=chance.randbytes(16), called=chance.choice((AE.encode(), chance.randbytes(16))))


def hostile_command(chance: random.Random) -> bytes:
    command = bytearray(store_command())
    command[chance.randrange(len(command))] = chance.randrange(256)
    return request() + pdata(bytes(command), 3) + pdata(chance.randbytes(100), 2)


ATTACKS = {
    "random bytes": random_bytes,
    "cut requests": cut_request,
    "flipped requests": flipped_request,
    "half stores": half_store,
    "odd titles": odd_title,
    "hostile commands": hostile_command,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_peer_that_sends_rubbish_harms_nobody(node: Node, attack: str, tmp_path: Path) -> None:
    attacker = threading.Thread(target=flood, args=(node, ATTACKS[attack], 100))
    attacker.start()
    the_good_peer_is_served(node, list(ATTACKS).index(attack), tmp_path)
    attacker.join()
    until(lambda: n_connections(node) <= 2, 40, "connections are closed")
    until(lambda: takes(node), 10, "the peer itself may come back")
    assert list((node.root / "in" / "part").iterdir()) == []


def takes(node: Node) -> bool:
    with connect(node) as link:
        link.sendall(request())
        return link.recv(1) == b"\2"


def n_connections(node: Node) -> int:
    receiver = psutil.Process(children_of(node.process.pid)["receiver"])
    return sum(each.status == "ESTABLISHED" for each in receiver.net_connections("tcp"))


def test_strangers_are_closed_before_anything_is_read(node: Node) -> None:
    with connect(node, STRANGER) as link:
        assert is_closed(link, 2)
    assert echo(node.port, title="DX2") != 0
    assert echo(node.port, called="OTHER") != 0
    assert echo(node.port) == 0


def test_a_stated_length_is_never_believed(node: Node, tmp_path: Path) -> None:
    receiver = psutil.Process(children_of(node.process.pid)["receiver"])
    with connect(node) as link:
        link.sendall(b"\1\0\xff\xff\xff\xf0" + bytes(1000))
        assert is_closed(link, 2)
    with associated(node) as link:
        link.sendall(b"\4\0\xff\xff\xff\xf0" + bytes(1000))
        assert is_closed(link, 2)
    assert receiver.memory_info().rss < MEMORY_MAX_BYTES
    the_good_peer_is_served(node, 101, tmp_path)


def test_thirty_silent_connections_of_one_address_shut_nobody_else_out(node: Node, tmp_path: Path) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(node)) for _ in range(30)]
        for link in silent[:10]:
            link.sendall(request()[:50])
        the_good_peer_is_served(node, 102, tmp_path)
        assert sum(is_closed(link, 0.05) for link in silent) >= 10  # beyond twenty
    until(lambda: n_connections(node) <= 2, 40, "connections are closed")


def test_a_thousand_connections_at_once_leave_the_good_peer_served(node: Node, tmp_path: Path) -> None:
    links = []
    try:
        for _ in range(1000):
            link = socket.socket()
            link.bind((STRANGER, 0))
            link.setblocking(False)
            link.connect_ex(("127.0.0.1", node.port))
            links.append(link)
        the_good_peer_is_served(node, 103, tmp_path)
    finally:
        for link in links:
            link.close()
    assert echo(node.port) == 0


def test_an_object_that_is_too_large_is_aborted_and_its_memory_given_back(node: Node, tmp_path: Path) -> None:
    receiver = psutil.Process(children_of(node.process.pid)["receiver"])
    with associated(node) as link:
        link.sendall(pdata(store_command(), 3))
        block = pdata(bytes(131_000), 0)
        with pytest.raises(OSError):
            for _ in range(129 * 1024 * 1024 // 131_000 + 200):
                link.sendall(block)
    until(lambda: receiver.memory_info().rss < MEMORY_MAX_BYTES, 20, "memory is given back")
    the_good_peer_is_served(node, 104, tmp_path)


def test_a_uid_is_never_a_path(node: Node) -> None:
    with associated(node) as link:
        link.sendall(pdata(store_command(b"../../../escaped"), 3) + pdata(b"\x08\0\x18\0" + bytes(60), 2))
        link.settimeout(5)
        link.recv(1000)
    assert not any("escaped" in path.name for path in node.folder.rglob("*"))
    assert {len(path.stem) for path in (node.root / "in").glob("*.dcm")} <= {24}


def test_a_class_that_is_not_ours_is_refused_and_the_film_beside_it_stored(node: Node, tmp_path: Path) -> None:
    from pynetdicom import ae

    entity = ae.ApplicationEntity("DX1")
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.2")  # CT
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.88.11")  # our own kind of reports
    entity.add_requested_context("1.2.840.10008.1.20.1")  # storage commitment
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.1.2.1")
    link = entity.associate("127.0.0.1", node.port, ae_title=AE)
    assert [context.abstract_syntax.name for context in link.accepted_contexts] == [
        "Digital X-Ray Image Storage - For Presentation"
    ]
    assert link.send_c_store(str(no_film(105, tmp_path))).Status == 0
    link.release()


def test_every_class_in_every_syntax_is_stored_as_it_came(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pydicom
    from pynetdicom import ae

    kinds = [(sop_class, syntax) for sop_class in STORED_CLASSES for syntax in STORED_SYNTAXES]
    entity = ae.ApplicationEntity("DX1")
    for sop_class, syntax in kinds:
        entity.add_requested_context(sop_class, syntax)
    monkeypatch.setattr("pynetdicom._config.STORE_SEND_CHUNKED_DATASET", True)  # the bytes as they are
    link = entity.associate("127.0.0.1", node.port, ae_title=AE)
    assert len(link.accepted_contexts) == len(kinds) == len(STORED_CLASSES) * len(STORED_SYNTAXES)
    body = pydicom.dcmread(no_film(200, tmp_path))
    wanted = set()
    for number, (sop_class, syntax) in enumerate(kinds):
        body.SOPClassUID, body.SOPInstanceUID = sop_class, f"1.2.3.{number}"
        whole = part10.head(sop_class, body.SOPInstanceUID, syntax) + encoded(body, syntax)
        (tmp_path / "kind.dcm").write_bytes(whole)
        assert link.send_c_store(tmp_path / "kind.dcm").Status == 0, (sop_class, syntax)
        wanted.add(file_hash(whole))
    link.release()
    with Database.look(node.root) as queue:
        assert wanted <= {row[0] for row in queue.rows("SELECT sha256 FROM films")}


def encoded(body: Dataset, syntax: str) -> bytes:
    """A data set without pixels, in the order and with the VRs of a syntax."""
    from pynetdicom.dsutils import encode

    return encode(body, syntax == "1.2.840.10008.1.2", syntax != "1.2.840.10008.1.2.2")


def test_nothing_of_a_stranger_but_address_reason_and_number_is_in_the_trail(node: Node) -> None:
    def turned() -> list[dict]:
        return [e for e in node.events() if e["event"] == "turned away" and e["address"] == STRANGER]

    until(lambda: sum(event["n"] for event in turned()) > 50, 20, "they are counted")
    assert {"address", "why", "n", "seq", "at", "event", "before"} == set(turned()[0])
    assert len(turned()) < 5, "strangers must not fill the trail"


def test_after_all_that_the_receiver_is_the_one_that_was_started_and_small(node: Node) -> None:
    receiver = psutil.Process(children_of(node.process.pid)["receiver"])
    until(lambda: receiver.num_threads() < 30, 40, "threads end")
    assert receiver.memory_info().rss < MEMORY_MAX_BYTES
    assert receiver.create_time() - psutil.Process(node.process.pid).create_time() < 30
