"""Storage commitment: a result has arrived when the archive has promised to keep it, and not before."""

# ruff: noqa: F811 - fixtures of another file are imported by their names

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import ae, build_role, evt

from tests.node import free_port
from tests.test_node_ends import queue, result_file  # noqa: F401 - a fixture
from tests.test_node_parts import MINIMAL, answered, read
from xraygpt_edge.node import commitment, commitments, deliveries, sender, spool, status
from xraygpt_edge.node.contexts import COMMITMENT, COMMITMENT_INSTANCE
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.door import Door
from xraygpt_edge.node.server import Server
from xraygpt_edge.node.settings import Settings

Say = Callable[[Dataset], Dataset | None]
"""What an archive answers to a request; None: nothing."""


def all_kept(asked: Dataset) -> Dataset:
    return reply(asked, asked.ReferencedSOPSequence, [])


def all_failed(asked: Dataset) -> Dataset:
    return reply(asked, [], asked.ReferencedSOPSequence)


def reply(asked: Dataset, kept: list[Dataset], failed: list[Dataset]) -> Dataset:
    said = Dataset()
    said.TransactionUID = asked.TransactionUID
    if kept:
        said.ReferencedSOPSequence = list(kept)
    if failed:
        said.FailedSOPSequence = list(failed)
        for each in said.FailedSOPSequence:
            each.FailureReason = 0x0112
    return said


class Archive:
    """Stores, takes requests for commitment, and answers on the same association, elsewhere, or not at all."""

    def __init__(self, say: Say, *, port_of_node: int = 0, status: int = 0, commits: bool = True) -> None:
        self.say, self.port_of_node, self.status = say, port_of_node, status
        self.stored, self.asked = 0, 0
        self.entity = ae.ApplicationEntity("ARCHIVE")
        self.entity.add_supported_context(BasicTextSRStorage, ExplicitVRLittleEndian)
        if commits:
            self.entity.add_supported_context(COMMITMENT, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])

    @contextmanager
    def listening(self) -> Iterator[int]:
        port = free_port()
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action)]
        server = self.entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        try:
            yield port
        finally:
            server.shutdown()

    def _store(self, _: evt.Event) -> int:
        self.stored += 1
        return 0

    def _action(self, event: evt.Event) -> tuple[int, None]:
        self.asked += 1
        said = self.say(event.action_information) if self.status == 0 else None
        if said is not None and self.port_of_node:
            tell(self.port_of_node, said)
        elif said is not None:
            event.assoc.send_n_event_report(said, 1 + ("FailedSOPSequence" in said), COMMITMENT, COMMITMENT_INSTANCE)
        return self.status, None


def tell(port: int, said: Dataset, title: str = "ARCHIVE") -> int | None:
    """What the node answers to an N-EVENT-REPORT on its own port; None where it is not let in."""
    entity = ae.ApplicationEntity(title)
    entity.add_requested_context(COMMITMENT, ImplicitVRLittleEndian)
    link = entity.associate("127.0.0.1", port, ae_title="XRAYGPT", ext_neg=[build_role(COMMITMENT, scp_role=True)])
    if not link.is_established:
        return None
    try:
        return link.send_n_event_report(said, 1, COMMITMENT, COMMITMENT_INSTANCE)[0].get("Status")
    finally:
        link.release()


def settings_for(folder: Path, port: int, more: str = "") -> Settings:
    text = MINIMAL.replace("127.0.0.1:104", f"127.0.0.1:{port}").replace('"ARCHIVE"\n', '"ARCHIVE"\ncommit = true\n')
    found = read(folder, text.replace("[[result]]", f"{more}\n[[result]]"))
    result_file(found)
    return found


def deliver(settings: Settings, queue: Database) -> dict[str, Any]:
    sender.deliver(settings, queue, settings.destinations[0])
    return {**queue.rows("SELECT state, status, error_id, request FROM deliveries")[0]}


@pytest.fixture
def stored(tmp_path: Path, queue: Database) -> Database:
    """A queue with one result whose instance is that of `result_file`."""
    answered(queue)
    secret = spool.Spool(tmp_path / "data").secret()
    with queue.change() as cursor:
        cursor.execute("UPDATE deliveries SET instance = ?", (spool.keyed_hash(secret, "1.2.1"),))
    return queue


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitment, "EVENT_S", 0.5)
    monkeypatch.setattr(sender, "EVENT_POLL_S", 0.02)


def make_due(queue: Database) -> None:
    with queue.change() as cursor:
        cursor.execute("UPDATE deliveries SET due_s = 0")


def test_a_result_is_there_when_the_archive_says_on_the_same_association_that_it_keeps_it(
    tmp_path: Path, stored: Database
) -> None:
    archive = Archive(all_kept)
    with archive.listening() as port:
        found = deliver(settings_for(tmp_path, port), stored)
    assert (found["state"], archive.stored, archive.asked) == ("done", 1, 1)
    assert list((tmp_path / "data" / "out").glob("*.event")) == []


def test_what_the_archive_has_lost_is_sent_again(tmp_path: Path, stored: Database) -> None:
    archive = Archive(all_failed)
    with archive.listening() as port:
        settings = settings_for(tmp_path, port)
        assert deliver(settings, stored)["state"] == "waiting"
        due_s, now = stored.value("SELECT due_s FROM deliveries"), time.time()
        assert 60 < due_s - now <= 300
        archive.say = all_kept
        make_due(stored)
        assert deliver(settings, stored)["state"] == "done"
    assert (archive.stored, archive.asked) == (2, 2)


def test_an_archive_that_never_answers_is_waited_for_an_hour_then_a_dead_letter_says_that_it_is_stored(
    tmp_path: Path, stored: Database
) -> None:
    archive = Archive(lambda _: None)
    with archive.listening() as port:
        settings = settings_for(tmp_path, port)
        assert deliver(settings, stored)["state"] == "stored"
        seen = status.gather(settings.root, stored, running=True).destinations[0]
        assert (seen.waiting, seen.uncommitted) == (1, 1)
        assert "1 stored, not committed" in status.text(status.gather(settings.root, stored, running=True))
        deliver(settings, stored)
        assert archive.asked == 1, "asked once, however often the sender looks"
        make_due(stored)
        found = deliver(settings, stored)
    assert (found["state"], found["error_id"], archive.stored) == ("dead", "E-NOD-009", 1)


@pytest.mark.parametrize("archive", [Archive(all_kept, commits=False), Archive(all_kept, status=0x0211)])
def test_an_archive_that_does_not_commit_is_asked_once_more_after_an_hour(
    tmp_path: Path, stored: Database, archive: Archive
) -> None:
    with archive.listening() as port:
        settings = settings_for(tmp_path, port)
        assert deliver(settings, stored)["state"] == "stored"
        assert 3500 < stored.value("SELECT due_s FROM deliveries") - time.time() <= 3600
        make_due(stored)
        assert deliver(settings, stored)["error_id"] == "E-NOD-009"
    assert archive.stored == 1, "a result that is stored is not sent again"


@contextmanager
def our_port(settings: Settings) -> Iterator[int]:
    """The receiver's end: what archives say is written down."""
    place = spool.Spool(settings.root)
    port = int(settings.node.listen.rpartition(":")[2])
    server = Server(("127.0.0.1", port), Door(settings), lambda *_: 0, lambda event: commitment.hear(place, event))
    accepting = threading.Thread(target=lambda: server.serve_forever(0.05))
    accepting.start()
    try:
        yield port
    finally:
        server.ae._servers.append(server)
        server.shutdown()
        accepting.join()


PEER = '[[peer]]\nname = "xr"\nae = "DX1"\naddress = "127.0.0.1"\n'


def test_an_answer_on_our_own_port_counts_as_well_and_only_from_an_archive_that_was_asked(
    tmp_path: Path, stored: Database
) -> None:
    node_port = free_port()
    archive = Archive(all_kept, port_of_node=node_port)
    with archive.listening() as port:
        settings = settings_for(tmp_path, port, f'listen = "127.0.0.1:{node_port}"\n{PEER}')
        with our_port(settings):
            assert deliver(settings, stored)["state"] == "done"
            nothing = Dataset()
            nothing.TransactionUID = "1.2.3"
            assert tell(node_port, nothing, title="DX1") is None, "a modality may not speak of commitment"
            assert tell(node_port, nothing, title="OTHER") is None
            assert tell(node_port, nothing) == 0
    deliver(settings, stored)
    events = [row[0] for row in stored.rows("SELECT facts FROM events")]
    assert sum("of no use" in each for each in events) == 1


def encoded(said: Dataset) -> bytes:
    from pynetdicom.dsutils import encode

    return encode(said, True, True)


def test_an_answer_is_read_whatever_its_lengths_and_rubbish_is_none() -> None:
    asked = Dataset()
    asked.TransactionUID, one, other = "1.2.3", Dataset(), Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = BasicTextSRStorage, "1.2.1"
    other.ReferencedSOPClassUID, other.ReferencedSOPInstanceUID = BasicTextSRStorage, "1.2.22"
    said = reply(asked, [one], [other])
    found = commitment.read(encoded(said))
    assert (found.transaction, found.kept, found.failed) == ("1.2.3", {"1.2.1"}, {"1.2.22"})
    said["ReferencedSOPSequence"].is_undefined_length = True
    assert commitment.read(encoded(said)).kept == {"1.2.1"}
    whole = encoded(said)
    for end in range(len(whole) - 1):  # whatever is cut off
        part = commitment.read(whole[:end])
        assert part is None or (part.kept <= {"1.2.1"} and part.failed <= {"1.2.22"})
    for rubbish in (b"", b"\0" * 5, b"\xff" * 4000, encoded(Dataset()), whole[::-1]):
        assert commitment.read(rubbish) is None


def test_an_answer_about_half_of_what_was_asked_leaves_the_other_half_open(stored: Database) -> None:
    (delivery,) = deliveries.due(stored, "pacs", 10)
    commitments.asked(stored, [delivery], "request")
    with stored.change() as cursor:
        cursor.execute("UPDATE deliveries SET state = 'stored'")
    assert commitments.settle(stored, "request", {"another"}, set()) == 1
    assert commitments.is_open(stored, "request")
    assert commitments.settle(stored, "unknown", {"x"}, set()) == 0


def test_whoever_need_not_commit_any_more_has_what_it_stored(stored: Database, tmp_path: Path) -> None:
    with stored.change() as cursor:
        cursor.execute("UPDATE deliveries SET state = 'stored'")
    deliveries.introduce(stored, read(tmp_path, MINIMAL).destinations)
    assert stored.value("SELECT state FROM deliveries") == "done"
