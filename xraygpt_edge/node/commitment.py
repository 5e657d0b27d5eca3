"""Storage commitment as a user: an archive is asked whether it keeps what it was sent, and answers when it likes.

Its answer comes on the same association or on our port. Whoever hears it writes it down unread, since the receiver
reads no data set; the sending process reads it and settles what it is about. We commit ourselves to nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from xraygpt_edge.errors import OutputError
from xraygpt_edge.node import part10
from xraygpt_edge.node.spool import EVENT, Spool

EVENT_MAX_BYTES = 1 << 20
"""The answer about 50 objects has 10 kB."""
EVENT_S = 30.0
"""For the answer on the association on which was asked."""
TAKEN, INVALID, NO_ROOM = 0x0000, 0x0115, 0x0213
HEAD_BYTES = 1024
TRANSACTION, INSTANCE, FAILED, KEPT = 0x00081195, 0x00081155, 0x00081198, 0x00081199
ITEMS = 0xFFFE
UNDEFINED = 0xFFFFFFFF


@dataclass(slots=True)
class Answer:
    """What an archive says about a request: UIDs."""

    transaction: str = ""
    kept: set[str] = field(default_factory=set)
    """Objects that it has committed itself to."""
    failed: set[str] = field(default_factory=set)


def request(transaction: str, objects: Iterable[Path]) -> Dataset:
    """What is asked about result files of ours."""
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = Sequence([_reference(path) for path in objects])
    return asked


def _reference(path: Path) -> Dataset:
    with path.open("rb") as stream:
        sop_class, instance = part10.named_in(stream.read(HEAD_BYTES))
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, instance
    return reference


def hear(place: Spool, event: Any) -> tuple[int, None]:
    """Write an answer down as it came, for `heard`; gives the status of the response. A handler of pynetdicom."""
    data = event.request.EventInformation
    if data is None or len(data.getbuffer()) > EVENT_MAX_BYTES:
        return INVALID, None
    try:
        place.keep_result(data.getvalue(), EVENT)
    except OutputError:
        return NO_ROOM, None
    return TAKEN, None


def heard(place: Spool) -> list[tuple[Path, Answer | None]]:
    """Answers that were written down, with their files; None for what cannot be read as one."""
    return [(path, read(path.read_bytes())) for path in sorted(place.results.glob(f"*{EVENT}"))]


def read(data: bytes) -> Answer | None:
    """The few UIDs of an answer, read by hand as from a stranger: Implicit VR Little Endian. None for anything else."""
    answer = Answer()
    lists = {KEPT: answer.kept, FAILED: answer.failed}
    named: set[str] = set()
    try:
        for tag, value in _elements(data):
            named = lists.get(tag, named)
            if tag == TRANSACTION:
                answer.transaction = _uid(value)
            elif tag == INSTANCE:
                named.add(_uid(value))
    except (ValueError, struct.error):
        return None
    return answer if answer.transaction else None


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and value of each element, those within sequences too; sequences and items have no value of their own."""
    at = 0
    while at < len(data):
        group, number, length = struct.unpack_from("<HHL", data, at)
        tag, at = group << 16 | number, at + 8
        if group == ITEMS or tag in (KEPT, FAILED) or length == UNDEFINED:
            yield tag, b""
            continue
        if at + length > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + length]
        at += length


def _uid(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii")
