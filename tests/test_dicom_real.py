"""Real files: each has the outcome that its row in their list expects, and golden pixels by other decoders."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests import golden
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import Radiograph, read_radiograph

pytestmark = pytest.mark.shared

NOT_CHEST = {"W-DCM-001", "W-DCM-002"}
READABLE = {
    "dx_canon_pa_mono1_j2k_scrubbed.dcm": {"W-DCM-031"},
    "cr_philips_pa_mono1_j2k_lossy.dcm": set(),
    "cr_fuji_pa_mono1_nopreamble.dcm": {"W-DCM-016"},
    "dx_nih_mono2_1024.dcm": {"W-DCM-002"},
    "notchest_scout_abdomen.dcm": {"W-DCM-002", "W-DCM-003", "W-IMG-006"},
    "cr_rsna_pa_mono2_jpeg.dcm": set(),
    "cr_rsna_fake_mono1.dcm": {"W-IMG-004"},
    "cr_fuji_ap_burnedin_rle.dcm": set(),
    "sc_rgb_pt_breast.dcm": {"W-DCM-001", "W-DCM-003", "W-IMG-001"},
    "dx_dog_lateral_mono1.dcm": {"W-DCM-007", "W-DCM-008"},
    "sc_signed16_smpte.dcm": {"W-DCM-003"},
    "cr_dental_modalitylut_jpegll.dcm": {"W-DCM-001"},
    "mg_3voiluts_sigmoid_padding.dcm": {"W-DCM-001"},
    "cr_leg_mono1_j2k.dcm": {"W-DCM-001", "W-DCM-013"},
    "cr_hip_mono2_jpegext12.dcm": {"W-DCM-001"},
    "sc_modality_lut_signed.dcm": {"W-DCM-003"},
    "sc_voi_lut_8to16.dcm": {"W-DCM-003"},
    "sc_htj2k_lossless_rgb.dcm": {"W-DCM-003", "W-IMG-001"},
    "sc_palette_nopreamble.dcm": {"W-DCM-003", "W-IMG-001"},
    "cxr_nih_512.png": set(),
    "cxr_rgb.jpg": set(),
    "cxr_mhh_ap_a.png": set(),
    "voi_lut_8bit_4096.dcm": set(),
    "window_width_zero.dcm": set(),
    "aspect_2_1.dcm": {"W-DCM-015"},
    "png16.png": set(),
    "alpha.png": {"W-IMG-002"},
}
"""File → warnings that it must give; an empty set means none at all."""

REFUSED = {
    "cr_fuji_no_pixeldata.dcm": "E-DCM-005",
    "constant_16bit.dcm": "E-IMG-010",
    "us_jpegxl_recompression.dcm": "E-DCM-006",
    "seg_deflated_frame.dcm": "E-DCM-002",
    "gsps.dcm": "E-DCM-002",
    "sr_basictext.dcm": "E-DCM-002",
    "jpeg_fragment_half.dcm": "E-DCM-008",
    "frames_lie.dcm": "E-DCM-011",
    "bomb_20000x10000.png": "E-IMG-007",
    "empty.dcm": "E-IMG-002",
}

GREY_DICOM = sorted(name for name in READABLE if name.endswith(".dcm") and not re.search("rgb|palette", name))


def read(shared: Path, name: str) -> Radiograph:
    return read_radiograph(shared / "data" / "radiographs" / name)


def test_every_real_file_has_an_expected_outcome(shared: Path) -> None:
    present = {file.name for file in (shared / "data" / "radiographs").iterdir() if file.suffix != ".md"}
    assert set(READABLE) | set(REFUSED) >= present


@pytest.mark.parametrize("name", READABLE)
def test_a_readable_file_is_read_with_the_warnings_that_it_deserves(shared: Path, name: str) -> None:
    found = {warning.id for warning in read(shared, name).source.warnings}
    assert found >= READABLE[name]
    assert READABLE[name] or not found


@pytest.mark.parametrize("name", REFUSED)
def test_an_unreadable_file_is_refused_with_its_reason(shared: Path, name: str) -> None:
    with pytest.raises(InputRefused) as refusal:
        read(shared, name)
    assert refusal.value.error_id == REFUSED[name]


def test_the_same_picture_with_the_other_polarity_is_its_inverse_before_equalizing(shared: Path) -> None:
    folder = shared / "data" / "radiographs"
    plain = pydicom.dcmread(folder / "cr_rsna_pa_mono2_jpeg.dcm").pixel_array
    inverse = read(shared, "cr_rsna_fake_mono1.dcm")
    np.testing.assert_array_equal(inverse.pixels, golden.mimic(plain.astype(int), inverted=True))


def stored_by_dcmtk(file: Path, folder: Path) -> np.ndarray:
    """Stored values as DCMTK's decoders give them."""
    for tool in ("dcmconv", "dcmdrle", "dcmdjpeg", "dcmdjpls"):
        plain = folder / f"{tool}.dcm"
        options = ["+te"] if tool == "dcmconv" else []
        if subprocess.run([tool, *options, file, plain], capture_output=True, check=False).returncode == 0:
            return pydicom.dcmread(plain).pixel_array
    return pytest.skip("DCMTK has no decoder for this syntax")


def oriented(values: np.ndarray, header: pydicom.Dataset) -> np.ndarray:
    return values[:, ::-1] if list(header.get("PatientOrientation") or []) == ["R", "F"] else values


@pytest.mark.skipif(shutil.which("dcmdjpeg") is None, reason="DCMTK is not installed")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name in GREY_DICOM if name != "aspect_2_1.dcm"])
def test_the_picture_equals_one_from_other_decoders_and_plain_numpy(shared: Path, tmp_path: Path, name: str) -> None:
    file = shared / "data" / "radiographs" / name
    header = pydicom.dcmread(file, force=True, stop_before_pixels=True)
    if "j2k" in name:
        from PIL import Image  # an OpenJPEG of its own, built by others

        whole = pydicom.dcmread(file)
        from io import BytesIO

        frame = pydicom.encaps.get_frame(whole.PixelData, 0, number_of_frames=1)
        shift = 16 - whole.BitsStored  # Pillow moves values to the top of the word
        values = np.asarray(Image.open(BytesIO(frame))).astype(np.int64) >> shift
    else:
        values = stored_by_dcmtk(file, tmp_path).astype(np.int64)
    padding = None
    if "PixelPaddingRangeLimit" in header:
        padding = (values >= header.PixelPaddingValue) & (values <= header.PixelPaddingRangeLimit)
    inverted = header.PhotometricInterpretation == "MONOCHROME1"
    tables = header.get("ModalityLUTSequence")
    if tables and tables[0]["LUTData"].value[0] > tables[0]["LUTData"].value[-1]:
        inverted = not inverted
    expected = oriented(golden.mimic(values, inverted=inverted, padding=padding), header)
    found = read(shared, name).pixels
    if "jpeg.dcm" in name or "fake" in name or "12" in name:  # lossy: decoders may differ by one level
        assert np.abs(expected.astype(int) - found.astype(int)).mean() < 1
    else:
        np.testing.assert_array_equal(found, expected)
