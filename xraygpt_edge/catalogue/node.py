"""E-NOD: the node, which receives radiographs and sends results."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

_QUEUED = "Every film that was acknowledged is on disk and in the queue."

NODE: dict[str, Entry] = {
    "E-NOD-001": Entry(
        2,
        "the settings of the node cannot be used",
        "The file is TOML and is read strictly: an unknown key, a path that is not there, or a name where an address "
        "in numbers is wanted would otherwise be found out by a film that never arrives.",
        "Correct the line that is named; docs/node.md lists every key.",
    ),
    "E-NOD-002": Entry(
        2,
        "the node cannot listen at its address",
        "Another program listens there, the address is not one of this computer, or the port is below 1024 and not "
        "allowed to this user.",
        "End the other program, or change `listen` in the settings and the port at the modality.",
        _QUEUED,
    ),
    "E-NOD-003": Entry(
        2,
        "a certificate or its key cannot be used",
        "Certificate, key and authority are PEM files; the key belongs to the certificate and is not locked by a "
        "password.",
        "Look at the file that is named, and ask whoever makes the clinic's certificates.",
    ),
    "E-NOD-004": Entry(
        2,
        "the node's folder lies on a network share",
        "A share may lose what it has promised to keep, and its locks do not hold: an acknowledged film could vanish.",
        "Choose a folder on a disk of this computer with `dir`.",
    ),
    "E-NOD-005": Entry(
        16,
        "the node's disk refuses to read or write",
        "The disk is full, failing or read-only, or the folder does not allow it. While it does, senders are told that "
        "nothing is stored, and keep their films.",
        "Make room or repair the disk; the same command goes on where it stopped.",
        _QUEUED,
    ),
    "E-NOD-006": Entry(
        13,
        "the queue was written by a newer version of this program",
        "Its states may mean things that this version would get wrong.",
        "Use the version that wrote it, or a newer one.",
        "Nothing was changed.",
    ),
    "E-NOD-007": Entry(
        11,
        "another node works in this folder",
        "Two nodes would answer each film twice. The lock is the system's own: it ends with the process that holds it.",
        "End the other one, or give this one a folder of its own with `dir`.",
        "Nothing was changed.",
    ),
    "E-NOD-008": Entry(
        3,
        "a destination does not take a result",
        "It did not answer for 72 hours, or refused the object twice. The result is a dead letter: it stays here, and "
        "its film for seven days.",
        "Look at the archive's log, then send it again with xraygpt-edge node retry DIR.",
        "The other results are not affected.",
    ),
    "E-NOD-009": Entry(
        3,
        "a result is stored, and the archive has not committed itself to it",
        "`commit = true` asks the archive to promise that it keeps each result. It refused, or has not answered within "
        "an hour: it may not offer storage commitment, or cannot reach this node's port to answer. The result is "
        "there, and nobody has promised that it stays.",
        "Look at the archive's settings for this node's title, address and port, then use xraygpt-edge node retry DIR.",
        "The result itself is in the archive.",
    ),
    "E-NOD-010": Entry(
        3,
        "the file of a film is missing",
        "The queue knows the film and its file is not on the disk. It was deleted by hand, or the disk is failing.",
        "Send the film again from the modality or the archive.",
        "The other films are not affected.",
    ),
    "E-NOD-011": Entry(
        16,
        "the queue is damaged",
        "queue.sqlite3 is not what the node writes. It was edited, or the disk is failing.",
        "Bring the folder back from a copy, or begin in a new one; films whose files are in `in` may be sent again.",
        "Nothing was changed.",
    ),
    "E-NOD-012": Entry(
        2,
        "this folder holds no queue of a node",
        "`node run` makes it in the folder that its settings name with `dir`.",
        "Name that folder.",
    ),
    "E-NOD-013": Entry(
        14,
        "the node's DICOM library is not installed",
        "Receiving and sending need pynetdicom, which the extra `node` brings.",
        'Install it: pip install "xraygpt-edge[cpu,node]".',
    ),
    "E-NOD-014": Entry(
        2,
        "the queue has no such film",
        "Ids are the first digits of a film's hash, as the audit trail and xraygpt-edge node status show them.",
        "Look at xraygpt-edge node status DIR.",
        "Nothing was changed.",
    ),
    "E-NOD-015": Entry(
        19,
        "the process that receives or sends cannot be kept going",
        "It ended again and again right after its start.",
        "Look at xraygpt-edge node check CONFIG.",
        _QUEUED,
    ),
    "E-NOD-016": Entry(
        16,
        "the audit trail is not as it was written",
        "Each line holds the hash of the line before. The line that is named was changed, or one before it is missing.",
        "Bring the file back from a copy, and ask who may write into the node's folder.",
        "Nothing was changed.",
    ),
}
