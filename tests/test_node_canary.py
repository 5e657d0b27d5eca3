"""A patient whose every element is known: not a word of it anywhere but where films, results and records belong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pydicom
import pytest

from tests.node import Clinic, Node, archive, destination, film, needs, no_film, peer, running, send, until
from tests.test_canary import CANARIES, TEXT_TAGS, UIDS
from tests.tiny import write_bundle
from xraygpt_edge.node import letters
from xraygpt_edge.node.database import Database

pytestmark = needs("storescu", "storescp")

DECIDING = ("Modality", "BodyPartExamined", "ViewPosition")
"""What decides whether a film is answered."""
NOT_TOLD = (b"CANARY", *(uid.encode() for uid in UIDS.values()))
OF_A_PATIENT = ("in", "out")
"""Folders in which a film or a result lies until its work is done."""


def marked(path: Path) -> Path:
    """The film with more than 40 elements that nobody but its patient's doctor may see."""
    ds = pydicom.dcmread(path)
    for tag, canary in (*CANARIES.items(), *UIDS.items()):
        if tag not in DECIDING:
            setattr(ds, tag, canary)
    asked = pydicom.Dataset()
    asked.ReasonForTheRequestedProcedure = asked.RequestedProcedureDescription = "CANARYREASON"
    ds.RequestAttributesSequence = [asked]
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path)
    assert path.read_bytes().count(b"CANARY") >= 40
    return path


def telling(*folders: Path) -> list[str]:
    """Files that hold what must not be told, but for films and results in their own places."""
    found = []
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.parent.name in (*OF_A_PATIENT, "part") or not path.is_file():
            continue
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        if any(each in data for each in NOT_TOLD) or any(each in bytes(path) for each in NOT_TOLD):
            found.append(path.name)
    return found


def everything(pid: int) -> Iterator[psutil.Process]:
    process = psutil.Process(pid)
    yield process
    yield from process.children(recursive=True)


def test_nothing_of_forty_elements_is_in_queue_trail_status_or_records(
    clinic: Clinic, phantom: Path, tmp_path: Path
) -> None:
    assert len([tag for tag in CANARIES if tag not in DECIDING]) >= 38
    assert len(TEXT_TAGS) >= 40
    node, before = clinic.node, clinic.node.settled(0)["all"]["received"]
    assert send(node.port, marked(film(9, phantom, tmp_path))).returncode == 0
    node.settled(before + 1)
    until(lambda: not list((node.root / "in").glob("*.dcm")) and not list((node.root / "out").iterdir()), 30, "deleted")
    written = [path for path in node.root.rglob("*") if path.is_file() and path.suffix != ".partial"]
    assert {"queue.sqlite3", "audit.jsonl", "status.json", "status.html", "records.jsonl"} <= {p.name for p in written}
    assert telling(node.root) == []
    assert {path.stat().st_mode & 0o077 for path in written} == {0}


def test_no_process_of_a_node_can_leave_its_memory_in_a_file(clinic: Clinic) -> None:
    found = {process.pid: process.rlimit(psutil.RLIMIT_CORE) for process in everything(clinic.node.process.pid)}
    assert len(found) >= 5, "the node, receiver, sender, model and readers"
    assert set(found.values()) == {(0, 0)}


@pytest.mark.long
def test_nothing_of_a_patient_is_printed_or_left_in_temporary_files_or_in_free_pages_of_the_queue(
    phantom: Path, tmp_path: Path
) -> None:
    temporary, home, incoming, log = (tmp_path / name for name in ("tmp", "home", "incoming", "journal"))
    for folder in (temporary, home, incoming):
        folder.mkdir()
    places = [f"{name}={temporary}" for name in ("TMPDIR", "TEMP")] + [
        f"{n}={home}" for n in ("HOME", "XDG_CACHE_HOME")
    ]
    shell = ("env", *places, "sh", "-c", f'exec "$@" > "{log}" 2>&1', "sh")
    folders = (tmp_path / "data", temporary, home)
    with archive(tmp_path / "archive") as (port, _):
        wrong = destination(port, "closed", "OTHER") + destination(
            port, more='as = ["dicom-sr", "secondary-capture"]\n'
        )
        node = Node(tmp_path, write_bundle(tmp_path / "tiny"), wrong, peers=peer(), watch={"folder": "incoming"})
        with running(node, *shell):
            sent = [marked(film(1, phantom, tmp_path)), marked(no_film(2, tmp_path))]
            cut = sent[0].read_bytes()[:4000]
            (incoming / "cut.dcm").write_bytes(cut)
            assert send(node.port, *sent).returncode == 0
            assert send(node.port, sent[0], title="CANARY").returncode != 0
            until(lambda: telling(*folders) or not node.status()["waiting"], 120)
            assert telling(*folders) == [], "while it works"
            time.sleep(6)  # status and trail have been written meanwhile
        assert telling(*folders) == []
        assert [each for each in NOT_TOLD if each in log.read_bytes()] == []
    with Database.look(node.root) as queue:
        gone = [
            value.encode() for row in queue.rows("SELECT sha256, instance, file FROM films") for value in row if value
        ]
    told = b"".join(path.read_bytes() for path in node.root.glob("queue.sqlite3*"))
    assert all(each in told for each in gone)
    for film_hash in [each.decode() for each in gone if len(each) == 64]:
        letters.drop(node.root, film_hash)
    left = b"".join(path.read_bytes() for path in node.root.glob("queue.sqlite3*"))
    assert [each for each in gone if each in left] == [], "in no free page either"
