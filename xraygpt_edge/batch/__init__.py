"""A folder of radiographs overnight: complete, resumable, and safe from one file's crash.

    walk ──▶ Task ──▶ host.ModelHost ──▶ Record ──▶ ledger ──▶ summary

The model runs in the host's process; this one keeps records, and loads no native library.
"""

from __future__ import annotations

from xraygpt_edge.batch.batch import Nobody, Progress, Watcher, run
from xraygpt_edge.batch.films import FilmList
from xraygpt_edge.batch.indications import Indications
from xraygpt_edge.batch.job import DEFAULT_QUESTION, Job, Running, Settings
from xraygpt_edge.batch.shard import WHOLE, Shard
from xraygpt_edge.batch.summary import Summary

__all__ = [
    "DEFAULT_QUESTION",
    "WHOLE",
    "FilmList",
    "Indications",
    "Job",
    "Nobody",
    "Progress",
    "Running",
    "Settings",
    "Shard",
    "Summary",
    "Watcher",
    "run",
]
