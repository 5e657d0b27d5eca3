"""Whatever process dies whenever: each acknowledged film has exactly one record and one report in the archive."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import pydicom
import pytest

from tests.node import Node, Orthanc, archive, children_of, destination, film, kill, needs, send, until
from tests.tiny import write_bundle
from xraygpt_edge.node import audit, letters

pytestmark = needs("storescu", "storescp")

SENDERS = 4
VICTIMS = ("receiver", "sender", "child", "node")
"""The model process is called by its module, `host.child`."""


def send_all(node: Node, films: list[Path], acknowledged: list[Path], stop: threading.Event) -> None:
    """As a modality does: what was not acknowledged is sent again, what was is forgotten."""
    for path in films:
        while not stop.is_set():
            if "Received Store Response (Success)" in send(node.port, path).stderr:
                acknowledged.append(path)
                break
            time.sleep(0.1)


def kill_at_random(node: Node, kills: int, chance: random.Random) -> Counter[str]:
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        time.sleep(chance.uniform(0.2, 1.5))
        victim = VICTIMS[killed.total() % len(VICTIMS)]
        pid = node.process.pid if victim == "node" else children_of(node.process.pid).get(victim)
        if pid is not None:
            kill(pid)
            killed[victim] += 1
        if victim == "node" or node.process.poll() is not None:
            node.process.wait(10)
            node.process.stderr.close()
            node.start()
    return killed


def story(node: Node, films: list[Path], kills: int) -> None:
    acknowledged: list[Path] = []
    stop = threading.Event()
    node.start()
    shares = [films[start::SENDERS] for start in range(SENDERS)]
    senders = [threading.Thread(target=send_all, args=(node, share, acknowledged, stop)) for share in shares]
    for sender in senders:
        sender.start()
    try:
        killed = kill_at_random(node, kills, random.Random(kills))
        for sender in senders:
            sender.join(240)
        assert sorted(acknowledged) == sorted(films)
        assert killed.total() == kills
        letters.retry(node.root, [])  # a film may have been there when the model was killed twice
        node.settled(len(films), 240)
    finally:
        stop.set()
        for sender in senders:
            sender.join(60)
        node.stop()


def look_at(node: Node, films: list[Path]) -> None:
    """What must hold when all is over."""
    answered = Counter(record["id"] for record in node.records() if record["status"] == "ok")
    assert len(answered) == len(films), "each film has an answer"
    assert set(answered.values()) == {1}, "and only one"
    assert {record.get("error_id") for record in node.records()} <= {None, "E-BAT-020"}
    assert list((node.root / "in" / "part").iterdir()) == []
    assert audit.verify(node.root) is None


@pytest.mark.slow
def test_four_kills_under_four_senders_lose_no_film_and_answer_none_twice(phantom: Path, tmp_path: Path) -> None:
    films = [film(number, phantom, tmp_path) for number in range(8)]
    with archive(tmp_path / "archive") as (port, kept):
        node = Node(tmp_path, write_bundle(tmp_path / "tiny"), destination(port))
        story(node, films, len(VICTIMS))
        look_at(node, films)
        reports = [pydicom.dcmread(path, stop_before_pixels=True) for path in kept.iterdir()]
    assert Counter(str(each.PatientID) for each in reports) == {f"ID{number}": 1 for number in range(8)}


@pytest.mark.slow
@needs("Orthanc")
def test_forty_kills_under_load_lose_no_film_and_orthanc_has_one_report_of_each(phantom: Path, tmp_path: Path) -> None:
    films = [film(number, phantom, tmp_path) for number in range(120)]
    orthanc = Orthanc(tmp_path / "orthanc")
    try:
        node = Node(tmp_path, write_bundle(tmp_path / "tiny"), destination(orthanc.port))
        story(node, films, 40)
        look_at(node, films)
        kept = until(orthanc.instances, 30)
    finally:
        orthanc.stop()
        shutil.rmtree(tmp_path / "orthanc", ignore_errors=True)
    assert Counter(tags["PatientID"] for tags in kept) == {f"ID{number}": 1 for number in range(120)}
    assert {tags["Modality"] for tags in kept} == {"SR"}
