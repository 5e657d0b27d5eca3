"""The receiving process: listens, writes files and rows of the queue; parses no data set and connects to nobody."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt

from xraygpt_edge import sandbox
from xraygpt_edge.errors import OutputError, UsageError, XrayGPTError
from xraygpt_edge.node import commitment, films, lifeline, part10, server, spool, tls
from xraygpt_edge.node.database import Database, note
from xraygpt_edge.node.door import Door
from xraygpt_edge.node.films import Arrival, Taken
from xraygpt_edge.node.settings import Peer, Settings, endpoint

MEMORY_BYTES = 1536 << 20
FINISH_S = 10.0
"""What is being received when the end is asked for may take so long."""
COUNTED_EVERY_S = 5.0
SUCCESS, NO_RESOURCES, OUR_FAULT = 0x0000, 0xA700, 0x0110
PRIORITY_OF_A_REQUEST = {1: 0, 2: 2}
"""High and low, as C-STORE says them; medium says nothing, since everybody sends it."""
ROOM_FOR_FILMS = 3
"""Of the largest film so far: the reserve is never less."""


class Full(Exception):
    """No film is taken now; the words go into the error comment."""


@dataclass(slots=True)
class Receiver:
    """Takes films in; safe to share between the threads of associations."""

    settings: Settings
    database: Database
    spool: spool.Spool
    secret: bytes
    _largest_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def store(self, peer: Peer, event: evt.Event) -> Any:
        """Answer one C-STORE: success only when the film is on disk and in the queue."""
        try:
            self._take(peer, event)
        except Full as full:
            return _failure(NO_RESOURCES, str(full))
        except (OSError, OutputError):
            return _failure(NO_RESOURCES, "disk refuses to store")
        except Exception as error:  # noqa: BLE001 - our bug: the sender must not believe that it is stored
            with self.database.change() as cursor:
                note(cursor, "our fault", peer=peer.name, error=f"E-BUG-001 {type(error).__name__}")
            return _failure(OUR_FAULT, "processing failure")
        return SUCCESS

    def _take(self, peer: Peer, event: evt.Event) -> None:
        request, syntax = event.request, event.context.transfer_syntax
        instance = str(request.AffectedSOPInstanceUID)
        body = request.DataSet.getbuffer()
        parts = (part10.head(str(request.AffectedSOPClassUID), instance, str(syntax)), body)
        n_bytes = sum(map(len, parts))
        keyed = spool.keyed_hash(self.secret, instance)
        if films.instance_is_ours(self.database, keyed):
            with self.database.change() as cursor:
                note(cursor, "ours came back", peer=peer.name)
            return
        priority = PRIORITY_OF_A_REQUEST.get(request.Priority, films.PRIORITIES.index(peer.priority))
        held = self.settings.node.group is not None
        arrival = Arrival(spool.file_hash(*parts), keyed, "", n_bytes, peer.name, priority, held)
        if films.needs_no_file(self.database, arrival.sha256):
            films.take(self.database, arrival)
            return
        self._require_room(n_bytes)
        self._admit(replace(arrival, file=self.spool.keep_film(*parts)))

    def _admit(self, arrival: Arrival) -> None:
        """The row for a file; without a row the file goes, too."""
        kept = False
        try:
            kept = films.take(self.database, arrival) is Taken.NEW
        finally:
            if not kept:
                (self.spool.films / arrival.file).unlink(missing_ok=True)

    def _require_room(self, n_bytes: int) -> None:
        with self._lock:
            self._largest_bytes = max(self._largest_bytes, n_bytes)
            reserve = max(self.settings.reserve_bytes, ROOM_FOR_FILMS * self._largest_bytes)
        if self.spool.free_bytes() - n_bytes < reserve:
            raise Full("disk space low")
        if films.n_waiting(self.database) >= self.settings.node.queue_limit:
            raise Full("queue full")


def _failure(status: int, comment: str) -> Dataset:
    response = Dataset()
    response.Status, response.ErrorComment = status, comment
    return response


def main() -> None:
    """Read the settings from standard input, listen, and end when that input ends."""
    settings = lifeline.settings_of_node()
    server.quiet()
    threading.stack_size(server.STACK_BYTES)
    try:
        listening, receiver = _listen(settings)
    except XrayGPTError as error:
        lifeline.give_up(error)
    sandbox.protect(MEMORY_BYTES, sandbox.open_no_socket)
    threading.Thread(target=listening.serve_forever, name="accept", daemon=True).start()
    lifeline.say_ready()
    _serve_until_told(listening, receiver)
    os._exit(0)


def _listen(settings: Settings) -> tuple[server.Server, Receiver]:
    place = spool.Spool(settings.root)
    receiver = Receiver(settings, Database.open(place.root), place, place.secret())
    address = endpoint(settings.node.listen)
    context = tls.for_listening(settings.node.tls) if settings.node.tls else None
    try:
        hear = partial(commitment.hear, place)
        return server.Server(address, Door(settings), receiver.store, hear, context), receiver
    except OSError as error:
        raise UsageError("E-NOD-002", f"{settings.node.listen}: {error.strerror}") from error


def _serve_until_told(listening: server.Server, receiver: Receiver) -> None:
    told = lifeline.told_to_end()
    while not told.wait(COUNTED_EVERY_S):
        _note_turned_away(listening.door, receiver.database)
    listening.socket.close()
    _note_turned_away(listening.door, receiver.database)
    until_s = time.monotonic() + FINISH_S
    while time.monotonic() < until_s and any(each.is_receiving for each in list(listening.connections)):
        time.sleep(0.02)


def _note_turned_away(door: Door, database: Database) -> None:
    """One event for each address and reason, however often it came: strangers must not fill the trail."""
    found = door.turned_away()
    if not found:
        return
    try:
        with database.change() as cursor:
            for (address, why), n in found.items():
                note(cursor, "turned away", address=address, why=why, n=n)
    except OutputError:  # a full disk; they are counted with the next ones
        door.keep_counting(found)


if __name__ == "__main__":
    main()
