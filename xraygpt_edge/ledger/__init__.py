"""`records.jsonl`: where answers and failures are kept, one line each, whole after any crash.

ledger    writes: each record is on disk before it counts; knows what was done before
appender  the open file: lines behind what is whole
records   reads: every whole record, typed; the one rule about lines that are not whole
rows      what a line says
versions  what an older program wrote is read, what a newer one wrote is refused
job       job.json beside it: whose folder this is
folder    the folder: made private, held by one process at a time

Whoever writes records (a batch, a server, a node) and whoever reads them (reports, an evaluation) comes through here.
"""

from __future__ import annotations

from xraygpt_edge.ledger.appender import Appender
from xraygpt_edge.ledger.folder import claimed, is_claimed, write_whole, writing
from xraygpt_edge.ledger.job import adopt, asked_questions, difference, job_facts
from xraygpt_edge.ledger.ledger import Ledger, forget, key
from xraygpt_edge.ledger.records import RECORDS, Entry, Records
from xraygpt_edge.ledger.rows import Answered, Failed, Row, named_path, own_path, record_of, row_of

__all__ = [
    "RECORDS",
    "Answered",
    "Appender",
    "Entry",
    "Failed",
    "Ledger",
    "Records",
    "Row",
    "adopt",
    "asked_questions",
    "claimed",
    "difference",
    "forget",
    "is_claimed",
    "job_facts",
    "key",
    "named_path",
    "own_path",
    "record_of",
    "row_of",
    "write_whole",
    "writing",
]
