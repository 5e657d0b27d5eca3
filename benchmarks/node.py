"""Films a second that are stored, by the node's receiver and by the programs that one would use instead.

The same `storescu` sends the same film again and again, each time under a UID of its own. Ours answers when the film is
on the disk (`fsync`) and in the queue; Orthanc as it is set by default, with `SyncStorageArea`; dcmtk's `storescp`
syncs nothing. Nobody answers the films meanwhile: this is what the network and the disk can do.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pydicom

from benchmarks.child import ROOT, SideFailed, environment
from benchmarks.pairs import Contest, Metric, Raw, Side
from benchmarks.task import Task

Listening = Callable[[Path, int], AbstractContextManager[None]]
"""A program that stores what it is sent below a folder, at a port, while the context lasts."""

METRICS = (Metric("films_per_s", "films stored", "films/s", higher_is_better=True),)
STORED = "Received Store Response (Success)"
TITLE = "STORE"
START_S = 60.0


def contests(task: Task) -> Iterator[Contest]:
    """Large and small films, one association and four; nothing where the node or dcmtk is not installed."""
    if find_spec("pynetdicom") is None or shutil.which("storescu") is None:
        return
    programs: dict[str, Listening] = {"xraygpt-edge": partial(_ours, task.opened.root)}
    programs |= {"Orthanc": _orthanc} if shutil.which("Orthanc") else {}
    programs |= {"storescp": _storescp} if shutil.which("storescp") else {}
    for side_px, films in ((2000, task.sizes.large_films), (500, task.sizes.small_films)):
        for associations in (1, 4):
            name = f"node, {side_px * side_px * 2 / 1e6:g} MB, {associations} at once"
            measured = partial(_stored, side_px=side_px, films=films, associations=associations)
            sides = tuple(Side(program, partial(measured, listening)) for program, listening in programs.items())
            yield Contest(name, METRICS, sides, (f"{films} films; storescp does not sync what it stores",))


def _stored(listening: Listening, side_px: int, films: int, associations: int) -> Raw:
    with tempfile.TemporaryDirectory(prefix="xraygpt-node-") as folder:
        film = _film(Path(folder), side_px)
        port = _free_port()
        with listening(Path(folder), port), ThreadPoolExecutor(associations) as senders:
            _wait_for(port)
            began_s = time.perf_counter()
            acknowledged = sum(senders.map(_send, [(film, port, films // associations)] * associations))
            seconds = time.perf_counter() - began_s
    if acknowledged != films // associations * associations:
        raise SideFailed(f"{acknowledged} of {films} films were stored")
    return {"values": {"films_per_s": acknowledged / seconds}, "films": acknowledged, "seconds": seconds}


def _film(folder: Path, side_px: int) -> Path:
    """A phantom of this size with noise in it."""
    film = pydicom.dcmread(min((ROOT / "examples").glob("*.dcm")))
    film.Rows = film.Columns = side_px
    film.BitsAllocated, film.BitsStored, film.HighBit = 16, 12, 11
    film.PixelData = np.random.default_rng(7).integers(0, 4096, (side_px, side_px), np.uint16).tobytes()
    path = folder / "film.dcm"
    film.save_as(path)
    return path


def _send(what: tuple[Path, int, int]) -> int:
    """How many films were acknowledged on one association."""
    film, port, times = what
    command = ["storescu", "-v", "-aec", TITLE, "--repeat", str(times), "--invent-instance", "127.0.0.1", str(port)]
    sent = subprocess.run(
        [*command, str(film)], check=False, capture_output=True, text=True, errors="replace", env=environment()
    )
    return (sent.stdout + sent.stderr).count(STORED)


@contextmanager
def _ours(bundle: Path, folder: Path, port: int) -> Iterator[None]:
    """The receiving process, as the node starts it."""
    from xraygpt_edge.node import settings
    from xraygpt_edge.node.children import Child
    from xraygpt_edge.node.spool import Spool

    config = folder / "node.toml"
    config.write_text(
        f'[node]\nae = "{TITLE}"\nlisten = "127.0.0.1:{port}"\ndir = "data"\nbundle = {json.dumps(str(bundle))}\n'
        'reserve = "1 MB"\n[[result]]\nname = "box"\nfolder = "box"\n'
    )
    found = settings.read(config)
    Spool(found.root).make()
    receiver = Child("receiver", found)
    receiver.start()
    try:
        yield
    finally:
        receiver.end(20.0)


@contextmanager
def _orthanc(folder: Path, port: int) -> Iterator[None]:
    where = str(folder / "orthanc")
    facts = {
        "StorageDirectory": where, "IndexDirectory": where, "DicomPort": port, "HttpServerEnabled": False,
        "DicomAet": TITLE, "DicomAlwaysAllowStore": True, "Plugins": [], "SyncStorageArea": True,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(facts))
    with _program("Orthanc", str(folder / "orthanc.json")):
        yield


@contextmanager
def _storescp(folder: Path, port: int) -> Iterator[None]:
    (folder / "storescp").mkdir()
    with _program("storescp", "--fork", "-aet", TITLE, "-od", str(folder / "storescp"), str(port)):
        yield


@contextmanager
def _program(*command: str) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SideFailed("it does not listen")
