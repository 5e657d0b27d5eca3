"""A film sent by a modality is answered, and its draft report lies in the archive: real peers, whole processes."""

from __future__ import annotations

import json
import platform
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest

from tests.node import (
    Clinic,
    Node,
    children_of,
    dcm_errors,
    echo,
    film,
    kill,
    needs,
    no_film,
    running,
    send,
    until,
)
from tests.test_questions import PLACED, QUESTIONS
from tests.tiny import TEMPLATES, write_bundle
from xraygpt_edge import seccomp
from xraygpt_edge.bundle.questions import PLACE
from xraygpt_edge.node import audit

pytestmark = needs("storescu", "storescp", "echoscu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    asked = {"default": "demo", "stop": ["###"], "templates": TEMPLATES, "questions": QUESTIONS}
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny", prompt=asked)


@pytest.fixture
def node(clinic: Clinic) -> Node:
    return clinic.node


@pytest.fixture
def kept(clinic: Clinic) -> Path:
    """What the archive has."""
    return clinic.kept


def test_a_film_that_is_sent_is_answered_and_its_draft_report_reaches_the_archive(
    node: Node, kept: Path, phantom: Path, tmp_path: Path
) -> None:
    before, sent = node.settled(0)["all"], film(1, phantom, tmp_path)
    assert echo(node.port) == 0
    assert "Received Store Response (Success)" in send(node.port, sent).stderr
    node.settled(before["received"] + 1)
    source = pydicom.dcmread(sent)
    reports = {path: pydicom.dcmread(path) for path in kept.iterdir()}
    ((path, report),) = ((path, each) for path, each in reports.items() if each.PatientID == source.PatientID)
    assert dcm_errors(path) == []
    assert (report.Modality, report.VerificationFlag, report.PreliminaryFlag) == ("SR", "UNVERIFIED", "PRELIMINARY")
    assert (report.PatientName, report.PatientID) == (source.PatientName, source.PatientID)
    assert report.StudyInstanceUID == source.StudyInstanceUID
    assert node.status()["all"]["answered"] == before["answered"] + 1


def test_the_same_film_again_is_no_new_work_and_another_one_of_its_uid_is(
    node: Node, kept: Path, phantom: Path, tmp_path: Path
) -> None:
    before = node.settled(0)["all"]
    sent = film(2, phantom, tmp_path)
    assert send(node.port, sent, sent).returncode == 0
    node.settled(before["received"] + 1)
    renamed = film(2, phantom, tmp_path, PatientName="Corrected^Name")
    assert send(node.port, renamed).returncode == 0
    after = node.settled(before["received"] + 2)
    assert after["all"]["duplicates"] == before["duplicates"] + 1
    assert after["other_bytes"] == 1
    names = {str(pydicom.dcmread(path).PatientName) for path in kept.iterdir()}
    assert {"Doe^Number2", "Corrected^Name"} <= names


def test_what_is_no_chest_radiograph_is_a_refused_record_and_nothing_is_sent(
    node: Node, kept: Path, tmp_path: Path
) -> None:
    before, sent = node.settled(0)["all"], sorted(kept.iterdir())
    assert send(node.port, no_film(1, tmp_path)).returncode == 0
    after = node.settled(before["received"] + 1)["all"]
    assert after["refused"] == before["refused"] + 1
    assert sorted(kept.iterdir()) == sent


def test_a_film_that_comes_ten_times_at_once_over_four_associations_is_one_film_with_one_record_and_one_report(
    node: Node, kept: Path, phantom: Path, tmp_path: Path
) -> None:
    before, sent = node.settled(0)["all"], film(10, phantom, tmp_path)
    records, start = len(node.records()), threading.Barrier(4)

    def modality(times: int) -> str:
        start.wait()
        return send(node.port, *[sent] * times).stderr

    with ThreadPoolExecutor(4) as modalities:
        said = "".join(modalities.map(modality, (3, 3, 2, 2)))
    assert said.count("Received Store Response (Success)") == 10
    after = node.settled(before["received"] + 1)["all"]
    assert after["received"] - before["received"] == after["answered"] - before["answered"] == 1
    assert after["duplicates"] - before["duplicates"] == 9
    assert len(node.records()) == records + 1
    assert [str(pydicom.dcmread(path).PatientID) for path in kept.iterdir()].count("ID10") == 1
    until(lambda: not list((node.root / "in").glob("*.dcm")), 30, "and no copy of its file is left")


def test_the_receiver_can_open_no_connection(node: Node) -> None:
    receiver = children_of(node.process.pid)["receiver"]
    if platform.machine() not in seccomp.CALLS:
        pytest.skip("no filter of system calls for this processor")
    assert "Seccomp:\t2" in Path(f"/proc/{receiver}/status").read_text()


KINDS = ("dicom-sr", "secondary-capture", "fhir", "json", "html")


@pytest.mark.long
def test_an_acknowledged_film_outlives_the_kill_of_every_process_and_every_kind_of_result_is_made(
    tiny: Path, phantom: Path, tmp_path: Path
) -> None:
    box = tmp_path / "box"
    result = f'[[result]]\nname = "box"\nfolder = "box"\nas = {json.dumps(KINDS)}\n'
    node = Node(tmp_path, tiny, result, questions=["@findings"], indication="Screening").start()
    children = children_of(node.process.pid)
    assert send(node.port, film(7, phantom, tmp_path)).returncode == 0
    for pid in (node.process.pid, *children.values()):
        kill(pid)
    node.process.wait()
    node.process.stderr.close()
    found = node.status()
    assert (found["all"]["received"], found["running"]) == (1, False)
    with running(node):
        node.settled(1)
    asked = PLACED.replace(PLACE, "Screening")
    assert [(record["status"], record["question"]) for record in node.records()] == [("ok", asked)]
    suffixes = Counter(path.name.partition(".")[2] for path in box.iterdir())
    assert suffixes == {"dcm": 2, "fhir.json": 1, "json": 1, "html": 1}
    assert audit.verify(node.root) is None
    (page,) = (path for path in box.glob("*.dcm") if pydicom.dcmread(path).Modality == "OT")
    look_at_the_page(page)


def look_at_the_page(path: Path) -> None:
    """A page of text that nobody can take for a film, and that an archive takes."""
    page = pydicom.dcmread(path)
    assert (page.ConversionType, page.BurnedInAnnotation, page.PatientID) == ("WSD", "YES", "ID7")
    grey = page.pixel_array
    band = int(0.04 * page.Rows)
    for stripe in (grey[:band], grey[-band:]):
        assert 0.5 < (stripe < 128).mean() < 1  # white words on black
    assert (grey[band * 2 : -band * 2] > 128).mean() > 0.8
    if shutil.which("dciodvfy"):
        assert dcm_errors(path) == []
