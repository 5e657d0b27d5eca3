"""Reports: views of a batch's records. Files in a folder, sent nowhere; the model never runs.

FORMATS names the module of each; every one has `write(job) -> Written`.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from typing import Any

from xraygpt_edge.records import SCHEMA
from xraygpt_edge.reports.job import Job, LeftOut, Written
from xraygpt_edge.text import file_name

__all__ = ["DEFAULT_NAMES", "FORMATS", "Job", "LeftOut", "Written", "account", "write"]

FORMATS = {
    "html": "to_html",
    "csv": "to_csv",
    "json": "to_json",
    "dicom-sr": "to_dicom_sr",
    "fhir": "to_fhir",
    "maps": "to_maps",
}
DEFAULT_NAMES = {
    "html": "report.html",
    "csv": "report.csv",
    "json": "report.json",
    "dicom-sr": "dicom-sr",
    "fhir": "fhir",
    "maps": "maps",
}
"""Where a report lands inside the batch's folder; the last three are folders."""


def write(name: str, job: Job) -> Written:
    """Write one report; a format's library is imported only for that format."""
    module = import_module(f"{__name__}.{FORMATS[name]}")
    written: Written = module.write(job)
    return written


def account(name: str, job: Job, written: Written) -> dict[str, Any]:
    """What was written, as the object that `report --json` prints."""
    return {
        "schema": SCHEMA,
        "format": name,
        "out": file_name(job.out),
        "files": written.files,
        "left_out": [asdict(row) for row in written.left_out],
        "warnings": [asdict(row) for row in written.warned],
        "torn_bytes": job.batch.torn_bytes,
    }
