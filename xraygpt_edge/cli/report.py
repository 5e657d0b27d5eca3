"""`report`: a batch's records as a page, a table, objects for an archive, or pictures of maps."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraygpt_edge.cli import options
from xraygpt_edge.errors import ExitCode, UsageError
from xraygpt_edge.text import file_name, one_line

if TYPE_CHECKING:
    from xraygpt_edge.reports import Written

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder given to batch with --out.", show_default=False)
]
To = Annotated[
    str, typer.Option("--to", metavar="html|csv|json|dicom-sr|fhir|maps", help="What to write.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Where to; by default inside DIR. A folder for dicom-sr and fhir, which write one file a radiograph.",
        show_default=False,
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="The folder given to batch: for patient and study in dicom-sr and fhir, for thumbnails and maps.",
        show_default=False,
    ),
]
Thumbnails = Annotated[
    bool, typer.Option("--thumbnails", help="Put small pictures into the page. They are patient images.")
]

TORN = (
    "left out: the last record, which is not whole. A batch is writing it, or a crash has cut it off; "
    "then run the batch again."
)


def report(
    folder: Folder,
    to: To,
    out: Out = None,
    images: Images = None,
    thumbnails: Thumbnails = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Write a report about a batch; the model is not needed.

    Nothing is sent anywhere. Research software, not a medical device.
    """
    from xraygpt_edge import reports
    from xraygpt_edge.reports.rows import read_batch

    options.one_of("--to", to, tuple(reports.FORMATS))
    if thumbnails and to != "html":
        raise UsageError("E-USE-001", "--thumbnails goes with --to html")
    target = out or folder / reports.DEFAULT_NAMES[to]
    job = reports.Job(read_batch(folder), target, images, thumbnails)
    written = reports.write(to, job)
    if as_json:
        print(json.dumps(reports.account(to, job, written)))
    else:
        if job.batch.torn_bytes:
            print(TORN, file=sys.stderr)
        show(target, written, quiet=quiet)
    return ExitCode.PARTIAL if written.left_out else ExitCode.DONE


def show_left_out(written: Written) -> None:
    """What is not in a report, and why."""
    for row in written.left_out:
        line = f"left out: {row.path} [{row.id}] {row.error_id}: {row.message}"
        print(one_line(line), file=sys.stderr)


def show(target: Path, written: Written, *, quiet: bool) -> None:
    """Where the report is, and what is not in it."""
    show_left_out(written)
    for warned in () if quiet else written.warned:
        line = f"warning: {warned.path} [{warned.id}] {warned.warning_id}: {warned.message}"
        print(one_line(line), file=sys.stderr)
    print(file_name(target))
    if not quiet:
        print(f"Files written: {written.files}. Radiographs left out: {len(written.left_out)}.", file=sys.stderr)
