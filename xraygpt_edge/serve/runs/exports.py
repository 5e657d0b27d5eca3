"""A run as files, made in memory: what `report` writes for the same records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.ledger import Answered, Failed
from xraygpt_edge.records import NOTICE, SCHEMA
from xraygpt_edge.reports import LeftOut, to_csv, to_fhir, to_html
from xraygpt_edge.reports.job import unused_name
from xraygpt_edge.reports.rows import Batch, Radiograph
from xraygpt_edge.serve.runs.run import Run
from xraygpt_edge.serve.runs.run import row as row_of_line

LEFT_OUT = "left-out.txt"


@dataclass(frozen=True, slots=True)
class Taken:
    """A run at one moment."""

    batch: Batch
    lines: tuple[bytes, ...]
    """Its records as a batch keeps them."""
    identities: dict[str, Identity | InputRefused]
    """SHA-256 of a film → its patient and study, or why not."""


def taken(run: Run) -> Taken:
    """What a run has by now."""
    lines = tuple(run.lines())
    rows = tuple(map(row_of_line, lines))
    batch = Batch(
        Path(),
        tuple(each for each in rows if isinstance(each, Answered)),
        tuple(each for each in rows if isinstance(each, Failed)),
        None,
        run.asked.questions,
        run.latest,
    )
    identities = {film.sha256: film.identity for film in run.films.values() if film.identity}
    return Taken(batch, lines, identities)


def csv(found: Taken) -> bytes:
    """As `report --to csv`."""
    stream = BytesIO()
    to_csv.write_table(found.batch, stream)
    return stream.getvalue()


def html(found: Taken) -> bytes:
    """As `report --to html`."""
    return "".join(to_html.page(found.batch)).encode()


def records(found: Taken) -> bytes:
    """As `report --to json`, before there is a summary."""
    head = json.dumps({"schema": SCHEMA, "notice": NOTICE, "summary": None}).removesuffix("}").encode()
    return head + b', "records": [\n' + b",\n".join(found.lines) + b"\n]}\n"


def fhir(found: Taken) -> Iterator[tuple[str, bytes]]:
    """As `report --to fhir`: a file a radiograph, with patient and study where they can be copied."""

    def resource(radiograph: Radiograph, identity: Identity | None) -> bytes:
        made = to_fhir.report(radiograph, identity, found.batch.answered_at)
        return json.dumps(made, indent=1, ensure_ascii=False).encode() + b"\n"

    return _each(found, "fhir", "json", resource, needs_identity=False)


def dicom_sr(found: Taken) -> Iterator[tuple[str, bytes]]:
    """As `report --to dicom-sr`."""
    from xraygpt_edge.reports import dicom_object, to_dicom_sr  # with pydicom, which writes here and parses nothing

    def document(radiograph: Radiograph, identity: Identity | None) -> bytes:
        if identity is None:
            raise InputRefused("E-REP-012")
        return dicom_object.encoded(to_dicom_sr.report(radiograph, identity, found.batch.answered_at))

    return _each(found, "dicom-sr", "dcm", document, needs_identity=True)


def _each(
    found: Taken,
    folder: str,
    ending: str,
    make: Callable[[Radiograph, Identity | None], bytes],
    *,
    needs_identity: bool,
) -> Iterator[tuple[str, bytes]]:
    """A file for each radiograph, and at last a list of those that have none."""
    used, left_out = set[str](), list[LeftOut]()
    for radiograph in found.batch.instances:
        row = radiograph.first
        try:
            data = make(radiograph, _identity(found, row, is_needed=needs_identity))
        except InputRefused as error:
            left_out.append(LeftOut.because(row, error))
            continue
        yield f"{folder}/{unused_name(row, used)}.{ending}", data
    if left_out:
        lines = (f"{each.id} {each.path}: {each.error_id} {each.message}\n" for each in left_out)
        yield f"{folder}/{LEFT_OUT}", "".join(lines).encode()


def _identity(found: Taken, row: Answered, *, is_needed: bool) -> Identity | None:
    """Patient and study of a row's film; raises InputRefused where its file has not been sent, or has none."""
    identity = found.identities.get(row.input.sha256)
    if isinstance(identity, InputRefused):
        raise identity
    if identity is None and row.input.format == "dicom" and is_needed:
        raise InputRefused("E-REP-010", "it was known already, and not sent again")
    return identity


def zipped(files: Iterator[tuple[str, bytes]]) -> bytes:
    """Files as one archive; their times say nothing."""
    stream = BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return stream.getvalue()


def everything(found: Taken) -> Iterator[tuple[str, bytes]]:
    """All that a run can become."""
    yield from (("report.csv", csv(found)), ("report.html", html(found)), ("report.json", records(found)))
    yield from dicom_sr(found)
    yield from fhir(found)


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file."""

    ending: str
    media_type: str
    write: Callable[[Taken], bytes]


FORMATS = {
    "csv": Format("csv", "text/csv; charset=utf-8", csv),
    "html": Format("html", "text/html; charset=utf-8", html),
    "json": Format("json", "application/json", records),
    "dicom-sr": Format("zip", "application/zip", lambda found: zipped(dicom_sr(found))),
    "fhir": Format("zip", "application/zip", lambda found: zipped(fhir(found))),
    "all": Format("zip", "application/zip", lambda found: zipped(everything(found))),
}
