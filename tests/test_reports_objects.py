"""Objects for an archive: the right patient or none, never more than a draft, and what PACS accept."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from tests import payloads
from tests.sample_batch import LATERAL, answer, record, source, write_batch
from xraygpt_edge.cli.app import run
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.isolated.process import ENTRY
from xraygpt_edge.reports import to_dicom_sr
from xraygpt_edge.reports.rows import read_batch

REAL = (
    "dx_dog_lateral_mono1.dcm",
    "dx_canon_pa_mono1_j2k_scrubbed.dcm",
    "cr_philips_pa_mono1_j2k_lossy.dcm",
    "dx_nih_mono2_1024.dcm",
    "cr_rsna_pa_mono2_jpeg.dcm",
)
NOTICE = "Every statement needs review by a qualified clinician."


def needs(*programs: str) -> pytest.MarkDecorator:
    absent = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


def dicom_file(folder: Path, name: str = "a.dcm", **tags: object) -> bytes:
    """A header with a patient; reports never look at pixels. A value of bytes goes in as it is."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = pydicom.uid.DigitalXRayImageStorageForPresentation, "1.2.3.4.5.6"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "DOE^JANE", "P-17", "19700101", "F"
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    (folder / name).write_bytes(stream.getvalue())
    return stream.getvalue()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    return folder


def batch_of(tmp_path: Path, *files: tuple[str, bytes], **more: object) -> Path:
    lines = [record(answer(input=source(data), **more), name) for name, data in files]
    return write_batch(tmp_path / "batch", lines)


def reports(batch: Path, films: Path, kind: str = "dicom-sr", code: int = 0) -> list[Path]:
    assert run(["report", str(batch), "--to", kind, "--images", str(films), "--quiet"]) == code
    return sorted((batch / kind).iterdir())


def texts(item: Dataset) -> list[str]:
    own = [str(item.TextValue)] if "TextValue" in item else []
    return own + [text for child in item.get("ContentSequence", []) for text in texts(child)]


def test_the_report_belongs_to_the_patient_and_the_study_and_is_a_draft(tmp_path: Path, films: Path) -> None:
    data = dicom_file(films, AccessionNumber="A1", StudyDate="20200102", StudyTime="0304", StudyID="S")
    (path,) = reports(batch_of(tmp_path, ("a.dcm", data), finish_reason="length"), films)
    sr, image = pydicom.dcmread(path), pydicom.dcmread(films / "a.dcm")
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "AccessionNumber"):
        assert sr[name].value == image[name].value
    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")
    assert sr.SeriesInstanceUID != image.SeriesInstanceUID
    assert sr.SOPInstanceUID != image.SOPInstanceUID
    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert sr.ContributingEquipmentSequence[0].DeviceUID == sr.ContentSequence[2].UID
    words = texts(sr)
    assert words[2] == "The lungs are clear."
    assert NOTICE in words[3]
    assert "The text is cut off." in words


def test_nothing_about_the_patient_is_in_the_files_name_or_in_the_new_uids(tmp_path: Path, films: Path) -> None:
    data = dicom_file(films, "DOE_JANE.dcm")
    batch = batch_of(tmp_path, ("DOE_JANE.dcm", data))
    (path,) = reports(batch, films)
    assert path.stem == read_batch(batch).answered[0].id
    sr = pydicom.dcmread(path)
    assert all(uid.startswith("1.2.826.0.1.3680043.8.498.") for uid in (sr.SOPInstanceUID, sr.SeriesInstanceUID))


def test_the_same_answers_give_the_same_object_and_others_another(tmp_path: Path, films: Path) -> None:
    data = dicom_file(films)
    batch = batch_of(tmp_path, ("a.dcm", data))
    first = reports(batch, films)[0].read_bytes()
    assert reports(batch, films)[0].read_bytes() == first
    other = write_batch(tmp_path / "other", [record(answer("Else.", input=source(data)), "a.dcm")])
    uids = {pydicom.dcmread(reports(each, films)[0]).SOPInstanceUID for each in (batch, other)}
    assert len(uids) == 2


def test_two_files_of_the_same_bytes_are_one_object(tmp_path: Path, films: Path) -> None:
    data = dicom_file(films)
    (films / "b.dcm").write_bytes(data)
    assert len(reports(batch_of(tmp_path, ("a.dcm", data), ("b.dcm", data)), films)) == 1


def test_two_radiographs_never_share_a_file(tmp_path: Path, films: Path) -> None:
    one, two = dicom_file(films), dicom_file(films, "b.dcm", SOPInstanceUID="1.2.9", PatientID="P-18")
    lines = [record(answer(input=source(d)), n, id="same") for n, d in (("a.dcm", one), ("b.dcm", two))]
    found = reports(write_batch(tmp_path / "b", lines), films)
    assert {pydicom.dcmread(path).PatientID for path in found} == {"P-17", "P-18"}


@pytest.mark.parametrize("kind", ["dicom-sr", "fhir"])
def test_a_file_that_changed_lends_nobody_its_patient(tmp_path: Path, films: Path, kind: str, capsys) -> None:
    answered = dicom_file(films)
    dicom_file(films, PatientName="ROE^RICHARD", PatientID="P-99")
    assert reports(batch_of(tmp_path, ("a.dcm", answered)), films, kind, code=3) == []
    said = capsys.readouterr()
    assert "E-REP-011" in said.err
    assert "ROE" not in said.err + said.out
    assert "P-99" not in said.err + said.out


@pytest.mark.parametrize("path", ["../secret.dcm", "/etc/hostname", "gone.dcm", "link.dcm", "sub", "x\0y"])
def test_only_a_plain_file_below_the_folder_is_opened(tmp_path: Path, films: Path, path: str, capsys) -> None:
    data = dicom_file(tmp_path, "secret.dcm")
    (films / "link.dcm").symlink_to(tmp_path / "secret.dcm")
    (films / "sub").mkdir()
    batch = write_batch(tmp_path / "b", [record(answer(input=source(data)), path)])
    assert reports(batch, films, code=3) == []
    assert "E-REP-01" in capsys.readouterr().err


def test_a_png_or_a_file_without_a_study_gets_no_report_but_a_line(tmp_path: Path, films: Path, capsys) -> None:
    (films / "a.png").write_bytes(b"png")
    data = dicom_file(films, "b.dcm", StudyInstanceUID="")
    lines = [record(answer(input=source(b"png", "png")), "a.png"), record(answer(input=source(data)), "b.dcm")]
    assert reports(write_batch(tmp_path / "b", lines), films, code=3) == []
    assert capsys.readouterr().err.count("E-REP-012") == 2


def test_without_the_radiographs_there_is_no_sr(tmp_path: Path, films: Path) -> None:
    assert run(["report", str(batch_of(tmp_path, ("a.dcm", dicom_file(films)))), "--to", "dicom-sr"]) == 2


@pytest.mark.parametrize(
    ("alphabet", "codec", "name"),
    [
        ("ISO_IR 100", "latin-1", "Müller^Jörg"),
        ("ISO_IR 144", "iso8859-5", "Люкceмбypг"),
        ("ISO_IR 126", "iso8859-7", "Διονυσιος"),
        ("ISO_IR 192", "utf-8", "王^小東"),
        ("GB18030", "gb18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 166", "iso8859-11", "ทดสอบ"),
    ],
)
def test_a_name_in_another_alphabet_is_the_same_name_in_unicode(
    tmp_path: Path, films: Path, alphabet: str, codec: str, name: str
) -> None:
    data = dicom_file(films, SpecificCharacterSet=alphabet, PatientName=name, StudyDescription="x")
    assert name.encode(codec) in data
    sr = pydicom.dcmread(reports(batch_of(tmp_path, ("a.dcm", data)), films)[0])
    assert sr.SpecificCharacterSet == "ISO_IR 192"
    assert str(sr.PatientName) == name
    assert name.encode("utf-8") in (tmp_path / "batch" / "dicom-sr").iterdir().__next__().read_bytes()


@pytest.mark.parametrize(
    ("alphabet", "raw"), [(None, b"\xcf\xe5\xf2"), ("ISO_IR 192", b"\xff\xfeX"), ("ISO_IR 999", b"\xe9ab")]
)
def test_a_name_that_would_have_to_be_guessed_is_refused(
    tmp_path: Path, films: Path, alphabet: str | None, raw: bytes, capsys
) -> None:
    data = dicom_file(films, PatientName="XQZ").replace(b"XQZ ", raw + b" ")
    if alphabet:
        named = pydicom.dcmread(BytesIO(data))
        element = b"\x08\x00\x05\x00CS" + len(alphabet).to_bytes(2, "little") + alphabet.encode()
        at = data.index(b"\x08\x00\x16\x00UI")
        data = data[:at] + element + data[at:]
        assert named.PatientID == "P-17"
    (films / "a.dcm").write_bytes(data)
    assert reports(batch_of(tmp_path, ("a.dcm", data)), films, code=3) == []
    assert "E-REP-013" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["dicom-sr", "fhir"])
def test_the_program_itself_parses_no_file_for_a_report(
    tmp_path: Path, films: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(*_: object, **__: object) -> None:
        pytest.fail("a file from outside was parsed in the program's own process")

    batch = batch_of(tmp_path, ("a.dcm", dicom_file(films)))
    parsing = [module for name, module in sys.modules.items() if name.split(".")[0] == "pydicom"]
    for module in [*parsing, *(m for n, m in sys.modules.items() if n.startswith("xraygpt_edge.imaging.dicom"))]:
        for name in ("dcmread", "read_dataset", "read_partial", "read_identity"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, poisoned)
    assert len(reports(batch, films, kind)) == 1


def test_a_file_that_crashes_or_hangs_the_reader_is_one_line_and_the_next_one_is_reported(
    tmp_path: Path, films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = (
        "import os, time; from xraygpt_edge.imaging import dicom; real = dicom.read_identity; "
        "dicom.read_identity = lambda data: "
        "os.abort() if b'CRASH' in data else time.sleep(60) if b'HANG' in data else real(data)"
    )
    begin, serve = ENTRY.rsplit("; ", 1)
    monkeypatch.setattr("xraygpt_edge.imaging.isolated.process.ENTRY", f"{begin}; {hostile}; {serve}")
    monkeypatch.setattr(to_dicom_sr, "Reader", partial(Reader, deadline_s=2.0))
    names = {"a.dcm": "CRASH^JANE", "b.dcm": "HANG^JANE", "c.dcm": "DOE^JANE"}
    files = [
        (name, dicom_file(films, name, PatientName=who, SOPInstanceUID=f"1.2.{n}"))
        for n, (name, who) in enumerate(names.items())
    ]
    (path,) = reports(batch_of(tmp_path, *files), films, code=3)
    assert str(pydicom.dcmread(path).PatientName) == "DOE^JANE"
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("left out")]
    assert [line.split()[4] for line in lines] == ["E-DCM-022:", "E-DCM-021:"]
    assert "JANE" not in said.err + said.out


def test_a_patients_number_of_two_parts_stays_one_number(tmp_path: Path, films: Path) -> None:
    data = dicom_file(films, PatientID="A\\B")
    batch = batch_of(tmp_path, ("a.dcm", data))
    assert list(pydicom.dcmread(reports(batch, films)[0]).PatientID) == ["A", "B"]
    assert fhir(reports(batch, films, "fhir")[0])["subject"]["identifier"]["value"] == "A\\B"


@pytest.mark.long
def test_tags_and_model_text_stay_text_in_every_object(tmp_path: Path, films: Path) -> None:
    hostile = [*payloads.HTML, *payloads.FORMULAS, *payloads.TERMINAL]
    lines = []
    for n, text in enumerate(hostile):
        tag = "".join(c for c in text if c.isprintable() and c not in "\\^=").strip()[:60] or "x"
        data = dicom_file(
            films, f"{n}.dcm", SpecificCharacterSet="ISO_IR 192", PatientName=tag, PatientID=tag,
            SOPInstanceUID=f"1.2.{n}", StudyDescription=tag,
        )  # fmt: skip
        lines.append(record(answer(text or "x", input=source(data)), f"{n}.dcm"))
    batch = write_batch(tmp_path / "b", lines)
    assert len(reports(batch, films)) == len(hostile)
    for path in reports(batch, films, "fhir"):
        div = json.loads(path.read_text("utf-8"))["text"]["div"]
        assert {part.split(">")[0] for part in div.split("<")[1:]} == {
            'div xmlns="http://www.w3.org/1999/xhtml"', "p", "/p", "/div",
        }  # fmt: skip


def fhir(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def test_the_fhir_report_is_preliminary_and_names_the_patient_by_number_only(tmp_path: Path, films: Path) -> None:
    data = dicom_file(films, IssuerOfPatientID="WARD")
    resource = fhir(reports(batch_of(tmp_path, ("a.dcm", data)), films, "fhir")[0])
    assert resource["status"] == "preliminary"
    assert resource["code"]["coding"][0]["code"] == "18748-4"
    assert resource["subject"]["identifier"] == {"value": "P-17", "assigner": {"display": "WARD"}}
    assert resource["imagingStudy"][0]["identifier"]["value"] == "urn:oid:1.2.3.4"
    assert resource["conclusion"] == "The lungs are clear."
    assert NOTICE in base64.b64decode(resource["presentedForm"][0]["data"]).decode()
    assert "JANE" not in json.dumps(resource)
    assert {part["resourceType"] for part in resource["contained"]} == {"Device", "Observation"}


def test_without_the_radiographs_the_fhir_report_names_nobody(tmp_path: Path, films: Path) -> None:
    batch = batch_of(tmp_path, ("a.dcm", dicom_file(films)))
    assert run(["report", str(batch), "--to", "fhir", "--quiet"]) == 0
    resource = fhir(next((batch / "fhir").iterdir()))
    assert not {"subject", "imagingStudy"} & resource.keys()


def test_the_fhir_report_is_valid_r4(tmp_path: Path, films: Path) -> None:
    pytest.importorskip("fhir.resources", reason="fhir.resources is not installed")
    from fhir.resources.R4B.diagnosticreport import DiagnosticReport

    data = dicom_file(films)
    batch = write_batch(
        tmp_path / "batch",
        [
            record(answer(question=q, input=source(data, warnings=(LATERAL,), forced=True)), "a.dcm", question=q)
            for q in ("One & two?", "<b>Three?</b>")
        ],
    )
    for path in reports(batch, films, "fhir"):
        parsed = DiagnosticReport.model_validate_json(path.read_text("utf-8"))
        assert len(parsed.result) == 2
        assert len(parsed.contained) == 3
    broken = {**fhir(path), "status": ["preliminary"]}
    with pytest.raises(ValueError, match="status"):
        DiagnosticReport.model_validate(broken)


@pytest.fixture
def real_batch(tmp_path: Path, shared: Path) -> tuple[Path, Path]:
    images = shared / "data" / "radiographs"
    lines = [
        record(answer(input=source((images / name).read_bytes(), warnings=(LATERAL,)), finish_reason="length"), name)
        for name in REAL
    ]
    return write_batch(tmp_path / "real", lines), images


@pytest.mark.shared
@needs("dciodvfy")
def test_dciodvfy_finds_no_error_in_reports_about_real_radiographs(real_batch: tuple[Path, Path]) -> None:
    found = reports(*real_batch)
    assert len(found) == len(REAL)
    for path in found:
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert "BasicTextSR" in done.stderr + done.stdout
        assert [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("Error")] == []


@pytest.mark.shared
@needs("dsrdump")
def test_dsrdump_reads_reports_about_real_radiographs(real_batch: tuple[Path, Path]) -> None:
    for path in reports(*real_batch):
        done = subprocess.run(["dsrdump", "+Pl", path], capture_output=True, text=True, check=True)
        assert "PRELIMINARY" in done.stdout
        assert "UNVERIFIED" in done.stdout
        assert "The lungs are clear." in done.stdout


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[int]:
    """A real archive on loopback with its own folder; gives its DICOM port."""
    port, folder = free_port(), tmp_path / "orthanc"
    folder.mkdir()
    settings = {
        "StorageDirectory": str(folder), "IndexDirectory": str(folder), "DicomPort": port, "HttpPort": free_port(),
        "HttpServerEnabled": False, "DicomAet": "ARCHIVE", "DicomAlwaysAllowStore": True, "DicomAlwaysAllowFind": True,
        "RemoteAccessAllowed": False, "Plugins": [],
    }  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", folder / "settings.json"], stdout=log, stderr=log)
    try:
        wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(300):
        assert process.poll() is None, "Orthanc has ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("Orthanc does not listen")


@pytest.mark.shared
@needs("Orthanc")
def test_orthanc_accepts_reports_about_real_radiographs(real_batch: tuple[Path, Path], orthanc: int) -> None:
    pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
    from pynetdicom import AE
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind

    entity = AE()
    entity.add_requested_context(pydicom.uid.BasicTextSRStorage, ExplicitVRLittleEndian)
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    link = entity.associate("127.0.0.1", orthanc, ae_title="ARCHIVE")
    assert link.is_established
    sent = [pydicom.dcmread(path) for path in reports(*real_batch)]
    try:
        assert [link.send_c_store(each).Status for each in [*sent, *sent]] == [0] * 10
        for each in sent:
            wanted = Dataset()
            wanted.QueryRetrieveLevel, wanted.StudyInstanceUID = "SERIES", each.StudyInstanceUID
            wanted.SeriesInstanceUID, wanted.Modality = "", ""
            answers = link.send_c_find(wanted, StudyRootQueryRetrieveInformationModelFind)
            kept = [(found.SeriesInstanceUID, found.Modality) for _, found in answers if found]
            assert kept == [(each.SeriesInstanceUID, "SR")]  # sent twice, kept once, in its own series
    finally:
        link.release()
