"""What a viewer gets: the picture's values, the windows for them, and which side is which."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from tests.drawn_dicom import as_bytes, chest, dataset
from xraygpt_edge.imaging.images import ReadOptions, read_bytes
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.values import Range, Shown

VALUES = chest(256, 240)


def shown(ds: Dataset, max_px: int = 4096) -> Shown:
    found = read_bytes(as_bytes(ds), ReadOptions(frame=None), max_px).shown
    assert found is not None
    return found


def restored(found: Shown) -> np.ndarray:
    """Samples as the numbers that they mean."""
    return found.presentation.scale.low + found.samples / 65535 * (
        found.presentation.scale.high - found.presentation.scale.low
    )


def windowed(found: Shown, window: Range) -> np.ndarray:
    """As a page draws it: 0 to 255."""
    return np.clip((restored(found) - window.low) / (window.high - window.low), 0, 1) * 255


def voi_table(first: int, entries: np.ndarray) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, 16])
    item.add_new("LUTData", "US", [int(each) for each in entries])
    return [item]


RISING = np.rint(4000 * (np.arange(4096) / 4095) ** 2).astype(int)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"WindowCenter": 1800, "WindowWidth": 2600},
        {"WindowCenter": [1800, 900], "WindowWidth": [2600, 1500], "VOILUTFunction": "LINEAR_EXACT"},
        {"RescaleSlope": 0.5, "RescaleIntercept": -1024, "WindowCenter": 0, "WindowWidth": 1200},
        {"RescaleSlope": -1, "RescaleIntercept": 4095, "WindowCenter": 2000, "WindowWidth": 3000},
        {"PixelPaddingValue": 0},
        {"VOILUTSequence": voi_table(0, RISING)},
        {"VOILUTSequence": voi_table(0, RISING), "WindowCenter": 1800, "WindowWidth": 2600},
        {"WindowCenter": 90000, "WindowWidth": 10},
        {"PatientOrientation": ["R", "H"], "PixelSpacing": [0.2, 0.1]},
    ],
)
def test_the_first_window_draws_what_the_profile_display_shows(fields: dict[str, object], photometric: str) -> None:
    ds = dataset(VALUES, PhotometricInterpretation=photometric, **fields)
    found = shown(ds)
    display = read_bytes(as_bytes(ds), ReadOptions("display")).radiograph.pixels
    assert found.samples.shape == display.shape == (found.presentation.rows, found.presentation.columns)
    tolerance = 4 if "PixelSpacing" in fields else 0.75  # stretched before or behind the window
    assert np.abs(windowed(found, found.presentation.scale.windows[0]) - display).max() <= tolerance


def test_values_are_rescaled_and_exact() -> None:
    found = shown(dataset(VALUES, RescaleSlope=2, RescaleIntercept=-1000))
    assert (found.presentation.scale.low, found.presentation.scale.high) == (
        VALUES.min() * 2 - 1000,
        VALUES.max() * 2 - 1000,
    )
    np.testing.assert_allclose(restored(found), VALUES * 2 - 1000, atol=0.07)


def test_bone_is_bright_also_where_the_file_stores_it_dark() -> None:
    dark = shown(dataset(4095 - VALUES, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(dark.samples, shown(dataset(VALUES)).samples)


def test_every_window_of_the_file_that_shows_something_is_offered_then_all_then_the_middle() -> None:
    found = shown(dataset(VALUES, WindowCenter=[1800, 90000, 900], WindowWidth=[2601, 10, 1501]))
    names = [window.name for window in found.presentation.scale.windows]
    assert names == ["file 1", "file 2", "all", "middle 98 %"]
    assert found.presentation.scale.windows[0] == Range("file 1", 1800 - 0.5 - 1300, 1800 - 0.5 + 1300)
    middle = found.presentation.scale.windows[-1]
    assert np.mean(np.clip(VALUES, middle.low, middle.high) == VALUES) == pytest.approx(0.98, abs=0.01)


def test_a_table_takes_the_place_of_the_windows() -> None:
    found = shown(dataset(VALUES, VOILUTSequence=voi_table(0, RISING), WindowCenter=1800, WindowWidth=2600))
    assert [window.name for window in found.presentation.scale.windows] == ["file table", "all", "middle 98 %"]
    np.testing.assert_allclose(restored(found), RISING[VALUES], atol=0.04)


@pytest.mark.parametrize("slope", ["1e308", "-9e307", "1e-320"])
def test_a_transform_that_leaves_no_numbers_apart_is_not_applied(slope: str) -> None:
    found = shown(dataset(VALUES, RescaleSlope=slope, RescaleIntercept="1e300"))
    assert (found.presentation.scale.low, found.presentation.scale.high) == (VALUES.min(), VALUES.max())


@pytest.mark.parametrize(
    ("orientation", "side"),
    [(None, "not stated"), (["L", "F"], "stated"), (["R", "F"], "stated"), (["A", "F"], "not stated")],
)
def test_sides_are_stated_only_by_a_frontal_orientation(orientation: list[str] | None, side: str) -> None:
    fields = {} if orientation is None else {"PatientOrientation": orientation}
    assert shown(dataset(VALUES, **fields)).presentation.side == side


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_file_states_no_side_and_is_shown_as_it_is(dtype: type) -> None:
    stream = io.BytesIO()
    Image.fromarray((VALUES // 16 if dtype == np.uint8 else VALUES).astype(dtype)).save(stream, "PNG")
    found = read_bytes(stream.getvalue(), ReadOptions(), 4096).shown
    display = read_bytes(stream.getvalue(), ReadOptions("display")).radiograph.pixels
    assert found is not None
    assert found.presentation.side == "not stated"
    assert found.presentation.scale.windows[0].name == ("as stored" if dtype == np.uint8 else "all")
    assert np.abs(windowed(found, found.presentation.scale.windows[0]) - display).max() <= 0.75


def test_a_smaller_picture_is_the_mean_of_the_larger_one_and_keeps_the_scale() -> None:
    whole, half = shown(dataset(VALUES)), shown(dataset(VALUES), 128)
    assert half.samples.shape == (128, 120)
    assert half.presentation == whole.presentation
    means = whole.samples.reshape(128, 2, 120, 2).mean((1, 3))
    assert np.abs(half.samples - means).max() <= 1


def test_the_isolated_reader_gives_the_same_and_nothing_where_nothing_is_wanted() -> None:
    data = as_bytes(dataset(VALUES, PatientOrientation=["L", "F"], WindowCenter=1800, WindowWidth=2600))
    here = read_bytes(data, shown_px=100)
    with Reader() as reader:
        there = reader.read_with_account(data, shown_px=100)
        assert reader.read_with_account(data).shown is None
    assert here.shown is not None
    assert there.shown is not None
    np.testing.assert_array_equal(there.shown.samples, here.shown.samples)
    assert (there.shown.presentation, there.steps) == (here.shown.presentation, here.steps)
    np.testing.assert_array_equal(there.radiograph.pixels, here.radiograph.pixels)
