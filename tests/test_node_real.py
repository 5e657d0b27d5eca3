"""The node among real programs and on a real, small disk: minutes, so left out of the everyday tests."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from tests import node_demo
from tests.node import (
    Node,
    Orthanc,
    archive,
    children_of,
    dcm_errors,
    destination,
    echo,
    film,
    needs,
    no_film,
    running,
    send,
    until,
)
from tests.tiny import write_bundle

pytestmark = [needs("storescu", "storescp", "echoscu"), pytest.mark.slow]

FULL_BYTES = 40 << 20


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@needs("Orthanc")
def test_the_demonstration_in_the_docs_ends_with_a_report_in_orthanc(
    root: Path, phantom: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "make demo-node" in (root / "docs" / "node.md").read_text("utf-8")
    report = node_demo.show(root / "models" / "demo", phantom)
    source = pydicom.dcmread(phantom, stop_before_pixels=True)
    assert (report["PatientID"], report["StudyInstanceUID"]) == (source.PatientID, source.StudyInstanceUID)
    assert "effusion" in capsys.readouterr().out


@needs("Orthanc")
def test_three_films_of_a_study_are_one_study_with_three_reports_in_an_orthanc_that_has_committed_itself(
    tiny: Path, phantom: Path, tmp_path: Path
) -> None:
    orthanc = Orthanc(tmp_path / "orthanc", node := Node(tmp_path, tiny, group="study"))
    node.write(destination(orthanc.port, more="commit = true\n"))
    try:
        with running(node):
            films = [film(number, phantom, tmp_path, StudyInstanceUID="1.2.3.4") for number in range(3)]
            assert send(node.port, *films).returncode == 0
            assert node.status()["waiting"] == 3
            time.sleep(5)
            assert node.records() == [], "the study may not be complete"
            node.settled(3, 150)
            kept = orthanc.instances()
            events = [each["event"] for each in node.events()]
    finally:
        orthanc.stop()
    assert {each["StudyInstanceUID"] for each in kept} == {"1.2.3.4"}
    assert len({each["SOPInstanceUID"] for each in kept}) == 3
    assert (events.count("study"), events.count("committed")) == (1, 3)


@contextmanager
def small_disk(folder: Path, n_bytes: int = FULL_BYTES) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes},mode=700", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may mount no file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)])


def large_film(number: int, folder: Path) -> Path:
    """A film of 8 MB without a picture that could be answered."""
    path = no_film(number, folder)
    ds = pydicom.dcmread(path)
    ds.add_new(0x00091010, "OB", bytes(8 << 20))
    ds.add_new(0x00090010, "LO", "PADDING")
    ds.save_as(path)
    return path


def test_a_full_disk_refuses_films_answers_echo_loses_nothing_and_goes_on_when_there_is_room(
    tiny: Path, phantom: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk, archive(tmp_path / "archive") as (port, kept):
        node = Node(disk, tiny, destination(port))
        with running(node):
            assert send(node.port, film(0, phantom, tmp_path)).returncode == 0
            node.settled(1)
            ballast = disk / "ballast"
            ballast.write_bytes(bytes((FULL_BYTES >> 20) - 16 << 20))
            refused = send(node.port, *(large_film(number, tmp_path) for number in (1, 2, 3)))
            assert "0xa700" in refused.stderr.lower() or "Refused: OutOfResources" in refused.stderr
            assert echo(node.port) == 0
            fill(disk / "rest")  # while whatever was taken is answered, and behind the reserve
            taken = [film(number, phantom, tmp_path) for number in (4, 5)]
            assert "Success" not in send(node.port, taken[0]).stderr
            assert echo(node.port) == 0
            seen = subprocess.run(node.command("status", str(node.root)), capture_output=True, text=True)
            assert seen.returncode == 16, seen.stdout
            time.sleep(3)
            assert node.process.poll() is None, "a full disk does not end the node"
            for path in (ballast, disk / "rest"):
                path.unlink()
            until(lambda: "Success" in send(node.port, *taken).stderr, 30, "it takes films again")
            found = node.settled(3, 120)
            assert list((node.root / "in" / "part").iterdir()) == []
        assert found["all"]["answered"] == 3
        patients = {str(pydicom.dcmread(path).PatientID) for path in kept.iterdir()}
    assert patients == {"ID0", "ID4", "ID5"}


def test_a_disk_that_fills_while_a_film_is_answered_loses_neither_film_nor_record(
    tiny: Path, phantom: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk") as disk, archive(tmp_path / "archive") as (port, kept):
        node = Node(disk, tiny, destination(port))
        with running(node):
            films = [film(number, phantom, tmp_path) for number in range(6)]
            sender = threading.Thread(target=send, args=(node.port, *films))
            sender.start()
            until(lambda: node.status()["all"]["received"] >= 2, 60)
            fill(disk / "rest")
            sender.join()
            time.sleep(4)
            assert node.process.poll() is None
            (disk / "rest").unlink()
            until(lambda: send(node.port, *films).stderr.count("Response (Success)") == 6, 60, "all are taken")
            found = node.settled(6, 120)
        assert (found["all"]["received"], found["all"]["answered"]) == (6, 6)
        ids = [record["id"] for record in node.records() if record["status"] == "ok"]
        assert len(ids) == len(set(ids)) == 6
        assert len({str(pydicom.dcmread(path).PatientID) for path in kept.iterdir()}) == 6
        assert subprocess.run(node.command("status", str(node.root), "--verify"), capture_output=True).returncode == 21


def fill(path: Path) -> None:
    """Take all the room that is left."""
    with path.open("wb", buffering=0) as stream:
        for block in (1 << 20, 1 << 12, 1):
            try:
                while stream.write(bytes(block)) == block:
                    pass
            except OSError:
                continue


@needs("strace")
def test_a_node_connects_to_the_addresses_of_its_settings_alone_and_looks_no_name_up(
    tiny: Path, phantom: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with archive(tmp_path / "archive") as (port, _):
        node = Node(tmp_path, tiny, destination(port))
        with running(
            node, "strace", "-D", "-f", "-qq", "-o", str(trace), "-e", "trace=connect,sendto,sendmsg,bind,openat"
        ):
            assert send(node.port, film(1, phantom, tmp_path)).returncode == 0
            node.settled(1, 240)
    said = trace.read_text("utf-8", "replace")
    address = r'connect\(\d+, \{sa_family=(AF_INET6?), sin6?_port=htons\((\d+)\), [^"]*"([^"]*)"'
    # glibc asks the kernel for its own address by connecting a datagram socket to port 0: nothing is sent.
    connected = {found for found in re.findall(address, said) if found[1] != "0"}
    assert connected == {("AF_INET", str(port), "127.0.0.1")}
    assert not re.search(r"resolv\.conf|/etc/hosts|nsswitch", said)
    assert not re.search(r"send(to|msg)\([^\n]*sin6?_port", said), "no datagram"


@pytest.mark.shared
def test_hostile_files_are_stored_like_any_other_and_end_as_refused_records(
    tiny: Path, shared: Path, tmp_path: Path
) -> None:
    node = Node(tmp_path, tiny, '[[result]]\nname = "box"\nfolder = "box"\n')
    with running(node):
        receiver = children_of(node.process.pid)["receiver"]
        files = sorted((shared / "data" / "attacks").iterdir())
        assert files
        for number, path in enumerate(files):
            assert raw_store(node.port, path.read_bytes(), number) == 0, path.name
        found = node.settled(len(files), 200)
        assert children_of(node.process.pid)["receiver"] == receiver
    assert found["all"]["answered"] == 0
    assert found["all"]["refused"] + found["all"]["failed"] == len(files)
    assert {record["status"] for record in node.records()} == {"failed"}
    assert list((tmp_path / "box").glob("*")) == []


def raw_store(port: int, data: bytes, number: int) -> int | None:
    """Store bytes as the data set of a film, whatever they are; those of a DICOM file in its own syntax."""
    from io import BytesIO

    from pydicom.filereader import _read_file_meta_info
    from pynetdicom import ae
    from pynetdicom.dimse_primitives import C_STORE

    syntax, body = "1.2.840.10008.1.2", data
    if data[128:132] == b"DICM":
        stream = BytesIO(data)
        stream.seek(132)
        meta = _read_file_meta_info(stream)
        syntax, body = str(meta.TransferSyntaxUID), data[stream.tell() :]
    entity = ae.ApplicationEntity("DX1")
    sop_class = "1.2.840.10008.5.1.4.1.1.1"
    entity.add_requested_context(sop_class, syntax)
    link = entity.associate("127.0.0.1", port, ae_title="XRAYGPT")
    if not link.accepted_contexts:  # deflated: not taken over the wire
        link.release()
        return 0
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = sop_class, f"1.2.3.{number + 1}"
    request.DataSet = BytesIO(body)
    link._reactor_checkpoint.clear()
    link.dimse.send_msg(request, link.accepted_contexts[0].context_id)
    _, answer = link.dimse.get_msg(block=True)
    link._reactor_checkpoint.set()
    link.release()
    return answer.Status


@needs("dciodvfy")
def test_every_object_that_is_sent_has_no_error(tiny: Path, phantom: Path, tmp_path: Path, root: Path) -> None:
    with archive(tmp_path / "archive") as (port, kept):
        node = Node(
            tmp_path, tiny, destination(port, more='as = ["dicom-sr", "secondary-capture"]\n'), on_refusal="report"
        )
        with running(node):
            drawn = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in (root / "examples").glob("*.dcm")}
            phantoms = [path for path, ds in drawn.items() if not ds.file_meta.TransferSyntaxUID.is_compressed]
            names = ({}, {"PatientName": "Äöü^Łukasz", "SpecificCharacterSet": "ISO_IR 192"}, {"StudyDate": ""})
            films = [film(number, phantom, tmp_path, **fields) for number, fields in enumerate(names)]
            assert send(node.port, *phantoms, *films, no_film(50, tmp_path)).returncode == 0
            node.settled(len(phantoms) + 4)
        sent = sorted(kept.iterdir())
        wrong = {path.name: dcm_errors(path) for path in sent if dcm_errors(path)}
    kinds = [pydicom.dcmread(path).Modality for path in sent]
    assert (kinds.count("SR"), kinds.count("OT")) == (len(phantoms) + 4, len(phantoms) + 3)
    assert wrong == {}
