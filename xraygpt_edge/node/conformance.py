"""`node conformance`: a DICOM conformance statement, written from the settings and the tables that are really used."""

from __future__ import annotations

import re

from pydicom.uid import UID

from xraygpt_edge.node import commitment, commitments, connection, contexts, door, part10, results, server
from xraygpt_edge.node.settings import Settings
from xraygpt_edge.version import __version__


def markdown(settings: Settings) -> str:
    """The statement as Markdown."""
    return "\n\n".join((_overview(), _network(settings), _accepted(), _sent(settings), _security(settings)))


def plain(settings: Settings) -> str:
    """The statement as plain text."""
    return re.sub(r"[`*]", "", markdown(settings)).replace("\n|---|---|\n", "\n")


def _overview() -> str:
    return f"""# DICOM conformance statement: xraygpt-edge node {__version__}

Receives chest radiographs, has a model describe them, and stores the text as unverified, preliminary reports.
Research software, not a medical device.

| network service | role |
|---|---|
| Verification | SCU and SCP |
| Storage of images (table below) | SCP |
| Storage of {", ".join(_names(results.SENT_CLASSES))} | SCU |
| Storage commitment (push model), where a destination says `commit` | SCU |

**Not supported:** query/retrieve, worklist, print, media, and **storage commitment as a provider**: this node is never
the only place of an image, and an archive must stay a destination of the modality."""


def _network(settings: Settings) -> str:
    callers = ", ".join(f"{peer.ae} from {peer.address}" for peer in settings.peers)
    return f"""## Association

| policy | value |
|---|---|
| application context | 1.2.840.10008.3.1.1.1 |
| called title | {settings.node.ae}; any other is rejected (1, 1, 7) |
| calling titles | {callers or "any, from this computer only"} |
| maximum length of PDUs received | {contexts.MAXIMUM_PDU_BYTES} bytes |
| associations at once, of one peer | {door.ASSOCIATIONS_MAX}, {door.ASSOCIATIONS_OF_ONE_PEER}; else (2, 3, 2) |
| asynchronous operations, user identity | not supported |
| a PDU is whole within | {connection.PDU_S:g} s |
| silence within an association | {server.SILENT_S:g} s |
| largest object | {connection.OBJECT_MAX_BYTES >> 20} MiB |
| implementation class UID of received files | {part10.IMPLEMENTATION_CLASS_UID} |"""


def _accepted() -> str:
    classes = "\n".join(f"| {UID(uid).name} | {uid} |" for uid in contexts.STORED_CLASSES)
    syntaxes = "\n".join(f"| {UID(uid).name} | {uid} |" for uid in contexts.STORED_SYNTAXES)
    echo = ", ".join(_names(contexts.PLAIN_SYNTAXES))
    return f"""## Presentation contexts accepted

Verification ({contexts.VERIFICATION}) with {echo}. Each of these classes with each of these transfer syntaxes:

| SOP class | UID |
|---|---|
{classes}

| transfer syntax | UID |
|---|---|
{syntaxes}

| status of a C-STORE response | meaning |
|---|---|
| 0000 | the object is on disk and in the queue, or was there before |
| A700 | refused: disk space low, queue full, or a write that failed; send it again later |
| 0110 | processing failure |

Data sets are kept as received and are not coerced."""


def _sent(settings: Settings) -> str:
    where = "\n".join(
        f"| {each.name} | {each.ae} at {each.address} |" if each.address else f"| {each.name} | a folder |"
        for each in settings.destinations
    )
    proposed = ", ".join(f"{UID(uid).name} ({uid})" for uid in results.SENT_CLASSES)
    asked = ", ".join(each.name for each in settings.destinations if each.commit)
    return f"""## Presentation contexts proposed

Verification, and {proposed},
with Explicit VR Little Endian.

| destination | address |
|---|---|
{where}

Storage commitment ({contexts.COMMITMENT}, Implicit VR Little Endian) is asked of: {asked or "none"}. The
N-EVENT-REPORT is awaited for {commitment.EVENT_S:g} s on the same association, then for
{commitments.ANSWER_S / 3600:g} h at this node's own port, where it is taken only from an archive that was asked;
N-ACTION is refused to everybody.

| status received | what follows |
|---|---|
| 0000, Bxxx | stored |
| A7xx, no answer | again after 1, 2, 5, 15 and 60 minutes, then hourly, for 72 hours |
| other failures | once more after an hour, then a dead letter |
| commitment failed for an object | it is sent again |
| association rejected, permanent | the destination is held; one C-ECHO an hour |"""


def _security(settings: Settings) -> str:
    secured = "TLS 1.2 or newer" if settings.node.tls else "none"
    mutual = ", certificates of peers required" if settings.node.tls and settings.node.tls.peers_ca else ""
    return f"""## Security and character sets

Transport security: {secured}{mutual}. Reports are written in ISO_IR 192; the patient's and the study's values are
those of the image, decoded from its own character set, or no report is made."""


def _names(uids: tuple[str, ...]) -> list[str]:
    return [str(UID(uid).name) for uid in uids]
