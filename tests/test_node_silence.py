"""Archives that take a connection and then say nothing, or go away: what is tried again, when, and how often."""

# ruff: noqa: F811 - a fixture of another file is imported by its name

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian
from pynetdicom import ae, evt

from tests.node import free_port
from tests.test_node_ends import queue, result_file  # noqa: F401 - a fixture
from tests.test_node_parts import MINIMAL, answered, read
from xraygpt_edge.node import archive, deliveries, films, sender
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.retries import GIVE_UP_S
from xraygpt_edge.node.settings import Settings

PATIENCE_S = 0.3
"""For an answer, in place of a minute."""


class Clock:
    """The time of the queue, moved by hand; the library keeps its own, or it would wait for ever."""

    def __init__(self) -> None:
        self.now, self.monotonic, self.sleep = 1_000_000.0, time.monotonic, time.sleep

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (films, deliveries, sender):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(archive, "ANSWER_S", PATIENCE_S)
    return clock


Meet = Callable[[socket.socket], None]


def say_nothing(peer: socket.socket) -> None:
    """Take the request, and hold the connection until the other side ends it."""
    while peer.recv(65536):
        pass


def go_away(peer: socket.socket) -> None:
    """Take the request, and close."""
    peer.recv(65536)


def go_away_in_a_word(peer: socket.socket) -> None:
    """Begin to accept, and close."""
    peer.recv(65536)
    peer.sendall(b"\2\0\0\0\0\xb8\0\1")


@contextmanager
def mute(meet: Meet) -> Iterator[tuple[int, list[int]]]:
    """A listener that is no archive; its port, and one entry for each connection."""
    met: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = listener.accept()
                    met.append(1)
                    with peer, suppress(OSError):
                        meet(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], met
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@contextmanager
def leaving(after: int, leave: Callable[[evt.Event], Any]) -> Iterator[tuple[int, list[str]]]:
    """An archive that stores so many objects and then does something else; what it was asked on which association."""
    asked: list[str] = []
    entity = ae.ApplicationEntity("ARCHIVE")
    entity.add_supported_context(BasicTextSRStorage, ExplicitVRLittleEndian)

    def stored(event: evt.Event) -> Any:
        asked.append("store")
        return leave(event) if asked.count("store") > after else 0

    port = free_port()
    handlers = [(evt.EVT_C_STORE, stored), (evt.EVT_ACCEPTED, lambda _: asked.append("association"))]
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield port, asked
    finally:
        server.shutdown()


def settings_for(folder: Path, port: int) -> Settings:
    return read(folder, MINIMAL.replace("127.0.0.1:104", f"127.0.0.1:{port}"))


def results(queue: Database, settings: Settings, n: int) -> None:
    for number in range(1, n + 1):
        answered(queue, number)
        result_file(settings, number)


def states(queue: Database) -> list[tuple[str, int]]:
    return [(row["state"], row["tries"]) for row in queue.rows("SELECT state, tries FROM deliveries ORDER BY id")]


@pytest.mark.parametrize("meet", [say_nothing, go_away, go_away_in_a_word])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library forgets its socket
def test_an_archive_that_never_answers_the_request_gets_one_connection_at_each_try_and_the_pauses_grow(
    tmp_path: Path, queue: Database, clock: Clock, meet: Meet
) -> None:
    with mute(meet) as (port, met):
        settings = settings_for(tmp_path, port)
        results(queue, settings, 3)
        began_s, tried_min = clock.now, []
        while clock.now - began_s < 25 * 60:
            before = len(met)
            if sender.deliver(settings, queue, settings.destinations[0]):
                tried_min.append((clock.now - began_s) / 60)
                assert len(met) == before + 1
            clock.now += 30
    assert tried_min == [0, 1, 3, 8, 23]
    assert len(met) == 5
    assert states(queue) == [("waiting", 0)] * 3, "nothing was sent, so no object is to blame"
    assert not deliveries.standing(queue, "pacs").held


def hang(event: evt.Event) -> int:
    """Answer when the sender has long lost patience."""
    time.sleep(4 * PATIENCE_S)
    return 0


def break_off(event: evt.Event) -> int:
    """Close the connection in the middle of an association."""
    event.assoc.dul.socket.close()
    return 0


def abort(event: evt.Event) -> int:
    """Say so, at least."""
    event.assoc.abort()
    return 0


@pytest.mark.parametrize("leave", [hang, break_off, abort])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_an_archive_has_taken_before_it_goes_is_done_and_the_rest_is_sent_when_it_is_there_again(
    tmp_path: Path, queue: Database, clock: Clock, leave: Callable[[evt.Event], Any]
) -> None:
    with leaving(1, leave) as (port, asked):
        settings = settings_for(tmp_path, port)
        results(queue, settings, 3)
        assert sender.deliver(settings, queue, settings.destinations[0])
        for _ in range(3):
            assert not sender.deliver(settings, queue, settings.destinations[0]), "not before its time"
    assert asked == ["association", "store", "store"]
    assert states(queue) == [("done", 1), ("waiting", 1), ("waiting", 0)]
    clock.now += 60
    with leaving(9, leave) as (port, asked):
        settings = settings_for(tmp_path, port)
        assert sender.deliver(settings, queue, settings.destinations[0])
    assert asked == ["association", "store", "store"]
    assert states(queue) == [("done", 1), ("done", 2), ("done", 1)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_result_that_found_no_answer_for_three_days_is_a_dead_letter_and_costs_no_more_traffic(
    tmp_path: Path, queue: Database, clock: Clock
) -> None:
    with mute(go_away) as (port, met):
        settings = settings_for(tmp_path, port)
        results(queue, settings, 1)
        clock.now += GIVE_UP_S - 1
        assert sender.deliver(settings, queue, settings.destinations[0])
        assert states(queue) == [("waiting", 0)]
        clock.now += 60
        assert sender.deliver(settings, queue, settings.destinations[0])
        assert states(queue) == [("dead", 0)]
        clock.now += 3600
        assert not sender.deliver(settings, queue, settings.destinations[0])
    assert len(met) == 2
