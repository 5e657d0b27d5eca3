"""Reports about files from the field: values that break their form, misspelt character sets, and the chosen frame."""

from __future__ import annotations

import json
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement

from tests.drawn_dicom import as_bytes, chest, dataset
from tests.sample_batch import answer, record, source, write_batch
from tests.test_reports_objects import batch_of, dicom_file, fhir, needs, reports, texts
from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.cli.app import run
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import ReadOptions, read_bytes
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.records import ReadWarning
from xraygpt_edge.reports import thumbnails
from xraygpt_edge.reports.rows import read_batch


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    return folder


def exchanged(films: Path, name: str, keyword: str, value: bytes) -> tuple[str, bytes]:
    """A file in which one element has this value, whatever the standard says about it."""
    ds = pydicom.dcmread(BytesIO(dicom_file(films, name, SOPInstanceUID=f"1.2.{name.removesuffix('.dcm')}")))
    vr = pydicom.datadict.dictionary_VR(keyword)
    ds.add(DataElement(keyword, vr, value.decode(), validation_mode=pydicom.config.IGNORE))
    ds.save_as(films / name)
    return name, (films / name).read_bytes()


def errors(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    assert "BasicTextSR" in done.stderr + done.stdout
    return [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")]


BROKEN = [
    ("PatientBirthDate", b"1996.10.29", "19961029", "W-REP-001"),
    ("PatientBirthDate", b"1970-1-1", "19700101", "W-REP-001"),
    ("StudyDate", b"2020/02/29", "20200229", "W-REP-001"),
    ("StudyTime", b"12:30:15.25", "123015.25", "W-REP-001"),
    ("StudyTime", b"9:05", "0905", "W-REP-001"),
    ("StudyTime", b"123015.1234567", "123015.123456", "W-REP-001"),
    ("PatientSex", b"female", "F", "W-REP-001"),
    ("PatientSex", b"m", "M", "W-REP-001"),
    ("PatientBirthDate", b"00000000", "", "W-REP-002"),
    ("PatientBirthDate", b"20210229", "", "W-REP-002"),
    ("PatientBirthDate", b"29.10.1996", "", "W-REP-002"),
    ("StudyDate", b"19700101-19800101", "", "W-REP-002"),
    ("StudyTime", b"250000", "", "W-REP-002"),
    ("StudyTime", b"noon", "", "W-REP-002"),
    ("PatientSex", b"W", "", "W-REP-002"),
    ("AccessionNumber", b"12345678901234567", "", "W-REP-002"),
    ("StudyID", b"S\nT", "", "W-REP-002"),
    ("StudyDescription", b"Q" * 65, None, "W-REP-002"),
    ("ReferringPhysicianName", b"A^B^C^D^E^F", "", "W-REP-002"),
    ("ReferringPhysicianName", b"Q" * 65, "", "W-REP-002"),
    ("TimezoneOffsetFromUTC", b"GMT+1", None, "W-REP-002"),
]


@needs("dciodvfy")
def test_a_value_that_breaks_its_form_is_repaired_or_left_out_with_a_warning(
    tmp_path: Path, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [exchanged(films, f"{n}.dcm", keyword, value) for n, (keyword, value, _, _) in enumerate(BROKEN, 1)]
    batch = batch_of(tmp_path, *files)
    assert run(["report", str(batch), "--to", "dicom-sr", "--images", str(films)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    rows = {row.file.name: row.id for row in read_batch(batch).answered}
    by_id = {path.stem: path for path in reports(batch, films, "fhir")}
    for (name, _), (keyword, value, copied, warning) in zip(files, BROKEN, strict=True):
        words = f"{warning}: {CATALOGUE[warning].what} ({keyword})"
        assert f"warning: {name} [{rows[name]}] {words}" in said  # and nothing of the value
        path = batch / "dicom-sr" / f"{rows[name]}.dcm"
        sr = pydicom.dcmread(path)
        assert (sr.get(keyword) if copied is None else str(sr[keyword].value or "")) == copied
        assert errors(path) == [], (keyword, value)
        assert words in texts(sr)
        assert words in fhir(by_id[rows[name]])["text"]["div"]


KEPT = [
    ("StudyInstanceUID", b"1.2.3.04"),
    ("SOPInstanceUID", b"1.2.840.00017"),
    ("SeriesInstanceUID", b"1.02.3"),
    ("PatientID", b"N" * 70),
]


def test_identifiers_that_archives_compare_are_kept_byte_for_byte_with_a_warning(
    tmp_path: Path, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [exchanged(films, f"{n}.dcm", keyword, value) for n, (keyword, value) in enumerate(KEPT, 1)]
    batch = batch_of(tmp_path, *files)
    assert run(["report", str(batch), "--to", "dicom-sr", "--images", str(films)]) == 0
    said = capsys.readouterr().err
    assert said.count("W-REP-004") == len(KEPT)
    rows = {row.file.name: row.id for row in read_batch(batch).answered}
    for (name, _), (keyword, value) in zip(files, KEPT, strict=True):
        data = (batch / "dicom-sr" / f"{rows[name]}.dcm").read_bytes()
        pad = b"\0" if keyword.endswith("UID") else b" "
        assert value + pad * (len(value) % 2) in data
        assert value.decode() not in said
    assert all("W-REP-004" in path.read_text("utf-8") for path in reports(batch, films, "fhir"))


def test_a_uid_that_is_none_gets_no_report(tmp_path: Path, films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = [b"1.2.patient", b"1..2", b"1.2." + b"3" * 64, b".1.2"]
    files = [exchanged(films, f"{n}.dcm", "StudyInstanceUID", value) for n, value in enumerate(values, 1)]
    assert reports(batch_of(tmp_path, *files), films, code=3) == []
    assert capsys.readouterr().err.count("E-REP-013") == len(values)


def in_set(films: Path, file: str, named: str, name: bytes) -> tuple[str, bytes]:
    """A file that names a character set, which need not exist, and a patient in whatever bytes."""
    plain = dicom_file(films, file, PatientName="Z" * len(name), SOPInstanceUID=f"1.2.{file.removesuffix('.dcm')}")
    even = named.encode() + b" " * (len(named) % 2)
    at = plain.index(b"\x08\x00\x16\x00UI")
    element = b"\x08\x00\x05\x00CS" + len(even).to_bytes(2, "little") + even
    data = plain[:at] + element + plain[at:].replace(b"Z" * len(name), name)
    (films / file).write_bytes(data)
    return file, data


CLEAR = [
    ("ISO_IR 999", b"DOE^JANE", "DOE^JANE"),
    ("nonsense", b"DOE^JANE", "DOE^JANE"),
    ("ISO IR 100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    ("ISO_IR_100", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    ("iso_ir 144", "Люкceмбypг".encode("iso8859-5"), "Люкceмбypг"),
    ("ISO-8859-1", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    ("LATIN1", "Müller^Jörg".encode("latin-1"), "Müller^Jörg"),
    ("windows-1251", "Петров^Иван".encode("cp1251"), "Петров^Иван"),
    ("ISO_IR192", "王^小東".encode(), "王^小東"),
    ("UTF-8", "王^小東".encode(), "王^小東"),
    ("GB 18030", "王^小东".encode("gb18030"), "王^小东"),
    ("\\ISO_2022_IR_87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
]


def test_a_misspelt_character_set_costs_no_report_where_what_is_meant_is_clear(
    tmp_path: Path, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [in_set(films, f"{n}.dcm", named, name) for n, (named, name, _) in enumerate(CLEAR, 1)]
    batch = batch_of(tmp_path, *files)
    assert run(["report", str(batch), "--to", "dicom-sr", "--images", str(films)]) == 0
    said = capsys.readouterr().err
    assert said.count("W-REP-003") == len(CLEAR)
    rows = {row.file.name: row.id for row in read_batch(batch).answered}
    for (name, _), (_, _, meant) in zip(files, CLEAR, strict=True):
        assert str(pydicom.dcmread(batch / "dicom-sr" / f"{rows[name]}.dcm").PatientName) == meant
        assert meant not in said
    assert len(reports(batch, films, "fhir")) == len(CLEAR)


UNCLEAR = [
    ("ISO_IR 999", "Jörg".encode("latin-1")),
    ("nonsense", "Jörg".encode()),
    ("ISO IR 192", "Jörg".encode("latin-1")),
    ("ISO IR 100", b"J\x93rg"),
    ("ISO_IR 6", "Jörg".encode()),
    ("UTF-8", b"\xff\xfeX"),
]


def test_a_name_that_does_not_fit_what_the_set_seems_to_mean_is_not_guessed(
    tmp_path: Path, films: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [in_set(films, f"{n}.dcm", named, name) for n, (named, name) in enumerate(UNCLEAR, 1)]
    assert reports(batch_of(tmp_path, *files), films, code=3) == []
    assert capsys.readouterr().err.count("E-REP-013") == len(UNCLEAR)


def test_a_well_written_file_gets_no_warning(films: Path) -> None:
    data = dicom_file(films, StudyDate="20200102", StudyTime="0304", AccessionNumber="A1", StudyDescription="Chest PA")
    with Reader() as reader:
        assert reader.identify(data).warnings == ()


def test_an_element_of_unknown_vr_does_not_hide_the_study(films: Path) -> None:
    data = dicom_file(films)
    at = data.index(b"\x10\x00\x10\x00PN")
    private = b"\x09\x00\x10\x10ZZ\0\0" + (20).to_bytes(4, "little") + bytes(20)
    with Reader() as reader:
        assert reader.identify(data[:at] + private + data[at:]).study_uid == "1.2.3.4"


# The chosen frame

FRAMES = np.stack([chest(), np.roll(chest(), 30, 1)])
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"


def two_frames(films: Path) -> bytes:
    uids = {"StudyInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.5", "PatientID": "P-17"}
    data = as_bytes(dataset(FRAMES, NumberOfFrames=2, SOPClassUID=MULTI_FRAME, **uids))
    (films / "two.dcm").write_bytes(data)
    return data


def framed_batch(tmp_path: Path, films: Path, frame: int | None) -> Path:
    data = two_frames(films)
    read = read_bytes(data, ReadOptions(frame=frame or 1)).radiograph.source
    known = {**record(answer(input=read), "two.dcm")}
    if frame is None:  # as a version wrote it that did not know frames
        del known["input"]["frame"]
    return write_batch(tmp_path / f"batch-{frame}", [known])


def test_the_chosen_frame_is_in_the_record_and_in_the_thumbnail(tmp_path: Path, films: Path) -> None:
    batch = framed_batch(tmp_path, films, 2)
    assert read_batch(batch).answered[0].input.frame == 2
    assert run(["report", str(batch), "--to", "html", "--thumbnails", "--images", str(films), "--quiet"]) == 0
    found = thumbnails.pictures(films, read_batch(batch).radiographs).jpegs
    expected = read_bytes((films / "two.dcm").read_bytes(), ReadOptions(frame=2)).radiograph.pixels
    assert found == {Path("two.dcm"): thumbnails._jpeg(expected)}


@needs("dciodvfy")
def test_the_reports_name_the_frame_and_another_frame_is_another_report(tmp_path: Path, films: Path) -> None:
    uids = set()
    for frame in (1, 2):
        batch = framed_batch(tmp_path, films, frame)
        (path,) = reports(batch, films)
        sr = pydicom.dcmread(path)
        image = sr.ContentSequence[-2].ContentSequence[0].ContentSequence[0]
        assert image.ReferencedSOPSequence[0].ReferencedFrameNumber == frame
        assert errors(path) == []
        uids.add(sr.SOPInstanceUID)
        notes = fhir(reports(batch, films, "fhir")[0])["contained"][1]["note"]
        assert {"text": f"About frame {frame} of the file."} in notes
    assert len(uids) == 2


def test_a_file_of_one_frame_names_none(films: Path) -> None:
    data = as_bytes(dataset(chest()))
    assert read_bytes(data, ReadOptions(frame=1)).radiograph.source.frame is None


def test_a_record_from_before_frames_were_kept_still_opens(tmp_path: Path, films: Path) -> None:
    batch = framed_batch(tmp_path, films, None)
    assert read_batch(batch).answered[0].input.frame is None
    assert "ReferencedFrameNumber" not in str(pydicom.dcmread(reports(batch, films)[0]))


# Every file that can be read

UNREPORTED = {"constant_16bit.dcm", "sc_htj2k_lossless_rgb.dcm"}
"""Blank; of no study."""


def readable(shared: Path) -> list[tuple[Path, bytes, int | None]]:
    folders = [shared / "data" / part for part in ("radiographs", "field", "field/sr_sources", "field/two_frames")]
    found = []
    for path in sorted(path for folder in folders for path in folder.glob("*.dcm")):
        frame = 2 if path.name == "two.dcm" else None
        try:
            read_bytes(path.read_bytes(), ReadOptions(frame=frame))
        except InputRefused:
            continue
        found.append((path, path.read_bytes(), frame))
    return found


@pytest.mark.shared
@needs("dciodvfy")
def test_dciodvfy_finds_no_error_of_ours_about_any_readable_file(tmp_path: Path, films: Path, shared: Path) -> None:
    pytest.importorskip("fhir.resources", reason="fhir.resources is not installed")
    from fhir.resources.R4B.diagnosticreport import DiagnosticReport

    lines, names = [], []
    for path, data, frame in readable(shared):
        if path.name not in UNREPORTED:
            shutil.copyfile(path, films / path.name)
            warned = (ReadWarning("W-DCM-020", "one frame of several was read"),) if frame else ()
            lines.append(record(answer(input=source(data, frame=frame, warnings=warned)), path.name, id=path.stem))
            names.append(path.stem)
    batch = write_batch(tmp_path / "batch", lines)
    found = {path.stem: errors(path) for path in reports(batch, films)}
    assert set(found) == set(names)
    # What is the source's own: a UID with a leading zero, and frames in a class that knows none. Both name the picture.
    uid, frame = found.pop("cr_dental_modalitylut_jpegll"), found.pop("two")
    assert all("UID" in line or "contains invalid data values" in line for line in uid)
    assert all("not multi-frame - attribute <ReferencedFrameNumber>" in line for line in frame)
    assert {name: lines for name, lines in found.items() if lines} == {}
    for path in reports(batch, films, "fhir"):
        DiagnosticReport.model_validate(json.loads(path.read_text("utf-8")))
