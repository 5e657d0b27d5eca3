"""`inspect`: what a file is and what is done to its pixels, told by the command line and by the module below it."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from tests.drawn_dicom import chest, write
from tests.test_cli import COLOUR, ERROR_LINE, failed, run
from tests.test_preprocess import Spec
from xraygpt_edge.imaging.images import PROFILES, ReadOptions
from xraygpt_edge.imaging.inspection import half_blocks, inspect, views
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.preprocess import to_tensor
from xraygpt_edge.records import NOTICE

HALF_BLOCK = "\u2580"
CPU_MAX_S = 2.0
"""Of both processes together; two thirds of a second were measured on a computer with nothing else to do."""
IDENTIFYING = (
    "PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyInstanceUID", "SeriesInstanceUID",
    "SOPInstanceUID", "AccessionNumber", "InstitutionName", "ReferringPhysicianName", "OperatorsName", "StationName",
)  # fmt: skip


def step_names(page: str) -> list[str]:
    return re.findall(r"^  (\S+(?: \S+)*)  ", page, re.MULTILINE)


def on_a_terminal(*arguments: str | Path, **environment: str) -> str:
    """What a person sees on an 80 x 24 terminal of 256 colours."""
    leader, follower = pty.openpty()
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **environment}
    command = [sys.executable, "-m", "xraygpt_edge", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=follower, stderr=follower, env=variables)
    os.close(follower)
    seen = b""
    try:
        while piece := os.read(leader, 65536):
            seen += piece
    except OSError:  # Linux reports the closed terminal so
        pass
    os.close(leader)
    assert process.wait(30) == 0
    return seen.decode("utf-8")


def test_an_inspection_tells_every_step_and_shows_what_the_model_sees(tmp_path: Path) -> None:
    path = write(tmp_path, chest(), PhotometricInterpretation="MONOCHROME1", PatientName="DOE^JANE", PatientID="4711")
    spec, options = Spec("pad"), ReadOptions("display")
    with Reader() as reader:
        account = inspect(path, options, spec, reader)
        both = views(account, path, options, spec, reader)
        tensor = to_tensor(reader.read(path, options), spec)
    facts, work = (
        ["size", "format", "object", "pixels"],
        ["decoding", "stored values", "modality", "window", "polarity"],
    )
    assert [step.name for step in account.steps] == [*facts, *work, "view", "resize", "tensor"]
    shown = np.rint((tensor[0, 0] * spec.std[0] + spec.mean[0]) * 255)
    np.testing.assert_array_equal(account.model_view, shown)
    assert list(both) == list(PROFILES)
    np.testing.assert_array_equal(both["display"], shown)
    assert not np.array_equal(both["mimic-jpg"], shown)
    words = json.dumps(account.to_dict())
    assert "JANE" not in words
    assert "4711" not in words


def test_a_terminal_gets_two_grey_levels_a_cell() -> None:
    cells = half_blocks(np.repeat(np.array([[0], [200]], np.uint8), 8, 1).repeat(4, 0), 8)
    assert cells.shape == (4, 8, 2)
    assert (cells[0, 0, 0], cells[-1, -1, 1]) == (0, 200)


def test_the_account_is_plain_text_with_the_notice_and_nothing_on_stderr(phantom: Path) -> None:
    done = run("inspect", phantom)
    assert (done.returncode, done.stderr) == (0, "")
    assert step_names(done.stdout)[:5] == ["size", "format", "object", "pixels", "decoding"]
    assert step_names(done.stdout)[-2:] == ["resize", "tensor"]
    assert "profile mimic-jpg" in done.stdout
    assert done.stdout.endswith(f"{NOTICE}\n")
    assert not {COLOUR, HALF_BLOCK} & set(done.stdout)


def test_the_example_in_the_papers_is_what_the_program_prints(root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "images.md").read_text("utf-8")
    arguments, printed = re.search(r"\$ xraygpt-edge (inspect .*) --save view.png\n(.*?)```", page, re.DOTALL).groups()
    words = [root / word if word.startswith("examples/") else word for word in arguments.split()]
    assert run(*words, "--save", tmp_path / "view.png").stdout == printed


def test_a_profile_a_bundle_and_a_frame_are_taken_as_in_ask(tmp_path: Path, demo: Path) -> None:
    frames = write(tmp_path, np.stack([chest(), chest()[::-1]]), NumberOfFrames=2)
    done = run("inspect", frames, "--profile", "display", "--bundle", demo, "--frame", "2")
    assert done.returncode == 0, done.stderr
    assert "profile display" in done.stdout
    assert "frame 2 of 2" in done.stdout
    failed(run("inspect", frames, "--profile", "x-ray"), 2, "E-USE-001")
    failed(run("inspect", frames, "--bundle", "nowhere"), 10, "E-BND-001")
    assert run("inspect", frames, "--frame", "3").returncode == 4


def test_every_warning_is_shown(tmp_path: Path) -> None:
    path = write(tmp_path, chest(), BodyPartExamined="KNEE", BurnedInAnnotation="YES")
    done = run("inspect", path)
    assert {"W-DCM-001", "W-DCM-006", "W-IMG-003"} <= set(re.findall(r"^warning (\S+):", done.stdout, re.MULTILINE))


def test_with_json_one_object_tells_the_same(phantom: Path) -> None:
    done = run("inspect", phantom, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (told["schema"], told["status"], told["notice"]) == (1, "ok", NOTICE)
    assert told["input"]["format"] == "dicom"
    assert [step["name"] for step in told["steps"]] == step_names(run("inspect", phantom).stdout)


def test_a_file_that_is_refused_is_explained_with_exit_code_4(tmp_path: Path) -> None:
    path = write(tmp_path, chest(), Rows=97, BodyPartExamined="KNEE")
    done = run("inspect", path, "--save", tmp_path / "view.png")
    failed(done, 4, "E-DCM-009")
    assert done.stdout.startswith("Refused, E-DCM-009: the file holds fewer pixels than its header says")
    assert step_names(done.stdout) == ["size", "format", "object", "pixels"]
    assert "80 x 97, 12 of 16 bits, MONOCHROME2" in done.stdout
    assert "warning W-DCM-001" in done.stdout
    assert NOTICE in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_with_json_a_refusal_is_one_object_that_tells_how_far_reading_came(tmp_path: Path) -> None:
    done = run("inspect", write(tmp_path, chest(), Rows=97, BodyPartExamined="KNEE"), "--json")
    failed(done, 4, "E-DCM-009")
    told = json.loads(done.stdout)
    assert (told["status"], told["error_id"], told["code"]) == ("failed", "E-DCM-009", 4)
    assert [step["name"] for step in told["steps"]] == ["size", "format", "object", "pixels"]
    assert [warning["id"] for warning in told["input"]["warnings"]] == ["W-DCM-001"]


def test_with_force_a_refusal_becomes_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path, chest(), SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    assert run("inspect", path).returncode == 4
    done = run("inspect", path, "--force")
    assert done.returncode == 0
    assert "warning E-DCM-003" in done.stdout


@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_saved_is_what_the_model_sees_and_only_its_owner_may_read_it(
    phantom: Path, tmp_path: Path, profile: str
) -> None:
    target = tmp_path / "view.png"
    assert run("inspect", phantom, "--save", target, "--profile", profile).returncode == 0
    with Image.open(target) as saved:
        assert (saved.format, saved.mode, saved.size, saved.info) == ("PNG", "L", (224, 224), {})
        pixels = np.asarray(saved)
    with Reader() as reader:
        np.testing.assert_array_equal(pixels, inspect(phantom, ReadOptions(profile), Spec("pad"), reader).model_view)
    assert [file.name for file in tmp_path.iterdir()] == ["view.png"]
    assert os.name == "nt" or stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["itself", "link", "hard link"])
def test_the_radiograph_is_never_overwritten(tmp_path: Path, phantom: Path, how: str) -> None:
    film, target = Path(shutil.copy(phantom, tmp_path / "film.dcm")), tmp_path / "film.dcm"
    if how != "itself":
        target = tmp_path / "other.png"
        (target.symlink_to if how == "link" else target.hardlink_to)(film)
    failed(run("inspect", film, "--save", target), 16, "E-OUT-004")
    assert film.read_bytes() == target.read_bytes() == phantom.read_bytes()


@pytest.mark.parametrize("place", ["missing/view.png", "folder", "..", "/dev/full", "x" * 300])
def test_a_place_that_cannot_be_written_gives_code_16_and_leaves_nothing(
    tmp_path: Path, phantom: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()
    done = run("inspect", phantom, "--save", tmp_path / place, "--json")
    failed(done, 16, "E-OUT-001")
    assert json.loads(done.stdout)["error_id"] == "E-OUT-001"
    assert [file.name for file in tmp_path.rglob("*")] == ["folder"]


def test_a_terminal_shows_both_profiles_side_by_side(phantom: Path) -> None:
    seen = on_a_terminal("inspect", phantom)
    lines = [line for line in seen.splitlines() if HALF_BLOCK in line]
    assert len(lines) == 19
    assert {line.count(HALF_BLOCK) for line in lines} == {2 * 38}
    assert re.search(r"mimic-jpg: as in training +display: as in a viewer", seen)
    assert seen.index("tensor") < seen.index(HALF_BLOCK) < seen.index("mimic-jpg: as") < seen.index(NOTICE)


@pytest.mark.parametrize(
    ("more", "environment"),
    [(["--quiet"], {}), (["--json"], {}), ([], {"TERM": "dumb"}), ([], {"NO_COLOR": "1"}), ([], {"COLUMNS": "40"})],
)
def test_pictures_are_left_out_where_they_are_not_wanted_or_cannot_be_shown(
    phantom: Path, more: list[str], environment: dict[str, str]
) -> None:
    seen = on_a_terminal("inspect", phantom, *more, **environment)
    assert HALF_BLOCK not in seen
    assert "tensor" in seen


def test_no_model_is_loaded_and_it_is_quick(phantom: Path, tmp_path: Path) -> None:
    """The best of three: what else the computer does only adds."""
    code = (
        "import sys\nfrom xraygpt_edge.cli.app import run\n"
        "code = run(sys.argv[1:])\n"
        "heavy = {'onnxruntime', 'llama_cpp', 'torch', 'pydicom'} & set(sys.modules)\n"
        "assert not heavy, heavy\nsys.exit(code)"
    )
    command = [sys.executable, "-c", code, "inspect", str(phantom), "--save", str(tmp_path / "view.png")]
    assert min(cpu_s(command) for _ in range(3)) < CPU_MAX_S


def cpu_s(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_every_example_is_explained_from_the_file_to_the_tensor(root: Path) -> None:
    with Reader() as reader:
        for path in sorted((root / "examples").glob("*.dcm")):
            names = [step.name for step in inspect(path, ReadOptions(), Spec("pad"), reader).steps]
            assert names[:5] == ["size", "format", "object", "pixels", "decoding"], path.name
            assert names[-4:] == ["equalize", "view", "resize", "tensor"], path.name


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("dx_canon_pa_mono1_j2k_scrubbed.dcm", 0, ["JPEG 2000", "MONOCHROME1: inverted once"]),
        ("cr_fuji_ap_burnedin_rle.dcm", 0, ["RLE Lossless", "10 of 16 bits"]),
        ("cr_fuji_pa_mono1_nopreamble.dcm", 0, ["W-DCM-016"]),
        ("dx_dog_lateral_mono1.dcm", 0, ["W-DCM-007", "W-DCM-008"]),
        ("sc_rgb_pt_breast.dcm", 0, ["W-DCM-001", "brightness", "equalize"]),
        ("sc_palette_nopreamble.dcm", 0, ["palette", "W-IMG-001"]),
        ("cxr_nih_512.png", 0, ["taken as they are"]),
        ("alpha.png", 0, ["transparency", "W-IMG-002"]),
        ("frames_lie.dcm", 4, ["E-DCM-011", "3 frames"]),
        ("gsps.dcm", 4, ["E-DCM-002", "Presentation State"]),
        ("cr_fuji_no_pixeldata.dcm", 4, ["E-DCM-005", "Computed Radiography"]),
        ("us_jpegxl_recompression.dcm", 4, ["E-DCM-006", "JPEG XL"]),
        ("jpeg_fragment_half.dcm", 4, ["E-DCM-008", "1024 x 1024"]),
        ("empty.dcm", 4, ["E-IMG-002"]),
    ],
)
def test_real_files_are_explained_and_no_identifying_tag_is_shown(
    shared: Path, name: str, code: int, words: list[str]
) -> None:
    path = shared / "data" / "radiographs" / name
    done = run("inspect", path)
    assert done.returncode == code, done.stderr
    assert [word for word in words if word not in done.stdout] == []
    assert NOTICE in done.stdout
    assert bool(ERROR_LINE.fullmatch(done.stderr)) == (code == 4)
    shown = done.stdout + done.stderr
    assert [tag for tag, value in identity(path) if value in shown] == []


def identity(path: Path) -> list[tuple[str, str]]:
    """The identifying values that stand in the file, but for those of one or two letters."""
    if path.suffix != ".dcm" or path.stat().st_size == 0:
        return []
    header = dcmread(path, force=True, stop_before_pixels=True, specific_tags=list(IDENTIFYING))
    return [(tag, str(header.get(tag))) for tag in IDENTIFYING if len(str(header.get(tag) or "")) > 2]
