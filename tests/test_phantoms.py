"""The drawn phantoms: the same from a seed, true to what they claim to show, and right as DICOM files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from export.demo.dicom_files import DX, PACKINGS, Packing, write_examples, write_phantom
from export.demo.findings import LABELS, PLACED_LABELS, Case, mirrored, sample_case
from export.demo.phantoms import draw, places
from export.demo.pictures import label_table, picture
from xraygpt_edge.imaging.images import read_radiograph

SIDED = [
    Case(7, effusion=("large", "")),
    Case(8, effusion=("", "small")),
    Case(9, pneumothorax=("small", "")),
    Case(10, pneumothorax=("", "large")),
    Case(11, consolidation=("patchy", "", "", "")),
    Case(12, consolidation=("", "dense", "", "")),
    Case(13, consolidation=("", "", "dense", "")),
    Case(14, consolidation=("", "", "", "patchy")),
    Case(15, nodule=("upper", "")),
    Case(16, nodule=("", "lower")),
]
UNSIDED = [Case(17, heart="mild"), Case(18, heart="marked"), Case(19, oedema="mild"), Case(20, device="left")]


def change(case: Case, size_px: int = 256) -> np.ndarray:
    """How much drawing the findings changes each pixel of the same person's normal film."""
    return np.abs(draw(case, size_px).astype(int) - draw(Case(case.seed), size_px).astype(int))


def test_a_seed_always_gives_the_same_case_and_the_same_film() -> None:
    assert sample_case(5) == sample_case(5)
    assert np.array_equal(draw(sample_case(5)), draw(sample_case(5)))


def test_two_seeds_give_two_different_films() -> None:
    assert not np.array_equal(draw(Case(1)), draw(Case(2)))


def test_a_film_holds_twelve_bits_and_uses_most_of_them() -> None:
    for seed in range(5):
        film = draw(sample_case(seed))
        assert film.dtype == np.uint16
        assert film.max() <= 4095
        assert int(film.max()) - int(film.min()) > 2000


@pytest.mark.parametrize("seed", range(3))
def test_a_film_looks_the_same_at_every_size(seed: int) -> None:
    case = sample_case(seed)
    small, large = draw(case, 256).astype(float), draw(case, 512).astype(float)
    halved = large.reshape(256, 2, 256, 2).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), halved.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("case", SIDED, ids=lambda case: next(iter(case.labels)))
def test_a_finding_of_the_right_side_is_drawn_on_the_left_of_the_film(case: Case) -> None:
    changed = change(case)
    left, right = changed[:, :128].sum(), changed[:, 128:].sum()
    (label,) = case.labels
    share = left / (left + right)
    assert share > 0.85 if "right" in label else share < 0.15


@pytest.mark.parametrize("case", SIDED, ids=lambda case: next(iter(case.labels)))
def test_the_place_map_points_to_where_the_film_changes(case: Case) -> None:
    (label,) = case.labels
    where = places(case)
    assert where.any(axis=(0, 1)).tolist() == [name == label for name in PLACED_LABELS]
    shown = where[..., PLACED_LABELS.index(label)].repeat(16, 0).repeat(16, 1)
    changed = change(case, 224)
    assert changed[shown].mean() > 5 * changed[~shown].mean()


@pytest.mark.parametrize("case", UNSIDED, ids=lambda case: next(iter(case.labels)))
def test_findings_without_a_side_change_the_film_too(case: Case) -> None:
    changed = change(case)
    assert (changed > 150).mean() > 0.005


def test_a_zone_says_how_high_a_finding_lies() -> None:
    rows = np.arange(256)[:, None]
    upper, lower = change(Case(3, nodule=("upper", ""))), change(Case(3, nodule=("lower", "")))
    assert (rows * upper).sum() / upper.sum() + 30 < (rows * lower).sum() / lower.sum()


def test_every_finding_is_common_enough_to_learn_and_rare_enough_to_miss() -> None:
    cases = [sample_case(seed) for seed in range(40_000_000, 40_003_000)]
    share = label_table(cases).mean(0)
    assert (share > 0.07).all()
    assert (share < 0.15).all()
    assert 0.14 < np.mean([not case.labels for case in cases]) < 0.25


def test_no_finding_is_hidden_behind_another() -> None:
    for case in map(sample_case, range(3000)):
        for side in (0, 1):
            zones = case.consolidation[2 * side : 2 * side + 2]
            if case.pneumothorax[side]:
                assert not case.effusion[side] + zones[0] + zones[1] + case.nodule[side]
            if case.effusion[side]:
                assert not zones[1]
                assert case.nodule[side] != "lower"
            if case.nodule[side]:
                assert not zones[0 if case.nodule[side] == "upper" else 1]


def test_mirroring_a_case_swaps_the_sides_and_nothing_else() -> None:
    for case in map(sample_case, range(200)):
        swap = {"right": "left", "left": "right"}
        swapped = {" ".join(swap.get(word, word) for word in label.split()) for label in case.labels}
        assert mirrored(case).labels == swapped
        assert mirrored(mirrored(case)) == case


def test_the_label_table_has_a_column_for_each_label() -> None:
    case = Case(0, heart="mild", nodule=("", "upper"))
    assert [LABELS[i] for i in np.flatnonzero(label_table([case])[0])] == ["cardiomegaly", "nodule left"]


@pytest.mark.parametrize("packing", PACKINGS[:4], ids=["plain", "monochrome1", "jpeg2000", "rle"])
def test_the_program_reads_a_phantom_as_the_model_was_trained_on_it(packing: Packing, tmp_path: Path) -> None:
    case = Case(21, effusion=("moderate", ""))
    write_phantom(tmp_path / "a.dcm", case, packing)
    film = draw(case)
    read = read_radiograph(tmp_path / "a.dcm").pixels
    assert read.shape == film.shape
    if packing.monochrome1:
        # Inverting after the cut to whole numbers moves a grey level by one, equalisation a little further.
        assert np.abs(picture_of(read).astype(int) - picture(film)).mean() < 3
    else:
        assert np.array_equal(picture_of(read), picture(film))


def picture_of(grey: np.ndarray) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(grey).resize((224, 224), Image.Resampling.BICUBIC))


def test_an_eight_bit_phantom_is_nearly_the_same_picture(tmp_path: Path) -> None:
    write_phantom(tmp_path / "a.dcm", Case(21), PACKINGS[4])
    read = picture_of(read_radiograph(tmp_path / "a.dcm").pixels).astype(int)
    assert np.abs(read - picture(draw(Case(21)))).mean() < 3


def test_a_phantom_file_has_complete_headers_and_nobody_in_them(tmp_path: Path) -> None:
    write_phantom(tmp_path / "a.dcm", Case(22))
    file = pydicom.dcmread(tmp_path / "a.dcm")
    assert file.PatientName == "PHANTOM^22"
    assert (file.ViewPosition, file.BodyPartExamined) == ("PA", "CHEST")
    assert list(file.PatientOrientation) == ["L", "F"]
    assert (file.BitsStored, file.HighBit, file.BitsAllocated) == (12, 11, 16)
    assert (file.WindowCenter, file.WindowWidth) == (2048, 4096)
    assert file.PresentationLUTShape == "IDENTITY"
    assert file.SOPInstanceUID == file.file_meta.MediaStorageSOPInstanceUID
    assert file.SOPInstanceUID.startswith("2.25.")


@pytest.mark.parametrize("packing", [DX, replace(DX, monochrome1=True)], ids=["monochrome2", "monochrome1"])
def test_the_same_phantom_is_the_same_file_every_time(packing: Packing, tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm"):
        write_phantom(tmp_path / name, Case(23), packing)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()


def test_the_examples_hold_what_their_readme_says(root: Path, tmp_path: Path) -> None:
    write_examples(tmp_path)
    kept = root / "examples"
    assert (kept / "README.md").read_text("utf-8") == (tmp_path / "README.md").read_text("utf-8")
    names = sorted(path.name for path in tmp_path.glob("*.dcm"))
    assert names == sorted(path.name for path in kept.glob("*.dcm"))
    for name in names:
        ours, again = (pydicom.dcmread(folder / name) for folder in (kept, tmp_path))
        # Another CPU may round a grey value the other way.
        assert np.abs(ours.pixel_array.astype(int) - again.pixel_array).max() <= 1
        assert ours.PatientID == again.PatientID
