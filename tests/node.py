"""A node, and the programs of a clinic round it: real peers on loopback, ended by their ids."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import generate_uid

from tests.drawn_dicom import as_bytes, dataset
from tests.tiny import write_bundle

AE = "XRAYGPT"
QUESTION = "findings?"
HOSTILE = "127.0.0.2"
"""A known peer that misbehaves; the good one comes from 127.0.0.1."""


def needs(*programs: str) -> pytest.MarkDecorator:
    absent = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition: Callable[[], Any], seconds: float = 60.0, what: str = "") -> Any:
    """Wait until something holds, and give it back."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"not within {seconds:g} s: {what or condition}")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def film(number: int, phantom: Path, folder: Path, **fields: object) -> Path:
    """A drawn radiograph of its own patient and study: the phantom with another identity."""
    import pydicom

    ds = pydicom.dcmread(phantom)
    facts = {
        "SOPInstanceUID": generate_uid(entropy_srcs=["instance", str(number)]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=["series", str(number)]),
        "StudyInstanceUID": generate_uid(entropy_srcs=["study", str(number)]),
        "PatientName": f"Doe^Number{number}",
        "PatientID": f"ID{number}",
    }
    for keyword, value in {**facts, **fields}.items():
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    path = folder / f"film-{number}.dcm"
    ds.save_as(path)
    return path


def no_film(number: int, folder: Path) -> Path:
    """An object of a radiograph's class without a picture: stored as any other, then refused by the reader."""
    uid = generate_uid(entropy_srcs=["nothing", str(number)])
    path = folder / f"nothing-{number}.dcm"
    pixels = np.zeros((8, 8))
    path.write_bytes(as_bytes(dataset(pixels, PixelData=None, **dict.fromkeys(UIDS, uid))))
    return path


UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class Node:
    """`node run` as a process of its own, with its folder."""

    def __init__(self, folder: Path, bundle: Path, *results: str, peers: str = "", **node: object) -> None:
        self.folder, self.port = folder, int(node.pop("port", 0)) or free_port()
        self.root = folder / "data"
        facts = {
            "ae": AE, "listen": f"127.0.0.1:{self.port}", "dir": "data", "bundle": str(bundle),
            "questions": [QUESTION], "reserve": "1 MB", **node,
        }  # fmt: skip
        self._facts = [f"{key} = {toml(value)}" for key, value in facts.items()]
        self.config = folder / "node.toml"
        self.write(*results, peers)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, *more: str) -> None:
        """The settings: its own, and destinations and peers."""
        self.config.write_text("\n".join(["[node]", *self._facts, *more]))

    def start(self, *prefix: str) -> Node:
        command = [*prefix, *self.command("run", str(self.config))]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        until(lambda: listens(self.port) or self.process.poll() is not None, 180, "the node listens")
        assert self.process.poll() is None, self.process.stderr.read()
        return self

    @staticmethod
    def command(*words: str) -> list[str]:
        """A command of `node`."""
        return [sys.executable, "-m", "xraygpt_edge", "node", *words]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; gives its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process.stderr.close()
        self.process = None
        return code

    def status(self) -> dict[str, Any]:
        from xraygpt_edge.node import status

        return status.facts(status.look(self.root))

    def settled(self, films: int, seconds: float = 200.0) -> dict[str, Any]:
        """Wait until so many films have come and nothing waits."""

        def done() -> dict[str, Any] | None:
            found = self.status()
            all_sent = not any(each["waiting"] for each in found["destinations"])
            return found if found["all"]["received"] >= films and not found["waiting"] and all_sent else None

        return until(done, seconds, f"{films} films settled")

    def records(self) -> list[dict[str, Any]]:
        files = sorted((self.root / "answers").glob("*/records.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text("ascii").splitlines()]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / "audit.jsonl").read_text("ascii").splitlines()]


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


@contextmanager
def running(node: Node, *prefix: str) -> Iterator[Node]:
    try:
        yield node.start(*prefix)
    finally:
        node.stop()


def destination(port: int, name: str = "pacs", ae: str = "ARCHIVE", more: str = "") -> str:
    return f'[[result]]\nname = "{name}"\nae = "{ae}"\naddress = "127.0.0.1:{port}"\n{more}'


def peer(name: str = "xr", ae: str = "DX1", address: str = "127.0.0.1", more: str = "") -> str:
    return f'[[peer]]\nname = "{name}"\nae = "{ae}"\naddress = "{address}"\n{more}'


def send(
    port: int, *files: Path, title: str = "DX1", called: str = AE, more: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = ["storescu", "-v", "-aet", title, "-aec", called, *more, "127.0.0.1", str(port), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def echo(port: int, title: str = "DX1", called: str = AE) -> int:
    command = ["echoscu", "-to", "5", "-ta", "5", "-td", "5", "-aet", title, "-aec", called, "127.0.0.1", str(port)]
    return subprocess.run(command, capture_output=True, timeout=30).returncode


def dcm_errors(path: Path) -> list[str]:
    """What dciodvfy finds wrong in an object."""
    judged = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace")
    return [line for line in (judged.stdout + judged.stderr).splitlines() if line.startswith("Error")]


@contextmanager
def archive(folder: Path, port: int | None = None, *more: str) -> Iterator[tuple[int, Path]]:
    """dcmtk's storescp: keeps what it is sent in a folder."""
    port = port or free_port()
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(["storescp", "-aet", "ARCHIVE", "-od", str(folder), *more, str(port)])
    try:
        until(lambda: listens(port), what="storescp listens")
        yield port, folder
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Clinic:
    """A node that runs, and what lies in its archive."""

    node: Node
    kept: Path

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator[Clinic]:
        """One, as long as the context lasts."""
        with archive(folder / "archive") as (port, kept):
            peers = peer() + peer("bad", "BAD", HOSTILE)
            with running(Node(folder, write_bundle(folder / "tiny"), destination(port), peers=peers)) as node:
                yield cls(node, kept)


class Orthanc:
    """Debian's Orthanc with its REST interface, on loopback."""

    def __init__(self, folder: Path, node: Node | None = None) -> None:
        """node: whom it answers about commitment."""
        self.port, self.http = free_port(), free_port()
        folder.mkdir()
        settings = {
            "StorageDirectory": str(folder), "IndexDirectory": str(folder), "DicomPort": self.port,
            "HttpPort": self.http, "DicomAet": "ARCHIVE", "DicomAlwaysAllowStore": True, "Plugins": [],
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomModalities": {"node": [AE, "127.0.0.1", node.port]} if node else {},
        }  # fmt: skip
        (folder / "settings.json").write_text(json.dumps(settings))
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(["Orthanc", folder / "settings.json"], stdout=log, stderr=log)
        until(lambda: listens(self.port) and listens(self.http), what="Orthanc listens")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def instances(self) -> list[dict[str, Any]]:
        """The tags of everything that it holds."""
        return [self.get(f"instances/{name}/simplified-tags") for name in self.get("instances")]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def children_of(pid: int) -> dict[str, int]:
    """Processes of a node by what they run: receiver, sender, child (the model)."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
        except (OSError, ValueError):
            continue
        module = re.search(r"xraygpt_edge\.(?:node|host)\.(\w+)", words)
        if parent == pid and module:
            found[module[1]] = int(entry.name)
    return found


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
