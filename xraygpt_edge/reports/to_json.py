"""JSON: the records and the summary in one document, word for word."""

from __future__ import annotations

import json

from xraygpt_edge.ledger import Records
from xraygpt_edge.records import NOTICE, SCHEMA
from xraygpt_edge.reports.job import Job, Written, output_file


def write(job: Job) -> Written:
    """Write {"schema", "notice", "summary", "records"}; each record is the batch's own line.

    The lines were read and checked before (`job.batch`); they are passed on one by one, so that
    memory does not grow with the batch.
    """
    head = {"schema": SCHEMA, "notice": NOTICE, "summary": job.batch.summary}
    with output_file(job.out) as stream:
        stream.write(json.dumps(head).removesuffix("}").encode() + b', "records": [')
        for number, entry in enumerate(Records(job.batch.root)):
            stream.write((b",\n" if number else b"\n") + entry.line.strip())
        stream.write(b"\n]}\n")
    return Written(files=1)
