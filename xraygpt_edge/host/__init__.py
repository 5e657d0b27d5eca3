"""The model in a process that may die: tasks in, typed events out.

    client ──Task──▶ ModelHost ══Load, Task, Cancel══▶ child ──▶ pipeline ──▶ decoding
       ▲                │  ▲                                        │
       └─────Event──────┘  ╚═Started, Text, Record, Heartbeat ...═══╝

supervisor    ModelHost: what clients use; starts the process again when it dies
flights       which tasks wait, which are away, which are tried again alone
process       one model process as the host sees it
messages      what goes over the two pipes
child         what runs in the process; only there are native libraries loaded
pipeline      tasks into records: read_ahead, encode, decoding, result_cache, reporter

A host knows nothing of folders, HTTP or DICOM: a batch, a server and a node are its clients.
"""

from __future__ import annotations

from xraygpt_edge.host.messages import (
    Asking,
    Cancelled,
    Event,
    Fatal,
    Heartbeat,
    Load,
    Ready,
    Record,
    Room,
    StageTimes,
    Started,
    Task,
    Text,
    View,
)
from xraygpt_edge.host.supervisor import ModelHost

__all__ = [
    "Asking",
    "Cancelled",
    "Event",
    "Fatal",
    "Heartbeat",
    "Load",
    "ModelHost",
    "Ready",
    "Record",
    "Room",
    "StageTimes",
    "Started",
    "Task",
    "Text",
    "View",
]
