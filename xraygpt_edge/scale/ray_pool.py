"""The one importer of Ray: workers on every machine, two chunks in flight each, replaced when they die.

A process of its own, since Ray ends the process that it lives in when the cluster's head is gone. Ray's own restarts
are off: with them, a cluster that had shrunk waited for ever for machines that did not come back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.errors import OutOfTime, RuntimeMissing, WorkerCrashed, XrayGPTError
from xraygpt_edge.host import Fatal, Ready, Record, Started, Task
from xraygpt_edge.host.messages import packed, unpacked
from xraygpt_edge.host.speaker import Speaker, own_stderr, own_stdout
from xraygpt_edge.scale import guard
from xraygpt_edge.scale.films import Films
from xraygpt_edge.scale.messages import Begun, Lost, Start, Wish
from xraygpt_edge.scale.patience import Patience
from xraygpt_edge.scale.pool import end_group
from xraygpt_edge.scale.ray_worker import FilmWorker
from xraygpt_edge.text import one_line

WORKER: type[FilmWorker] = FilmWorker
CALLS_MAX = 2
"""Chunks in flight a worker: one is answered while the next is read ahead."""
CHUNK_MAX_BYTES = 32 << 20
"""Of films that are sent at once: they pass through the memory that Ray's machines share."""
FILM_MAX_BYTES = 1 << 30
"""A larger file is no film; its path is sent, and the worker says so."""
STORE_BYTES = 256 << 20
"""Of shared memory, for a cluster that is started here."""
POLL_S = 0.2
NODES_EVERY_S = 2.0
PROBE_S = 60.0
JOIN_MAX_S = 90.0
"""To join a cluster, or to start one; ten minutes after a wrong address Ray was still trying."""
STILL_MAX_S = 90.0
"""For one turn. Ray gives a lost head up by itself after 60 s, but waits for ever for one that stands still."""
NO_WORKER_MAX_S = 600.0
DEATHS_MAX = 3
"""So many on one machine, with no record in between, and it takes no further part."""

Say = Callable[[msgspec.Struct], None]
Inbox = SimpleQueue[Task | None]
"""Films, and None at the end."""


@dataclass(eq=False, slots=True)
class _Worker:
    number: int
    node: str
    handle: Any
    begun: Any
    """Reference to what it says at its start; None once that is known."""
    calls: list[Any] = field(default_factory=list)
    """A generator of events for each chunk in flight."""


def main() -> None:
    """Serve one pool."""
    speaker = Speaker(own_stdout(), _leave)
    sys.stderr = own_stderr()  # Ray's native part tells of a lost head there, beside our own line
    start: Start = unpacked(sys.stdin.buffer.readline(), Start)
    inbox: Inbox = SimpleQueue()
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    try:
        patience = Patience(lambda error: _give_up(speaker, error))
        connect(start, patience)
        RayPool(start, speaker.say, patience).run(inbox)
    except XrayGPTError as error:
        speaker.say(Fatal.of(error))
    finally:
        with contextlib.suppress(Exception):
            ray.shutdown()
        _leave()


def _leave() -> None:
    """End, with whatever is left of a cluster that was started here."""
    if os.name == "posix" and os.getpgrp() == os.getpid():  # as a pool starts it
        end_group(os.getpid())
    os._exit(0)


def _listen(inbox: Inbox) -> None:
    for line in sys.stdin.buffer:
        inbox.put(unpacked(line, Task))
    inbox.put(None)


def _give_up(speaker: Speaker, error: XrayGPTError) -> None:
    speaker.say(Fatal.of(error))
    _leave()


def connect(start: Start, patience: Patience) -> None:
    """Join the cluster, or start one on this computer; raises NotOffline for one that anybody may use."""
    patience.at_most(JOIN_MAX_S, RuntimeMissing("E-SCA-015", f"no answer within {JOIN_MAX_S:.0f} s"))
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if start.wish.address is None:
            own = {"include_dashboard": False, "object_store_memory": STORE_BYTES, "_temp_dir": start.temp}
            ray.init(**own, **quiet)
        else:
            ray.init(address=start.wish.address, **quiet)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        raise RuntimeMissing("E-SCA-015", type(error).__name__) from error
    probe = ray.remote(num_cpus=0)(guard.facts)
    asked = {
        node["NodeManagerAddress"]: probe.options(scheduling_strategy=_on(node["NodeID"])).remote() for node in _alive()
    }
    for host, facts in asked.items():
        patience.at_most(PROBE_S + STILL_MAX_S, _silent())
        guard.require_guarded(ray.get(facts, timeout=PROBE_S), host)


def _silent() -> XrayGPTError:
    return WorkerCrashed("E-SCA-019", f"no answer within {STILL_MAX_S:.0f} s")


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _on(node: str) -> Any:
    return NodeAffinitySchedulingStrategy(node_id=node, soft=False)


@dataclass(slots=True)
class RayPool:
    """Hands films out and hears records; for one thread."""

    start: Start
    say: Say
    patience: Patience
    _films: Films = field(default_factory=Films)
    _workers: list[_Worker] = field(default_factory=list)
    _numbers: Any = field(default_factory=count)
    _deaths: Counter[str] = field(default_factory=Counter)
    """Node → deaths of workers in a row."""
    _aside: dict[str, XrayGPTError] = field(default_factory=dict)
    """Nodes that take no further part, and why."""
    _looked_at_s: float = 0.0
    _lively_at_s: float = field(default_factory=time.monotonic)

    @property
    def wish(self) -> Wish:
        """What was asked for."""
        return self.start.wish

    def run(self, inbox: Inbox) -> None:
        """Until the films have ended. Raises what no other machine could mend."""
        while self._take(inbox):
            self.patience.at_most(STILL_MAX_S, _silent())
            self._look_at_machines()
            self._hand_out()
            self._hear()

    def _take(self, inbox: Inbox) -> bool:
        """Films that have come; waits for one where there is nothing else to do."""
        try:
            while True:
                task = inbox.get(timeout=0 if self._waitables() else POLL_S)
                if task is None:
                    return False
                self._films.add(task)
        except Empty:
            return True

    def _look_at_machines(self) -> None:
        """Start workers on machines that have room for them; a machine may join or go at any time."""
        now_s = time.monotonic()
        if any(worker.begun is None for worker in self._workers):
            self._lively_at_s = now_s
        elif now_s - self._lively_at_s > NO_WORKER_MAX_S:
            raise OutOfTime("E-SCA-017")
        if now_s - self._looked_at_s < NODES_EVERY_S:
            return
        self._looked_at_s = now_s
        alive = {node["NodeID"]: node["Resources"] for node in _alive()}
        for node, resources in alive.items():
            if node not in self._aside:
                here = sum(worker.node == node for worker in self._workers)
                for _ in range(workers_for(resources, self.wish) - here):
                    self._hire(node, resources)
        self._require_somebody(alive)

    def _require_somebody(self, alive: Iterable[str]) -> None:
        """Raises the last machine's reason where all have been set aside."""
        left = [node for node in alive if node not in self._aside]
        if not left and self._aside and not self._workers:
            raise list(self._aside.values())[-1]

    def _hire(self, node: str, resources: dict[str, float]) -> None:
        room = {
            "num_cpus": self.wish.cpus_per_worker or resources.get("CPU", 0),
            "num_gpus": self.wish.gpus_per_worker,
            "scheduling_strategy": _on(node),
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": CALLS_MAX,
        }
        handle = ray.remote(WORKER).options(**room).remote(packed(self.start.load))
        self._workers.append(_Worker(next(self._numbers), node, handle, handle.begin.remote()))

    def _hand_out(self) -> None:
        ready = [worker for worker in self._workers if worker.begun is None]
        for n_calls in range(CALLS_MAX):
            for worker in ready:
                if len(worker.calls) == n_calls:
                    self._give_chunk(worker, len(ready))

    def _give_chunk(self, worker: _Worker, n_ready: int) -> None:
        tasks = self._films.chunk(worker.number, self.wish.chunk, n_ready)
        if not tasks:
            return
        films: list[bytes | None] = list(_sent(tasks)) if self.wish.send_files else [None] * len(tasks)
        self._films.put_back(worker.number, tasks[len(films) :])
        call = worker.handle.answer.options(num_returns="streaming")
        worker.calls.append(call.remote([packed(task) for task in tasks[: len(films)]], films))

    def _waitables(self) -> dict[Any, _Worker]:
        starting = {worker.begun: worker for worker in self._workers if worker.begun is not None}
        return {**starting, **{call: worker for worker in self._workers for call in worker.calls}}

    def _hear(self) -> None:
        """Whatever workers have said meanwhile."""
        owners = self._waitables()
        if not owners:
            return
        some, _ = ray.wait(list(owners), num_returns=1, timeout=POLL_S)
        every, _ = ray.wait(list(owners), num_returns=len(owners), timeout=0) if some else ([], [])
        for source in every:
            worker = owners[source]
            if worker in self._workers:
                self._hear_of(worker, source)

    def _hear_of(self, worker: _Worker, source: Any) -> None:
        try:
            if source is worker.begun:
                self._greet(worker, unpacked(ray.get(source), Begun))
            else:
                self._pass_on(worker, unpacked(ray.get(next(source)), Started | Record | Fatal))
        except StopIteration:
            worker.calls.remove(source)
        except RayError as error:
            self._bury(worker, type(error).__name__)

    def _greet(self, worker: _Worker, begun: Begun) -> None:
        """A worker is ready, or cannot take part. Raises NotOffline for a machine that anybody may use."""
        for host in [node["NodeManagerAddress"] for node in _alive() if node["NodeID"] == worker.node]:
            guard.require_guarded(begun.environment, host)
        refusal = refusal_of(begun, self.start)
        if refusal:
            self._set_aside(worker.node, refusal)
            self._dismiss(worker)
            return
        worker.begun = None
        self._say_room()

    def _say_room(self) -> None:
        """How many films the pool may hold: those in flight, and as many for the chunks that follow."""
        n_ready = sum(worker.begun is None for worker in self._workers)
        self.say(Ready(slots=max(1, 2 * CALLS_MAX * self.wish.chunk * n_ready), device="pool", threads=n_ready))

    def _pass_on(self, worker: _Worker, event: Started | Record | Fatal) -> None:
        match event:
            case Started():
                self._films.begin(event.task)
            case Record():
                self._deaths.pop(worker.node, None)
                if self._films.land(worker.number, event):
                    self.say(event)
            case Fatal():
                self._bury(worker, event.error_id)

    def _bury(self, worker: _Worker, why: str) -> None:
        """Its films go to others; what has died on a machine again and again is that machine's fault."""
        self._dismiss(worker)
        self.say(Lost())
        for record in self._films.bury(worker.number):
            self.say(record)
        self._deaths[worker.node] += 1
        if self._deaths[worker.node] >= DEATHS_MAX:
            self._set_aside(worker.node, WorkerCrashed("E-SCA-023", why))
        self._say_room()

    def _set_aside(self, node: str, error: XrayGPTError) -> None:
        self._aside[node] = error
        warning = CATALOGUE["W-SCA-004"].what
        sys.stderr.write(one_line(f"warning W-SCA-004: {warning} ({error.error_id}: {error.message})") + "\n")

    def _dismiss(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        with contextlib.suppress(RayError):
            ray.kill(worker.handle)


def workers_for(resources: dict[str, float], wish: Wish) -> int:
    """Workers that a machine has room for."""
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    n = int(cpus // wish.cpus_per_worker) if wish.cpus_per_worker else int(cpus > 0)
    return min(n, int(gpus // wish.gpus_per_worker)) if wish.gpus_per_worker else n


def refusal_of(begun: Begun, start: Start) -> XrayGPTError | None:
    """Why a machine cannot take part."""
    if begun.error_id:
        return RuntimeMissing(begun.error_id, begun.why)
    if begun.version != start.version:
        return RuntimeMissing("E-SCA-024", f"version {begun.version}, not {start.version}")
    if begun.manifest_sha256 != start.manifest_sha256:
        return RuntimeMissing("E-SCA-024", "another bundle")
    return None


def _sent(tasks: Iterable[Task]) -> Iterator[bytes | None]:
    """Films of the first tasks, at least of one, as many as may be sent at once."""
    size_bytes = 0
    for task in tasks:
        if size_bytes > CHUNK_MAX_BYTES:
            return
        film = _bytes_of(task)
        size_bytes += len(film or b"")
        yield film


def _bytes_of(task: Task) -> bytes | None:
    """A film to be sent; None for one that cannot be read here, so that the worker says why."""
    try:
        path = Path(task.path)
        return path.read_bytes() if path.stat().st_size <= FILM_MAX_BYTES else None
    except OSError:
        return None


if __name__ == "__main__":
    main()
