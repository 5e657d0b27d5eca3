"""What "stored" means, seen from outside: the order of system calls, and films as modalities make them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID

from tests.node import Node, children_of, film, needs, running, send
from tests.test_node_real import raw_store
from tests.tiny import write_bundle
from xraygpt_edge.errors import ExitCode
from xraygpt_edge.node.contexts import DEFLATED, STORED_CLASSES

pytestmark = [needs("storescu"), pytest.mark.slow]

STEPS = {
    "file": r"fsync\(\d+</[^>]*/in/part/\.\w+\.dcm\.part>",
    "rename": r'rename\("[^"]*/in/part/\.\w+\.dcm\.part", "[^"]*/in/\w+\.dcm"',
    "folder": r"fsync\(\d+</[^>]*/in>",
    "row": r"fdatasync\(\d+</[^>]*/queue\.sqlite3-wal>",
    "success": r'sendto\(\d+<socket:[^>]*>, "\\x04.*\\x00\\x00\\x00\\x01\\x02\\x00\\x00\\x00\\x01\\x80'
    r".*\\x00\\x00\\x00\\x09\\x02\\x00\\x00\\x00\\x00\\x00",
}
"""What strace shows of each; the last is a P-DATA-TF PDU with a C-STORE response whose status is 0x0000."""
STORESCU = {
    "1.2.840.10008.1.2.4.50": "-xy", "1.2.840.10008.1.2.4.51": "-xx", "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt", "1.2.840.10008.1.2.4.81": "-xu", "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw", "1.2.840.10008.1.2.5": "-xr",
}  # fmt: skip
"""Transfer syntax → how storescu is told to propose it."""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path, write_bundle(tmp_path / "tiny"), '[[result]]\nname = "box"\nfolder = "box"\n')


def steps(trace: str) -> Iterator[tuple[int, str]]:
    """Thread and step: what makes something safe counts when it is done, success when it begins to be said."""
    begun: dict[int, str] = {}
    for line in trace.splitlines():
        thread, _, said = line.partition(" ")
        if said.lstrip().startswith("<... "):
            said = begun.pop(int(thread), "") + said.rpartition("resumed>")[2]
        elif said.endswith("<unfinished ...>"):
            begun[int(thread)] = said
        for step, form in STEPS.items():
            if re.search(form, said) and (step == "success" or said.endswith(" = 0")):
                yield int(thread), step


@needs("strace")
def test_success_is_said_when_file_name_folder_and_row_are_on_the_disk_and_not_before(
    node: Node, phantom: Path, tmp_path: Path
) -> None:
    calls = "trace=fsync,fdatasync,rename,sendto"
    with running(node, *f"strace -D -f -y -qq -x -s 400 -o {tmp_path}/trace -e {calls}".split()):
        assert send(node.port, *(film(number, phantom, tmp_path) for number in range(3))).returncode == 0
    seen = list(steps((tmp_path / "trace").read_text("utf-8", "replace")))
    storing = {thread for thread, step in seen if step == "rename"}
    assert [step for thread, step in seen if thread in storing or step == "success"] == list(STEPS) * 3


@pytest.mark.shared
def test_films_of_the_field_are_stored_if_their_class_is_ours_and_each_has_one_record(node: Node, shared: Path) -> None:
    paths = [path for folder in ("field", "radiographs") for path in sorted((shared / "data" / folder).rglob("*"))]
    films = [path for path in paths if path.is_file() and path.read_bytes()[128:132] == b"DICM"]
    assert films
    n_stored = 0
    with running(node):
        receiver = children_of(node.process.pid)["receiver"]
        for number, path in enumerate(films):
            meta = pydicom.filereader.read_file_meta_info(path)
            is_ours = meta.MediaStorageSOPClassUID in STORED_CLASSES and meta.TransferSyntaxUID != DEFLATED
            said = sent_as_it_is(node.port, path, meta.TransferSyntaxUID)
            if "Success" not in said and is_ours:  # storescu cannot read it
                assert re.search("missing SOP class|unable to convert dataset", said), said
                assert raw_store(node.port, path.read_bytes(), number) == 0, path.name
            assert ("Success" in said) <= is_ours, path.name
            n_stored += is_ours
        found = node.settled(1)["all"]
        assert children_of(node.process.pid)["receiver"] == receiver
    assert found["received"] + found["duplicates"] == n_stored
    assert len(node.records()) == found["received"] == found["answered"] + found["refused"]
    assert {record.get("code", ExitCode.INPUT) for record in node.records()} == {ExitCode.INPUT}
    print(f"{len(films)} films, {n_stored} of our classes: {found}")


def sent_as_it_is(port: int, path: Path, syntax: UID) -> str:
    """What storescu says of sending a file in its own transfer syntax."""
    return send(port, path, more=("-R", *filter(None, [STORESCU.get(syntax)]))).stderr
