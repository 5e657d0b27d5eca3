"""The demonstration model's answers depend on the image: asked through the public API about DICOM files.

300 phantoms from seeds that training never used, the encoder and the language model that the program takes by
itself. `make eval-demo` prints the same figures for every pipeline, PyTorch included.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.export]


@pytest.fixture(scope="module")
def scores(demo: Path):  # type: ignore[no-untyped-def]
    from export.demo.evaluation import score_bundle

    return score_bundle(demo, "ONNX int8 + quantized")


def test_reports_name_what_was_drawn_with_its_side(scores) -> None:
    assert scores.f1 >= 0.85


def test_yes_and_no_are_right_far_beyond_chance(scores) -> None:
    assert scores.yes_no >= 0.96


def test_with_the_images_exchanged_the_answers_know_nothing(scores) -> None:
    assert scores.f1_permuted <= 0.15
    assert 0.45 <= scores.yes_no_permuted <= 0.55


def test_with_the_image_mirrored_the_sides_in_the_text_swap(scores) -> None:
    assert scores.mirrored_f1 >= 0.8
    assert scores.mirrored_f1_unswapped <= 0.25


def test_training_profile_and_each_evaluation_have_phantoms_of_their_own() -> None:
    from export.demo import dicom_files, evaluation, reference_films, training

    sets = (
        *(training.VISION_SEEDS, training.FRESH_SEEDS, training.CHECK_SEEDS, evaluation.TEST_SEEDS),
        *(dicom_files.EXAMPLE_SEEDS, reference_films.PROFILE_SEEDS, reference_films.CLEAN_SEEDS),
        reference_films.BADLY_SEEN_SEEDS,
    )
    in_order = sorted(sets, key=lambda seeds: seeds.start)
    assert all(one.stop <= following.start for one, following in pairwise(in_order))
