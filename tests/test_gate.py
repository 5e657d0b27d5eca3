"""What the picture itself says: measured on drawn phantoms, on drawings of other things and on real files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.gate import drawings
from tests.test_cli import run
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging import gate
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.gate import classifier
from xraygpt_edge.imaging.gate.features import N_FEATURES, coarse, features, sampled
from xraygpt_edge.imaging.gate.look import WARNINGS
from xraygpt_edge.imaging.images import ReadOptions, read_bytes, read_radiograph

VIEW = {"E-IMG-030"}.union(*WARNINGS.values())
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
    notes = Notes(force=True)
    gate.look(np.ascontiguousarray(pixels), notes)
    return {warning.id for warning in notes.warnings}


def check_every_way_round(pixels: np.ndarray) -> None:
    assert seen(pixels) == set()
    assert seen(pixels[:, ::-1]) == set()
    assert seen(255 - pixels) & VIEW == {"W-IMG-004"}
    assert seen(pixels[::-1, ::-1]) == {"W-IMG-005"}
    assert seen(np.rot90(pixels)) == {"W-IMG-020"}
    assert seen(np.rot90(pixels, 3)) == {"W-IMG-020"}
    assert seen(np.concatenate([pixels, pixels], 1)) == {"W-IMG-021"}
    assert seen(np.concatenate([pixels, pixels])) == {"W-IMG-021"}


@pytest.fixture(scope="module")
def phantoms(root: Path) -> list[np.ndarray]:
    files = sorted((root / "examples").glob("*.dcm"))
    assert len(files) >= 6
    return [read_radiograph(file).pixels for file in files]


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL_CHESTS)
def test_a_real_chest_passes_and_is_named_when_inverted_turned_or_beside_another(shared: Path, name: str) -> None:
    check_every_way_round(read_radiograph(shared / "data" / "radiographs" / name).pixels)


def test_every_phantom_passes_and_is_named_when_inverted_turned_or_beside_another(phantoms: list[np.ndarray]) -> None:
    for phantom in phantoms:
        check_every_way_round(phantom)


def test_a_quarter_turn_is_never_called_inverted(phantoms: list[np.ndarray]) -> None:
    for pixels in (*phantoms, *(255 - phantom for phantom in phantoms)):
        for quarters in (1, 3):
            assert not seen(np.rot90(pixels, quarters)) & {"W-IMG-004", "W-IMG-005"}


@pytest.mark.shared
@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_frontal_chest_is_noticed(shared: Path, name: str) -> None:
    assert seen(read_radiograph(shared / "data" / "radiographs" / name, ReadOptions(force=True)).pixels) & VIEW


def test_a_picture_far_from_a_chest_is_refused_and_only_force_passes_it(tmp_path: Path) -> None:
    page = tmp_path / "page.png"
    Image.fromarray(drawings.paper(300, np.random.default_rng(0))).save(page)
    with pytest.raises(InputRefused) as refusal:
        read_bytes(page.read_bytes())
    assert refusal.value.error_id == "E-IMG-030"
    source = read_bytes(page.read_bytes(), ReadOptions(force=True)).radiograph.source
    assert source.forced
    assert "E-IMG-030" in {warning.id for warning in source.warnings}
    assert run("inspect", page).returncode == 4
    assert run("inspect", page, "--force").returncode == 0


@pytest.mark.parametrize("shape", [(300, 200), (96, 80)], ids=["smooth", "small"])
def test_a_picture_with_too_little_in_it_is_doubted_and_not_refused(shape: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, shape[0] * shape[1]).reshape(shape).astype(np.uint8)
    assert seen(ramp) & VIEW
    gate.require_chest(gate.look(ramp, Notes()), Notes())


def test_what_is_drawn_of_other_things_never_passes_in_silence() -> None:
    for draw in drawings.OTHERS:
        assert [seed for seed in range(12) if not seen(draw(256, np.random.default_rng((7, seed)))) & VIEW] == []


def test_inspect_prints_the_score(phantom: Path) -> None:
    done = run("inspect", phantom)
    assert "a good frontal chest film by log odds of +" in done.stdout


def test_clipped_flat_blurred_noisy_and_small_pictures_are_noticed(phantoms: list[np.ndarray]) -> None:
    film = phantoms[0]
    small = Image.fromarray(film).resize((32, 32), Image.Resampling.BOX)
    rng = np.random.default_rng(0)
    assert "W-IMG-007" in seen(np.minimum(film, np.percentile(film, 60).astype(np.uint8)))
    assert "W-IMG-028" in seen(np.maximum(film, np.percentile(film, 45).astype(np.uint8)))
    assert "W-IMG-008" in seen(film // 16)
    assert "W-IMG-029" in seen(film // 7 + 100)
    assert "W-IMG-026" in seen(np.asarray(small.resize((640, 640), Image.Resampling.BICUBIC)))
    assert "W-IMG-027" in seen(np.clip(film + rng.normal(0, 40, film.shape), 0, 255).astype(np.uint8))
    assert "W-IMG-003" in seen(film[::5, ::5])


def test_a_black_frame_is_not_called_under_exposed(phantoms: list[np.ndarray]) -> None:
    for film in phantoms:
        assert "W-IMG-028" not in seen(np.pad(film, 200))


def test_a_flat_picture_is_not_called_blurred(phantoms: list[np.ndarray]) -> None:
    assert "W-IMG-026" not in seen(phantoms[0] // 13 + 100)


def test_only_force_passes_an_icon() -> None:
    icon = np.arange(400, dtype=np.uint8).reshape(20, 20)
    with pytest.raises(InputRefused):
        gate.look(icon, Notes())
    notes = Notes(force=True)
    gate.look(icon, notes)
    assert notes.forced


def test_the_gate_takes_any_shape_and_gives_probabilities() -> None:
    rng = np.random.default_rng(0)
    for shape in ((32, 32), (33, 900), (900, 33), (64, 64), (257, 511), (1000, 300)):
        grid = coarse(sampled(rng.integers(0, 256, shape).astype(np.uint8)))
        assert grid.shape == (64, 64)
        assert features(grid[None]).shape == (1, N_FEATURES)
        total = np.exp(classifier.load().log_probabilities(grid[None])).sum()
        np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_weights_that_were_changed_or_are_gone_refuse_every_picture(tmp_path: Path, phantoms: list[np.ndarray]) -> None:
    for name in ("weights.npz", "weights.json"):
        shutil.copy(classifier.FOLDER / name, tmp_path)
    np.testing.assert_array_equal(classifier.load(tmp_path).hidden, classifier.load().hidden)
    whole = (tmp_path / "weights.npz").read_bytes()
    for place, damaged in enumerate((whole[:-9], whole[:5000] + b"!" + whole[5001:], b"", None)):
        folder = shutil.copytree(tmp_path, tmp_path / str(place))
        (folder / "weights.npz").unlink() if damaged is None else (folder / "weights.npz").write_bytes(damaged)
        with pytest.raises(InputRefused) as refusal:
            classifier.load(folder)
        assert refusal.value.error_id == "E-IMG-031"


def test_the_weights_are_small_and_carry_their_licence_and_figures() -> None:
    assert (classifier.FOLDER / "weights.npz").stat().st_size <= 100_000
    card = json.loads((classifier.FOLDER / "weights.json").read_text("utf-8"))
    licence = (classifier.FOLDER / "LICENCE.txt").read_text("utf-8")
    assert "CC BY-SA 4.0" in licence
    assert all(name.split(":")[0] in licence for name in card["sources"])


def test_the_papers_print_the_figures_that_were_measured_with_the_weights(root: Path) -> None:
    card = json.loads((classifier.FOLDER / "weights.json").read_text("utf-8"))
    page = (root / "docs" / "images.md").read_text("utf-8")
    rows = [row for table in card["figures"].values() for row in table]
    assert len(rows) > 30
    assert [row for row in rows if f"| {' | '.join(row)} |" not in page] == []


@pytest.mark.shared
def test_the_shipped_weights_keep_their_figures_on_the_pictures_they_learnt_from(shared: Path) -> None:
    """Every sixth: no proof of what they do elsewhere, which docs/images.md tells, but of what is shipped."""
    with np.load(shared / "data" / "gate" / "pictures.npz") as arrays:
        pixels, labels = arrays["pixels"][::6], arrays["label"][::6]
    doubted = {way: np.array([seen(turn(p)) - {"W-IMG-003"} for p in pixels]) for way, turn in WAYS.items()}
    frontal = labels == "frontal"
    assert np.mean([bool(found & VIEW) for found in doubted["as it is"][frontal]]) <= 0.02
    assert np.mean([bool(found & VIEW) for found in doubted["as it is"][~frontal]]) >= 0.99
    assert np.mean(["W-IMG-004" in found for found in doubted["inverted"][frontal]]) >= 0.99
    assert np.mean(["W-IMG-005" in found for found in doubted["half"][frontal]]) >= 0.99
    assert np.mean(["W-IMG-020" in found for found in doubted["quarter"][frontal]]) >= 0.99


WAYS = {"as it is": lambda p: p, "inverted": lambda p: 255 - p, "half": lambda p: p[::-1, ::-1], "quarter": np.rot90}
