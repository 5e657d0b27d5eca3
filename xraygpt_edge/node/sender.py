"""The sending process: connects to the configured destinations only, and sends only files that were made here."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from pathlib import Path

from pydicom.uid import generate_uid
from pynetdicom.association import Association

from xraygpt_edge import sandbox
from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.files import replacing
from xraygpt_edge.node import archive, commitment, commitments, deliveries, lifeline, server
from xraygpt_edge.node.database import Database, note
from xraygpt_edge.node.deliveries import Delivery
from xraygpt_edge.node.retries import Outcome, Result
from xraygpt_edge.node.settings import Destination, Settings
from xraygpt_edge.node.spool import Spool, keyed_hash

MEMORY_BYTES = 1536 << 20
POLL_S = 0.5
EVENT_POLL_S = 0.1
AT_ONCE = 50
"""Objects on one association."""


def main() -> None:
    """Read the settings from standard input, send what is due, and end when that input ends."""
    settings = lifeline.settings_of_node()
    server.quiet()
    sandbox.protect(MEMORY_BYTES, sandbox.keep_network)
    try:
        database = Database.open(settings.root)
    except XrayGPTError as error:
        lifeline.give_up(error)
    told = lifeline.told_to_end()
    for destination in settings.destinations:
        threading.Thread(target=_serve, args=(settings, database, destination), daemon=True).start()
    lifeline.say_ready()
    told.wait()
    os._exit(0)


def _serve(settings: Settings, database: Database, destination: Destination) -> None:
    """One destination for as long as the process lives; none holds another one up."""
    try:
        while True:
            if not deliver(settings, database, destination):
                time.sleep(POLL_S)
    except BaseException:  # noqa: BLE001 - the queue refuses, or our bug: the node starts a new process, with a pause
        os._exit(1)


def deliver(settings: Settings, database: Database, destination: Destination) -> bool:
    """Send what is due to one destination; whether anything was tried."""
    if destination.commit:
        _hear(settings, database)
        commitments.give_up(database, destination.name)
    standing = deliveries.standing(database, destination.name)
    if standing.due_s > time.time():
        return False
    if standing.held:
        _ask(settings, database, destination)
        return True
    due = deliveries.due(database, destination.name, AT_ONCE)
    is_anything = bool(due or commitments.to_ask(database, destination.name, 1))
    if due and destination.folder is not None:
        _put(settings, database, due, Path(destination.folder))
    elif is_anything:
        _send(settings, database, destination, due)
    return is_anything


def _ask(settings: Settings, database: Database, destination: Destination) -> None:
    """One C-ECHO to a destination that is held, and nothing else."""
    try:
        with archive.association(settings, destination) as link:
            result = archive.echo(link)
    except archive.Unreachable as error:
        result = error.result
    if result.outcome.is_stored:
        deliveries.reached(database, destination.name)
    else:
        deliveries.missed(database, destination.name, Result(Outcome.BARRED, result.why))


def _send(settings: Settings, database: Database, destination: Destination, due: list[Delivery]) -> None:
    """Several objects on one association; each has a status of its own."""
    folder = Spool(settings.root).results
    try:
        with archive.association(settings, destination) as link:
            for delivery in due:
                result = archive.store(link, folder / delivery.file)
                deliveries.settle(database, delivery, result, "stored" if destination.commit else "done")
                if result.status is None:  # the association has ended, so there is nothing more to try
                    deliveries.missed(database, destination.name, result)
                    return
                deliveries.reached(database, destination.name)
            _ask_to_keep(settings, database, destination, link)
    except archive.Unreachable as error:
        deliveries.missed(database, destination.name, error.result)


def _ask_to_keep(settings: Settings, database: Database, destination: Destination, link: Association) -> None:
    """Ask for commitment to what was stored, and wait a little for the answer; it may come later, on our port."""
    about = commitments.to_ask(database, destination.name, AT_ONCE)
    if not about:
        return
    place, transaction = Spool(settings.root), str(generate_uid())
    request = keyed_hash(place.secret(), transaction)
    commitments.asked(database, about, request)
    result = archive.ask_to_keep(link, transaction, [place.results / each.file for each in about])
    if not result.outcome.is_stored:
        commitments.not_asked(database, about, result)
        return
    until_s = time.monotonic() + commitment.EVENT_S
    while commitments.is_open(database, request) and link.is_established and time.monotonic() < until_s:
        time.sleep(EVENT_POLL_S)
        _hear(settings, database)


def _hear(settings: Settings, database: Database) -> None:
    """Settle what archives have said about commitment since; what cannot be understood is forgotten, and told."""
    place = Spool(settings.root)
    for path, answer in commitment.heard(place):
        hashed = partial(keyed_hash, place.secret())
        n = 0
        if answer is not None:
            kept, failed = set(map(hashed, answer.kept)), set(map(hashed, answer.failed))
            n = commitments.settle(database, hashed(answer.transaction), kept, failed)
        if not n:
            with database.change() as cursor:
                note(cursor, "commitment answer of no use")
        path.unlink(missing_ok=True)


def _put(settings: Settings, database: Database, due: list[Delivery], folder: Path) -> None:
    """Results as files, each whole or not there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for delivery in due:
            data = (Spool(settings.root).results / delivery.file).read_bytes()
            with replacing(folder / f"{delivery.film}-{delivery.id}.{delivery.file.partition('.')[2]}") as stream:
                stream.write(data)
            deliveries.settle(database, delivery, Result(Outcome.STORED))
        deliveries.reached(database, due[0].destination)
    except OSError as error:
        deliveries.missed(database, due[0].destination, Result(Outcome.MISSED, error.strerror or type(error).__name__))


if __name__ == "__main__":
    main()
