"""Invented names in every identifying element: none of them may be in anything that is written.

Two kinds of reports carry the patient's identity by purpose, into files of their own: `dicom-sr`, and `fhir` with
`--images`. A path that a user gave is in a batch's records; here the names of files are numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.drawn_dicom import as_bytes, chest, dataset
from tests.tiny import write_bundle
from xraygpt_edge.cli.app import app
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.imaging.isolated import Reader

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
NOT_TOLD = "CANARY", "1.2.826.7777", BIRTH_DATE
"""What no output may hold."""
UIDS = {"StudyInstanceUID": "1.2.826.7777.1", "SeriesInstanceUID": "1.2.826.7777.2", "SOPInstanceUID": "1.2.826.7777.3"}
PLACES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "cwd")
"""Where a program could leave something; the last one is the current folder."""
RUN_ALL = """
import json, sys
from pathlib import Path
from xraygpt_edge.cli.app import run
codes = [run(arguments) for arguments in json.loads(Path(sys.argv[1]).read_text())]
Path(sys.argv[2]).write_text(json.dumps(codes))
"""
"""Many commands in one process, each as the command line runs it: starting Python takes longer than most of them."""


def marked(ds: Dataset) -> Dataset:
    for tag, canary in (*CANARIES.items(), *UIDS.items()):
        setattr(ds, tag, canary)
    ds.PatientBirthDate = BIRTH_DATE
    ds.add_new(0x00091001, "LO", "CANARYPRIVATE")
    item = Dataset()
    item.CodeMeaning = item.CodeValue = "CANARYCODE"
    ds.ViewCodeSequence = ds.PatientSpeciesCodeSequence = ds.RequestAttributesSequence = [item]
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
    for syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless, *(f"1.2.840.10008.1.2.4.{n}" for n in (50, 70, 110))):
        for frame in (b"CANARYFRAME!", b"\xff\xd8CANARYFRAME", b"\xff\x4f\xff\x51" + b"CANARY" * 9):
            ds = marked(dataset(chest(), PixelData=encapsulate([frame])))
            ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
            ds.file_meta.TransferSyntaxUID = syntax
            files.append(as_bytes(ds))
    for syntax in ("1.2.826.7777.9", "1.2.840.10008.1.2.1.99"):
        ds = marked(dataset(chest()))
        ds.file_meta.TransferSyntaxUID = syntax
        files.append(as_bytes(ds))
    for syntax, plugin in ((RLELossless, "pydicom"), (JPEG2000Lossless, "pylibjpeg"), (JPEGLSLossless, "pyjpegls")):
        ds = marked(dataset(chest()))
        ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
        files += [as_bytes(ds)[:-900], as_bytes(ds)[:-2000] + b"CANARY" * 200]
    whole = as_bytes(marked(dataset(chest())))
    name, rows = b"\x10\x00\x10\x00PN", b"\x28\x00\x10\x00US"
    for old, new in (
        (name, name[:4] + b"ZZ"), (name, name[:4] + b"SQ"), (name + b"\x08\x00", name + b"\xff\x7f"),
        (rows, rows[:4] + b"PN"), (rows + b"\x02\x00", rows + b"\x03\x00"),
    ):  # fmt: skip
        files.append(whole.replace(old, new))
        assert files[-1] != whole
    files += [whole[:length] for length in range(140, 2800, 90)]
    random = np.random.default_rng(0)
    for _ in range(10):
        wild = bytearray(whole)
        for at in random.integers(132, 2500, 40):
            wild[at] = int(random.integers(256))
        files.append(bytes(wild))
    return files


def odd() -> list[bytes]:
    """Files that are read and answered, with identities that no writer of reports expects."""
    whole = as_bytes(marked(dataset(chest(), SpecificCharacterSet="ISO_IR 100", StudyDate=BIRTH_DATE)))
    changes = (
        (BIRTH_DATE.encode(), b"CANARYDA"),
        (b"1.2.826.7777.1", b"CANARY.UID.777"),
        (b"1.2.826.7777.3", b"CANARY.UID.777"),
        (b"CANARY00", b"CANARY\xff\xfe"),
        (b"CANARY00", b"CANARY^="),
        (b"CANARY01", b"CANARY\\\\"),
        (b"CANARY25", b"CANARY\x00\n"),
        (b"ISO_IR 100", b"CANARY_SET"),
    )
    return [whole, *(whole.replace(old, new) for old, new in changes)]


def pictures() -> list[bytes]:
    """Everyday pictures with names in their own tags; the second of each is cut off."""
    words = PngInfo()
    words.add_text("Author", "CANARYAUTHOR")
    words.add_itxt("Comment", "CANARYCOMMENT", zip=True)
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x0112] = "CANARYDESCRIPTION", "CANARYARTIST", 3
    found = []
    kinds = {
        "PNG": {"pnginfo": words, "exif": exif},
        "JPEG": {"comment": b"CANARY", "exif": exif},
        "TIFF": {"tiffinfo": {0x010E: "CANARYDESCRIPTION", 0x013B: "CANARYARTIST", 0x0112: 3}},
        "WEBP": {"exif": exif},
        "JPEG2000": {"comment": "CANARY"},
    }
    for kind, options in kinds.items():
        stream = BytesIO()
        Image.fromarray((chest(300, 260) >> 4).astype(np.uint8)).save(stream, kind, **options)
        found += [stream.getvalue(), stream.getvalue()[:-900]]
    return found


def holds_canary(written: bytes) -> bool:
    """One of the invented strings, in any letters, also as two bytes a letter."""
    upper = written.upper()
    return any(word.encode(codec) in upper for word in NOT_TOLD for codec in ("ascii", "utf-16-le"))


def assert_no_canary(written: str) -> None:
    assert not holds_canary(written.encode("utf-8", "replace")), written


@pytest.mark.long
def test_no_message_of_any_failing_file_quotes_a_tag(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With --force, which goes furthest; the batch below reads the same files without."""
    files, refused = failing(), 0
    with Reader() as reader:
        for number, data in enumerate(files):
            path = tmp_path / f"{number}.dcm"
            path.write_bytes(data)
            try:
                reading = reader.read_with_account(path, ReadOptions(force=True))
            except InputRefused as refusal:
                refused += 1
                known = json.dumps([asdict(found) for found in (refusal.source, *refusal.steps) if found])
                assert_no_canary(str(refusal) + refusal.why + known)
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


class Scene:
    """Files with canaries, a bundle, and a whole world to write into, seen from outside."""

    def __init__(self, folder: Path) -> None:
        self.bundle, self.films, self.notes = folder / "tiny", folder / "films", folder / "notes"
        self.places = {name: folder / "world" / name for name in PLACES}
        for place in (self.films, self.notes, *self.places.values()):
            place.mkdir(parents=True)
        write_bundle(self.bundle)

    def film(self, name: str, data: bytes) -> Path:
        """A file in the folder of radiographs."""
        path = self.films / name
        path.write_bytes(data)
        return path

    def run(self, commands: list[list[str | Path]], stdin: str = "") -> dict[str, int]:
        """Run the commands and look at every byte that was printed; gives the exit code of each."""
        (self.notes / "commands").write_text(json.dumps([list(map(str, words)) for words in commands]), "utf-8")
        command = [sys.executable, "-B", "-c", RUN_ALL, self.notes / "commands", self.notes / "codes"]
        root = Path(__file__).resolve().parent.parent
        variables = {**os.environ, **self.places, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        variables = {name: str(value) for name, value in variables.items() if name != "cwd"}
        done = subprocess.run(
            command, env=variables, cwd=self.places["cwd"], capture_output=True, input=stdin.encode(), timeout=600
        )
        assert done.returncode == 0, done.stderr
        assert not holds_canary(done.stdout), lines_with_canary(done.stdout)
        assert not holds_canary(done.stderr), lines_with_canary(done.stderr)
        codes = json.loads((self.notes / "codes").read_text("utf-8"))
        return {" ".join(map(str, words)): code for words, code in zip(commands, codes, strict=True)}

    def left(self, *but_for: Path) -> Iterator[Path]:
        """Every file that was written anywhere, but for those below these folders."""
        for place in self.places.values():
            for file in place.rglob("*"):
                if file.is_file() and not {file, *file.parents} & set(but_for):
                    yield file


def lines_with_canary(written: bytes) -> list[bytes]:
    return [line for line in written.splitlines() if holds_canary(line)]


def write_reports(folder: Path) -> None:
    """One that is summarized, one that is left out, and some that are refused, each with a name in it."""
    folder.mkdir()
    kept = "FINDINGS: CANARY has clear lungs. The heart is normal in size and shape.\n\nIMPRESSION: CANARY is well.\n"
    for name, data in {
        "CANARY1.txt": kept.encode(),
        "CANARY2.txt": b"IMPRESSION: CANARY.",
        "CANARY3.txt": b"FINDINGS: CANARY \xff",
        "CANARY4.txt": b"CANARY\x00",
        "CANARY5.xml": b"<!DOCTYPE CANARY><a>CANARY</a>",
        "CANARY6.xml": b"<CANARY>",
        "broken.csv": b'id,text\nCANARY,CANARY,CANARY\n1,"CANARY',
    }.items():
        (folder / name).write_bytes(data)


@pytest.mark.long
def test_no_command_lets_anything_of_a_patient_out(tmp_path: Path) -> None:
    """Each command on a file that is read and on some that are refused, batch on all of them, every kind of report."""
    scene = Scene(tmp_path)
    files = enumerate([*odd(), *pictures(), *failing()])
    films = [scene.film(f"{number}.dcm", data) for number, data in files]
    good, broken, ct = films[0], films[len(odd()) + 1], films[len(odd()) + len(pictures()) + 15]
    out, tiny = scene.places["cwd"] / "out", ["--bundle", scene.bundle]
    references = scene.notes / "references.csv"
    references.write_text("path,text\n" + "".join(f"{film.name},CANARY effusion\n" for film in films), "utf-8")
    groups = scene.notes / "groups.csv"
    groups.write_text("path,sex\n" + "".join(f"{film.name},F\n" for film in films), "utf-8")
    texts, prompt = scene.notes / "CANARYTEXTS", scene.notes / "prompt.txt"
    prompt.write_text("{report}", "utf-8")
    write_reports(texts)
    short = [*tiny, "--max-tokens", "4", "--debug"]
    commands: list[list[str | Path]] = [
        ["chat", good, *short],
        ["ask", good, "findings?", *short],
        *(["ask", film, "findings?", *short, "--json"] for film in (good, broken, ct)),
        ["ask", ct, "findings?", *short, "--force"],
        *(["inspect", film, *tiny, "--debug"] for film in (good, broken, ct)),
        ["inspect", good, *tiny, "--debug", "--json", "--save", "view.png"],
        ["inspect", films[len(odd())], *tiny, "--save", "other.png"],
        ["batch", scene.films, "--out", out, *short, "--json"],
        ["report", out, "--to", "csv", "--debug"],
        ["report", out, "--to", "json", "--json"],
        ["report", out, "--to", "html", "--images", scene.films, "--thumbnails", "--debug"],
        ["report", out, "--to", "fhir", "--out", out / "nobody", "--debug"],
        ["report", out, "--to", "fhir", "--images", scene.films, "--debug"],
        ["report", out, "--to", "dicom-sr", "--images", scene.films, "--debug"],
        ["report", out, "--to", "dicom-sr", "--images", scene.films, "--json"],
        ["replay", out, "--images", scene.films, *tiny, "--debug"],
        ["evaluate", out, "--references", references, "--strata", groups, "--against", out, "--debug"],
        ["evaluate", out, "--references", references, "--labels", references, "--json"],
        ["calibrate", scene.films, "--labels", references, *tiny, "--debug"],
        ["calibrate", scene.films, *tiny, "--json"],
        ["summarize", texts, "--out", scene.notes / "summaries", "--debug"],
        ["summarize", texts / "broken.csv", "--out", scene.notes / "table", "--json"],
        ["summarize", texts, "--out", scene.notes / "rewritten", "--mode", "rewrite", *tiny, "--prompt", prompt],
        ["plan", scene.films, "--out", scene.notes / "films.list", "--shards", "2", "--debug"],
        ["merge", out, "--out", scene.notes / "merged", "--partial", "--debug"],
        ["bundle", "list"],
        ["bundle", "info", scene.bundle],
        ["bundle", "verify", scene.bundle],
        ["bundle", "install", scene.bundle],
        ["doctor"],
        ["node", "status", out],  # tests/test_node.py looks at one that has received films
        ["bench", "--threads", "1"],
        ["explain", "E-DCM-001"],
        ["--version"],
    ]
    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    # They go on, or start others that do: tests/test_serve_guard.py and tests/test_pool.py look at what they write.
    elsewhere = {"serve", "scale"}
    assert names - {words[0] for words in commands} == elsewhere, "let the new command run here, too"
    codes = scene.run(commands, stdin="findings?\n\n")
    assert [command for command, code in codes.items() if code == 1] == []
    assert [codes[" ".join(map(str, words))] for words in commands[:6]] == [0, 0, 0, 4, 4, 0]
    records = (out / "records.jsonl").read_text("utf-8").splitlines()
    assert sum(json.loads(line)["status"] == "ok" for line in records) >= len(odd())
    assert sum(json.loads(line)["status"] == "failed" for line in records) >= 60
    written = list(scene.left(out / "dicom-sr", out / "fhir"))
    assert {"records.jsonl", "report.html", "view.png", "manifest.json"} <= {file.name for file in written}
    assert [file for file in written if holds_canary(file.read_bytes()) or holds_canary(file.name.encode())] == []
    assert holds_canary(b"".join(file.read_bytes() for file in (out / "dicom-sr").iterdir())), "nothing was looked for"
    unexpected = [file for file in written if not {out, scene.places["XDG_DATA_HOME"]} & set(file.parents)]
    assert sorted(file.name for file in unexpected) == ["other.png", "view.png"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_command_lets_anything_out_of_any_failing_file(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    commands: list[list[str | Path]] = []
    for number, data in enumerate([*pictures(), *failing()]):
        film, tiny = scene.film(f"{number}.dcm", data), ["--bundle", scene.bundle, "--debug"]
        commands += [
            ["ask", film, "findings?", "--max-tokens", "4", *tiny],
            ["inspect", film, *tiny],
            ["inspect", film, *tiny, "--json", "--force", "--profile", "display", "--save", f"{number}.png"],
        ]
    for start in range(0, len(commands), 60):
        codes = scene.run(commands[start : start + 60])
        assert [command for command, code in codes.items() if code not in (0, 4)] == []
    written = list(scene.left())
    assert [file for file in written if holds_canary(file.read_bytes())] == []
    assert {file.suffix for file in written} == {".png"}


@pytest.mark.parametrize("read", ["images.read_radiograph(p)", "reader.read(p)"])
def test_nothing_is_written_beside_the_result(tmp_path: Path, read: str) -> None:
    """Standard streams, the home folder, temporary files and the current folder stay clean, also after a refusal."""
    places = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "cwd")}
    for place in places.values():
        place.mkdir()
    root = Path(__file__).resolve().parent.parent
    code = f"import sys; sys.path.append({str(root)!r})\n"
    code += "from pathlib import Path; from xraygpt_edge.imaging import images, isolated\n"
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
