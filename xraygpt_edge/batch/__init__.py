"""A folder of radiographs overnight: complete, resumable, and safe from one file's crash.

    walk ──▶ Task ──▶ supervise ──▶ model process (child, answering, parallel) ──▶ Outcome ──▶ ledger ──▶ summary
                          ▲                          │
                          └── started again ◀── dies ┘

Only the model process loads native libraries.
"""

from __future__ import annotations

from xraygpt_edge.batch.batch import Nobody, Progress, Watcher, run
from xraygpt_edge.batch.job import DEFAULT_QUESTION, Job, Running, Settings
from xraygpt_edge.batch.summary import Summary

__all__ = ["DEFAULT_QUESTION", "Job", "Nobody", "Progress", "Running", "Settings", "Summary", "Watcher", "run"]
