"""What the picture itself says: measured on the drawn phantoms and on real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging import gate
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.images import read_radiograph

REAL_CHESTS = (
    "dx_canon_pa_mono1_j2k_scrubbed.dcm", "cr_philips_pa_mono1_j2k_lossy.dcm", "cr_fuji_pa_mono1_nopreamble.dcm",
    "dx_nih_mono2_1024.dcm", "cr_rsna_pa_mono2_jpeg.dcm", "cr_fuji_ap_burnedin_rle.dcm", "cxr_nih_512.png",
    "cxr_rgb.jpg", "cxr_mhh_ap_a.png",
)  # fmt: skip
OTHERS = (
    "cr_dental_modalitylut_jpegll.dcm", "cr_hip_mono2_jpegext12.dcm", "cr_leg_mono1_j2k.dcm",
    "dx_dog_lateral_mono1.dcm", "mg_3voiluts_sigmoid_padding.dcm", "notchest_scout_abdomen.dcm",
    "sc_htj2k_lossless_rgb.dcm", "sc_palette_nopreamble.dcm", "sc_rgb_pt_breast.dcm", "sc_signed16_smpte.dcm",
)  # fmt: skip


def seen(pixels: np.ndarray) -> set[str]:
    notes = Notes()
    gate.look(np.ascontiguousarray(pixels), notes)
    return {warning.id for warning in notes.warnings}


def check_three_ways(pixels: np.ndarray) -> None:
    assert seen(pixels) == set()
    assert seen(255 - pixels) >= {"W-IMG-004"}
    assert seen(pixels[::-1]) == {"W-IMG-005"}


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL_CHESTS)
def test_a_real_chest_passes_and_its_inverse_and_its_upside_down_do_not(shared: Path, name: str) -> None:
    check_three_ways(read_radiograph(shared / "data" / "radiographs" / name).pixels)


def test_every_phantom_passes_and_its_inverse_and_its_upside_down_do_not(root: Path) -> None:
    phantoms = sorted((root / "examples").glob("*.dcm"))
    assert len(phantoms) >= 6
    for phantom in phantoms:
        check_three_ways(read_radiograph(phantom).pixels)


@pytest.mark.shared
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_frontal_chest_is_noticed(shared: Path, name: str) -> None:
    assert "W-IMG-006" in seen(read_radiograph(shared / "data" / "radiographs" / name).pixels)


def test_clipped_coarse_and_small_pictures_are_noticed() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    assert "W-IMG-007" in seen(np.minimum(ramp, 150))
    assert "W-IMG-008" in seen(ramp // 16)
    assert "W-IMG-003" in seen(ramp[:100])


def test_only_force_passes_an_icon() -> None:
    icon = np.arange(400, dtype=np.uint8).reshape(20, 20)
    with pytest.raises(InputRefused):
        gate.look(icon, Notes())
    notes = Notes(force=True)
    gate.look(icon, notes)
    assert notes.forced
