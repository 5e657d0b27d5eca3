"""The two ends of a node in this process: what a sender hears, and what becomes of results in every archive's mood."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian
from pynetdicom import ae, evt

from tests.node import free_port
from tests.test_node_parts import MINIMAL, answered, arrival, read
from xraygpt_edge.node import deliveries, films, sender, spool
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.door import ANYBODY
from xraygpt_edge.node.receiver import Receiver
from xraygpt_edge.node.settings import Destination, Settings
from xraygpt_edge.reports.dicom_object import encoded


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Database]:
    place = spool.Spool(tmp_path / "data")
    place.make()
    with Database.open(place.root) as database:
        deliveries.introduce(database, [Destination("pacs")])
        yield database


def store(
    settings: Settings, queue: Database, body: bytes = b"data set", instance: str = "1.2.3", priority: int = 0
) -> Any:
    place = spool.Spool(settings.root)
    request = SimpleNamespace(
        AffectedSOPClassUID="1.2.840.10008.5.1.4.1.1.1",
        AffectedSOPInstanceUID=instance,
        DataSet=io.BytesIO(body),
        Priority=priority,
    )
    context = SimpleNamespace(transfer_syntax="1.2.840.10008.1.2")
    receiver = Receiver(settings, queue, place, place.secret())
    return receiver.store(ANYBODY, SimpleNamespace(request=request, context=context))


def small(folder: Path, more: str = "") -> Settings:
    return read(folder, MINIMAL.replace("[[result]]", f'reserve = "1 MB"\n{more}\n[[result]]'))


def test_success_is_said_after_file_rename_folder_and_row(
    tmp_path: Path, queue: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, replace, take = os.fsync, Path.replace, films.take

    def synced(handle: int) -> None:
        order.append("fsync file" if os.path.isfile(f"/proc/self/fd/{handle}") else "fsync folder")  # noqa: PTH113
        fsync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", lambda *a: (order.append("rename"), replace(*a))[1])
    monkeypatch.setattr(films, "take", lambda *a: (order.append("commit"), take(*a))[1])
    settings = small(tmp_path)
    spool.Spool(settings.root).secret()
    order.clear()
    assert store(settings, queue) == 0
    assert order == ["fsync file", "rename", "fsync folder", "commit"]


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_disk_that_refuses_is_a700_and_leaves_nothing(
    tmp_path: Path, queue: Database, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    settings = small(tmp_path)
    spool.Spool(settings.root).secret()

    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, refuse)
        assert store(settings, queue).Status == 0xA700
    assert [path.name for path in (tmp_path / "data" / "in").rglob("*")] == ["part"]
    assert films.n_waiting(queue) == 0
    assert store(settings, queue) == 0


def test_a_disk_or_a_queue_that_is_full_is_a700_until_there_is_room(
    tmp_path: Path, queue: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(tmp_path, "queue_limit = 1")
    with monkeypatch.context() as full:
        full.setattr(spool.Spool, "free_bytes", lambda _: 500_000)
        answer = store(settings, queue)
        assert (answer.Status, answer.ErrorComment) == (0xA700, "disk space low")
    assert store(settings, queue, b"a") == 0
    answer = store(settings, queue, b"b")
    assert (answer.Status, answer.ErrorComment) == (0xA700, "queue full")
    assert store(settings, queue, b"a") == 0, "what is there already needs no room"


def test_high_and_low_are_the_senders_word_and_medium_the_peers(tmp_path: Path, queue: Database) -> None:
    settings = small(tmp_path)
    for number, said in enumerate((0, 1, 2)):
        store(settings, queue, b"%d" % number, priority=said)
    assert [row["priority"] for row in queue.rows("SELECT priority FROM films ORDER BY id")] == [1, 0, 2]


def test_a_result_of_ours_that_comes_back_is_taken_and_never_answered(tmp_path: Path, queue: Database) -> None:
    settings = small(tmp_path)
    films.take(queue, arrival(1))
    own = spool.keyed_hash(spool.Spool(settings.root).secret(), "1.2.3.9")
    films.settle(queue, films.next_film(queue, []), films.State.ANSWERED, [films.Made("pacs", "x", "x.dcm", own)])
    assert store(settings, queue, instance="1.2.3.9") == 0
    assert films.n_waiting(queue) == 0
    assert list((tmp_path / "data" / "in").glob("*.dcm")) == []


@contextmanager
def moody(
    status: int = 0, title: str = "ARCHIVE", supported: str = BasicTextSRStorage
) -> Iterator[tuple[int, list[str]]]:
    """An archive that answers each C-STORE alike; what was asked of it."""
    asked: list[str] = []
    entity = ae.ApplicationEntity(title)
    entity.require_called_aet = True
    entity.add_supported_context(supported, ExplicitVRLittleEndian)
    entity.add_supported_context("1.2.840.10008.1.1")
    port = free_port()

    def stored(_: evt.Event) -> int:
        asked.append("store")
        return status

    def echoed(_: evt.Event) -> int:
        asked.append("echo")
        return 0

    handlers = [(evt.EVT_C_STORE, stored), (evt.EVT_C_ECHO, echoed)]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield port, asked
    finally:
        server.shutdown()


def result_file(settings: Settings, number: int = 1) -> None:
    document = Dataset()
    document.SOPClassUID, document.SOPInstanceUID, document.PatientID = BasicTextSRStorage, f"1.2.{number}", "x"
    (spool.Spool(settings.root).results / f"{number}-sr.dcm").write_bytes(encoded(document))


def try_once(folder: Path, queue: Database, port: int) -> dict[str, Any]:
    settings = read(folder, MINIMAL.replace("127.0.0.1:104", f"127.0.0.1:{port}"))
    result_file(settings)
    sender.deliver(settings, queue, settings.destinations[0])
    return {**queue.rows("SELECT state, tries, status FROM deliveries")[0]}


@pytest.mark.parametrize(
    ("status", "state", "again_s"),
    [(0x0000, "done", None), (0xB000, "done", None), (0xA700, "waiting", 60), (0xA900, "waiting", 3600)],
)
def test_what_an_archive_says_of_an_object_decides_about_that_object(
    tmp_path: Path, queue: Database, status: int, state: str, again_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(queue)
    with moody(status) as (port, asked):
        assert try_once(tmp_path, queue, port) == {"state": state, "tries": 1, "status": status}
    assert asked == ["store"]
    if again_s:
        due_s, made_s = queue.rows("SELECT due_s, made_s FROM deliveries")[0]
        assert again_s <= due_s - made_s < again_s + 20
    standing = deliveries.standing(queue, "pacs")
    assert (standing.held, standing.tries) == (False, 0)


def test_a_class_that_an_archive_does_not_take_is_a_refusal(tmp_path: Path, queue: Database) -> None:
    answered(queue)
    with moody(supported="1.2.840.10008.5.1.4.1.1.2") as (port, asked):
        assert try_once(tmp_path, queue, port) == {"state": "waiting", "tries": 1, "status": 0x0122}
    assert asked == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library forgets its socket
def test_an_archive_that_is_down_is_left_in_peace_for_a_minute(tmp_path: Path, queue: Database) -> None:
    answered(queue)
    port = free_port()
    assert try_once(tmp_path, queue, port)["state"] == "waiting"
    with moody() as (port, asked):
        assert try_once(tmp_path, queue, port)["tries"] == 0
        assert asked == [], "not tried before its time"
        with queue.change() as cursor:
            cursor.execute("UPDATE destinations SET due_s = 0")
        assert try_once(tmp_path, queue, port)["state"] == "done"


def test_an_archive_that_refuses_our_title_is_asked_once_an_hour_and_used_when_it_answers(
    tmp_path: Path, queue: Database
) -> None:
    answered(queue)
    with moody(title="OTHER") as (port, asked):
        for _ in range(5):
            try_once(tmp_path, queue, port)
    assert asked == []
    assert deliveries.standing(queue, "pacs").held
    with queue.change() as cursor:
        cursor.execute("UPDATE destinations SET due_s = 0")
    with moody() as (port, asked):
        assert try_once(tmp_path, queue, port)["state"] == "waiting"
        assert asked == ["echo"]
        assert try_once(tmp_path, queue, port)["state"] == "done"
