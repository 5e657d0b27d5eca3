"""The sending process: connects to the configured destinations only, and sends only files that were made here."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from xraygpt_edge import sandbox
from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.files import replacing
from xraygpt_edge.node import archive, deliveries, lifeline, server
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.deliveries import Delivery
from xraygpt_edge.node.retries import Outcome, Result
from xraygpt_edge.node.settings import Destination, Settings
from xraygpt_edge.node.spool import Spool

MEMORY_BYTES = 1536 << 20
POLL_S = 0.5
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
    standing = deliveries.standing(database, destination.name)
    if standing.due_s > time.time():
        return False
    if standing.held:
        _ask(settings, database, destination)
        return True
    due = deliveries.due(database, destination.name, AT_ONCE)
    if due and destination.folder is not None:
        _put(settings, database, due, Path(destination.folder))
    elif due:
        _send(settings, database, destination, due)
    return bool(due)


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
                deliveries.settle(database, delivery, result)
                if result.status is None:  # the association has ended, so there is nothing more to try
                    deliveries.missed(database, destination.name, result)
                    return
                deliveries.reached(database, destination.name)
    except archive.Unreachable as error:
        deliveries.missed(database, destination.name, error.result)


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
