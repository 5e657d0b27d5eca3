from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests import golden
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.pixels import (
    BitLayout,
    Census,
    Lut,
    Modality,
    Window,
    display_table,
    equalize,
    histogram,
    look_up,
    luma,
    mimic_table,
    stored_values,
)
from xraygpt_edge.imaging.values import plain


def census_of(words: np.ndarray, layout: BitLayout) -> Census:
    counts = histogram(words)
    return Census(stored_values(layout), counts, np.zeros(counts.shape, bool))


def test_equalizing_is_opencv_bit_for_bit() -> None:
    random = np.random.default_rng(1)
    for trial in range(300):
        shape = random.integers(1, 200, 2)
        low, high = sorted(random.integers(0, 256, 2))
        grey = random.integers(low, high + 1, shape).astype(np.uint8)
        if trial % 3 == 0:
            grey = np.minimum(grey, random.normal(high, 20, shape).clip(0, 255)).astype(np.uint8)
        np.testing.assert_array_equal(equalize(grey), cv2.equalizeHist(grey))


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("bits", "signed"), [(8, False), (10, False), (12, True), (14, False), (16, False), (16, True)]
)
def test_the_default_profile_is_the_training_recipe_bit_for_bit(bits, signed, inverted) -> None:
    random = np.random.default_rng(bits)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    values = random.integers(low, high + 1, (120, 77))
    layout = BitLayout(8 if bits == 8 else 16, bits, 0, signed)
    words = (values & 0xFFFF).astype(np.uint8 if bits == 8 else np.uint16)
    table = mimic_table(census_of(words, layout), inverted=inverted)
    np.testing.assert_array_equal(look_up(table, words), golden.mimic(values, inverted=inverted))


def test_values_above_the_stored_bits_are_masked_and_signs_extended() -> None:
    values = stored_values(BitLayout(16, 12, 0, signed=True))
    assert (values[0x0FFF], values[0xFFFF], values[0x07FF], values[0x0800]) == (-1, -1, 2047, -2048)
    assert stored_values(BitLayout(16, 12, 4))[0xABC7] == 0xABC


def test_windows_follow_the_three_functions_of_the_standard() -> None:
    values = np.array([0.0, 1000.0, 2048.0, 3000.0, 4096.0])
    linear = (values - 2047.5) / 2047 + 0.5
    np.testing.assert_allclose(Window(2048, 2048)(values), linear.clip(0, 1))
    np.testing.assert_allclose(Window(2048, 2048, "LINEAR_EXACT")(values), ((values - 2048) / 2048 + 0.5).clip(0, 1))
    np.testing.assert_allclose(Window(2048, 2048, "SIGMOID")(values), 1 / (1 + np.exp(-4 * (values - 2048) / 2048)))
    assert set(Window(2048, 1)(values)) == {0.0, 1.0}
    assert np.isfinite(Window(2048, 1e-5, "SIGMOID")(values)).all()


def test_a_table_clips_inputs_outside_it_and_keeps_all_of_its_entries() -> None:
    lut = Lut(-10, np.arange(4096) * 16)
    np.testing.assert_array_equal(lut(np.array([-500.0, -10.0, 0.0, 9999.0])), [0, 0, 160, 4095 * 16])


def test_display_without_a_window_shows_the_whole_range() -> None:
    words = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    shown = look_up(display_table(census_of(words, BitLayout(16, 16)), Modality(), None, inverted=True), words)
    assert (shown[0, 0], shown[-1, -1]) == (255, 0)


def test_a_falling_modality_transform_is_noticed() -> None:
    assert Modality(slope=-1.0).falls
    assert Modality(lut=Lut(0, np.array([9, 5, 1]))).falls
    assert not Modality(lut=Lut(0, np.array([1, 5, 9]))).falls


def test_luma_is_pillows() -> None:
    from PIL import Image

    rgb = np.random.default_rng(0).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    np.testing.assert_array_equal(luma(rgb), np.asarray(Image.fromarray(rgb).convert("L")))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_blank_picture_is_refused(dtype: type) -> None:
    nearly = np.full((100, 100), 7, dtype)
    nearly[0, 0] = 9
    for words in (np.full((100, 100), 7, dtype), nearly):
        with pytest.raises(InputRefused) as refusal:
            plain(words, "mimic-jpg")
        assert refusal.value.error_id == "E-IMG-010"
