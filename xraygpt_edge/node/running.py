"""`node run`: the process that owns the queue, and keeps the others going."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from xraygpt_edge import batch
from xraygpt_edge.batch.job import load_of
from xraygpt_edge.errors import Locked, OutputError
from xraygpt_edge.host import Event, Fatal, ModelHost
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.ledger import claimed
from xraygpt_edge.node import asking, deliveries, facts, intake, keeping, notify, status, status_page
from xraygpt_edge.node.answers import Answers
from xraygpt_edge.node.audit import Trail
from xraygpt_edge.node.check import certificate_ends
from xraygpt_edge.node.children import Child
from xraygpt_edge.node.database import Database
from xraygpt_edge.node.grouping import Grouping, let_all_go
from xraygpt_edge.node.receiver import FINISH_S
from xraygpt_edge.node.settings import Settings
from xraygpt_edge.node.spool import Spool
from xraygpt_edge.node.watching import Watching
from xraygpt_edge.node.working import READ_AHEAD, Working

TICK_S = 0.2
HOUSEKEEPING_S = 5.0
NO_ROOM_S = 2.0
"""Between two tries on a full disk."""
END_S = FINISH_S + 2.0
"""Longest time from the wish to end until the end."""


class Watcher(Protocol):
    """Somebody who wants to know that the node is up."""

    def up(self) -> None:
        """It listens; called once, and must return at once."""


def run(settings: Settings, watcher: Watcher) -> None:
    """Receive, answer and send until something is raised in this thread, such as by a signal.

    Raises Locked when another node works in the folder, UsageError, OutputError, or what ends the model process;
    every film that was acknowledged stays in the queue, and running the same settings again goes on with it.
    """
    place = Spool(settings.root)
    keeping.require_local(settings.root)
    place.make()
    with ExitStack() as stack:
        try:
            stack.enter_context(claimed(settings.root))
        except Locked:
            raise Locked("E-NOD-007") from None
        place.empty_part()
        database = stack.enter_context(Database.open(settings.root))
        trail = Trail(settings.root)
        deliveries.introduce(database, settings.destinations)
        intake.take_orphans(database, place)
        facts.write(
            settings.root, settings, {name: time.time() + left for name, left in certificate_ends(settings).items()}
        )
        told: SimpleQueue[Event] = SimpleQueue()
        working = _working(settings, database, place, told, stack)
        children = [Child("receiver", settings), Child("sender", settings)]
        stack.callback(_end, children, trail, database)
        watching = _watching(settings, database, place, working)
        grouping = _grouping(settings, database, place, working)
        for child in children:
            child.start()
        notify.tell(notify.READY)
        watcher.up()
        _Loop(settings, database, place, trail, children, working, watching, grouping, told).go()


def _working(
    settings: Settings, database: Database, place: Spool, told: SimpleQueue[Event], stack: ExitStack
) -> Working:
    opened, questions = asking.opened(settings.node)
    job = batch.Job(place.films, opened.root, opened.manifest_sha256, questions)
    answers = stack.enter_context(closing(Answers(place.answers, job)))
    reader = stack.enter_context(closing(Reader()))
    host = stack.enter_context(ModelHost(load_of(job, batch.Running(), settings.node.parallel), READ_AHEAD))
    return Working(settings, database, place, answers, host, told.put, reader, place.secret())


def _watching(settings: Settings, database: Database, place: Spool, working: Working) -> Watching | None:
    watch = settings.node.watch
    return Watching(settings, watch, database, place, working.reader, working.secret) if watch else None


def _grouping(settings: Settings, database: Database, place: Spool, working: Working) -> Grouping | None:
    if settings.node.group:
        return Grouping(database, place, working.reader, working.secret)
    let_all_go(database)
    return None


@dataclass(slots=True)
class _Loop:
    """What the node does again and again."""

    settings: Settings
    database: Database
    place: Spool
    trail: Trail
    children: list[Child]
    working: Working
    watching: Watching | None
    grouping: Grouping | None
    told: SimpleQueue[Event]
    """What the model says."""
    kept_house_s: float = float("-inf")

    def go(self) -> None:
        """Until something is raised."""
        while True:
            for child in self.children:
                child.tend()
            try:
                self._work()
            except OutputError as error:
                self._wait_for_room(error)

    def _work(self) -> None:
        self.working.begin_more()
        self._listen()
        if self.watching is not None:
            self.watching.look()
        if self.grouping is not None:
            self.grouping.look()
        if time.monotonic() - self.kept_house_s >= HOUSEKEEPING_S:
            self.kept_house_s = time.monotonic()
            keeping.keep_house(self.settings, self.database, self.place)
            notify.tell(notify.ALIVE)
            status_page.write(self.place.root, status.gather(self.place.root, self.database, running=True))
        self.trail.copy(self.database)

    def _wait_for_room(self, error: OutputError) -> None:
        """A full disk stops the answers, not the node: begun films are begun again. Any other fault ends it."""
        if self.place.free_bytes() >= self.settings.reserve_bytes:
            raise error
        notify.tell(notify.ALIVE)
        self.working.forget()
        time.sleep(NO_ROOM_S)

    def _listen(self) -> None:
        """Hear what the model says, for a moment."""
        try:
            event = self.told.get(timeout=TICK_S)
        except Empty:
            return
        if isinstance(event, Fatal):
            raise event.error
        self.working.hear(event)


def _end(children: list[Child], trail: Trail, database: Database) -> None:
    """Have all end what they do, at the same time, and write the trail to its end."""
    notify.tell(notify.STOPPING)
    for child in children:
        child.ask_to_end()
    for child in children:
        child.end(FINISH_S)
    trail.copy(database)
