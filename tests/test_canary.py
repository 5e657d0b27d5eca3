"""Invented names in every identifying element: none of them may be in anything that is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.drawn_dicom import as_bytes, chest, dataset
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.images import ReadOptions
from xraygpt_edge.worker import Reader

TEXT_TAGS = (
    "PatientName", "PatientID", "OtherPatientNames", "PatientAddress", "PatientBirthName", "PatientMotherBirthName",
    "PatientTelephoneNumbers", "MedicalRecordLocator", "PatientComments", "AdditionalPatientHistory", "Occupation",
    "EthnicGroup", "MilitaryRank", "PatientInsurancePlanCodeSequence", "ReferringPhysicianName",
    "ReferringPhysicianAddress", "PhysiciansOfRecord", "PerformingPhysicianName", "OperatorsName",
    "NameOfPhysiciansReadingStudy", "RequestingPhysician", "InstitutionName", "InstitutionAddress",
    "InstitutionalDepartmentName", "StationName", "AccessionNumber", "StudyID", "StudyDescription",
    "SeriesDescription", "ProtocolName", "ImageComments", "RequestedProcedureDescription", "DeviceSerialNumber",
    "PerformedProcedureStepDescription", "AdmissionID", "CountryOfResidence", "RegionOfResidence",
    "BodyPartExamined", "ViewPosition", "Modality", "AcquisitionDeviceProcessingDescription", "ResponsiblePerson",
    "PatientSpeciesDescription",
)  # fmt: skip
CANARIES = {tag: f"CANARY{number:02d}" for number, tag in enumerate(TEXT_TAGS) if not tag.endswith("Sequence")}
BIRTH_DATE = "18991231"
UIDS = {"StudyInstanceUID": "1.2.826.7777.1", "SeriesInstanceUID": "1.2.826.7777.2", "SOPInstanceUID": "1.2.826.7777.3"}


def marked(ds: Dataset) -> Dataset:
    for tag, canary in (*CANARIES.items(), *UIDS.items()):
        setattr(ds, tag, canary)
    ds.PatientBirthDate = BIRTH_DATE
    ds.add_new(0x00091001, "LO", "CANARYPRIVATE")
    return ds


def failing() -> list[bytes]:
    """More than 60 files, each wrong in another way, all with the canaries in them."""
    fields: list[dict[str, object]] = [
        {"Rows": 0}, {"Columns": 0}, {"Rows": 97}, {"Rows": 10}, {"Rows": 65535, "Columns": 65535}, {"BitsStored": 99},
        {"BitsAllocated": 32}, {"BitsAllocated": 1}, {"HighBit": 2}, {"SamplesPerPixel": 3}, {"NumberOfFrames": "5"},
        {"PhotometricInterpretation": "CANARYPI"}, {"SOPClassUID": "1.2.826.7777.9"}, {"PixelRepresentation": None},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
        {"PixelData": None}, {"PixelData": b"CANARYPIXELS"}, {"Rows": None}, {"Columns": None},
    ]  # fmt: skip
    files = [as_bytes(marked(dataset(chest(), **changed))) for changed in fields]
    for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless, "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"):
        for frame in (b"CANARYFRAME!", b"\xff\xd8CANARYFRAME", b"\xff\x4f\xff\x51" + b"CANARY" * 9):
            ds = marked(dataset(chest(), PixelData=encapsulate([frame])))
            ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
            ds.file_meta.TransferSyntaxUID = syntax
            files.append(as_bytes(ds))
    whole = as_bytes(marked(dataset(chest())))
    files += [whole[:length] for length in range(140, 2800, 90)]
    random = np.random.default_rng(0)
    for _ in range(10):
        wild = bytearray(whole)
        for at in random.integers(132, 2500, 40):
            wild[at] = int(random.integers(256))
        files.append(bytes(wild))
    return files


def assert_no_canary(written: str) -> None:
    assert "CANARY" not in written.upper()
    assert "1.2.826.7777" not in written
    assert BIRTH_DATE not in written


def test_no_message_of_any_failing_file_quotes_a_tag(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files, refused = failing(), 0
    assert len(files) >= 60
    with Reader() as reader:
        for number, data in enumerate(files):
            path = tmp_path / f"{number}.dcm"
            path.write_bytes(data)
            for force in (False, True):
                try:
                    reading = reader.read_with_account(path, ReadOptions(force=force))
                except InputRefused as refusal:
                    refused += 1
                    assert_no_canary(str(refusal) + refusal.why)
                else:
                    assert_no_canary(json.dumps([asdict(reading.radiograph.source), *map(asdict, reading.steps)]))
    assert refused >= 60
    assert_no_canary("".join(capfd.readouterr()))


def test_a_file_that_is_read_leaves_nothing_of_its_tags_in_the_result(tmp_path: Path) -> None:
    path = tmp_path / "marked.dcm"
    path.write_bytes(as_bytes(marked(dataset(chest()))))
    with Reader() as reader:
        reading = reader.read_with_account(path)
    assert {warning.id for warning in reading.radiograph.source.warnings} >= {"W-DCM-001", "W-DCM-003", "W-DCM-008"}
    assert_no_canary(json.dumps([asdict(reading.radiograph.source), *map(asdict, reading.steps)]))


@pytest.mark.parametrize("read", ["images.read_radiograph(p)", "reader.read(p)"])
def test_nothing_is_written_beside_the_result(tmp_path: Path, read: str) -> None:
    """Standard streams, the home folder, temporary files and the current folder stay clean, also after a refusal."""
    places = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "cwd")}
    for place in places.values():
        place.mkdir()
    root = Path(__file__).resolve().parent.parent
    code = f"import sys; sys.path.append({str(root)!r})\n"
    code += "from pathlib import Path; from xraygpt_edge import images, worker\n"
    code += f"for name in sys.argv[1:]:\n    p = Path(name)\n    try: {read}\n    except Exception as e: print(e)\n"
    names = []
    for number, data in enumerate(failing()[::6]):
        names.append(tmp_path / f"{number}.dcm")
        names[-1].write_bytes(data)
    environment = {**os.environ, **{name: str(place) for name, place in places.items() if name != "cwd"}}
    command = [sys.executable, "-B", "-c", code, *names]
    done = subprocess.run(command, env=environment, cwd=places["cwd"], capture_output=True, text=True, check=True)
    assert_no_canary(done.stdout + done.stderr)
    assert [file for place in places.values() for file in place.rglob("*")] == []
