"""Maps: where in a film the software's answer about a finding comes from, held against what was drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import trusted
from xraygpt_edge import XrayGPT
from xraygpt_edge.errors import UsageError
from xraygpt_edge.trust import maps, profile
from xraygpt_edge.trust.maps import GRID, WINDOWS, Covered, Map
from xraygpt_edge.trust.profile import Profile

RANDOM = np.random.default_rng(4)


@pytest.fixture(scope="module")
def model(demo: Path) -> Iterator[XrayGPT]:
    with trusted.load(demo) as model:
        yield model


@pytest.fixture(scope="module")
def found(model: XrayGPT) -> Profile:
    found = profile.find(model.parts.plan)
    assert found is not None
    return found


def test_each_window_is_covered_once_with_the_other_picture_and_nothing_else_changes() -> None:
    view, filling = np.zeros((224, 224), np.uint8), np.ones((224, 224), np.uint8)
    views = list(maps.covered_views(view, filling))
    assert len(views) == 169
    assert all(covered.sum() == 32 * 32 for covered in views)
    assert views[0][:32, :32].all()
    assert views[14][16:48, 16:48].all()
    assert views[-1][-32:, -32:].all()
    assert np.sum(views, axis=0).min() == 1
    assert not view.any()


def test_a_cell_has_the_mean_of_the_windows_over_it() -> None:
    windows = RANDOM.normal(size=(WINDOWS, WINDOWS))
    values = maps.spread(windows)
    assert values.shape == (GRID, GRID)
    assert values[0, 0] == pytest.approx(windows[0, 0])
    assert values[5, 9] == pytest.approx(windows[4:6, 8:10].mean())
    assert values[-1, 3] == pytest.approx(windows[-1, 2:4].mean())


def test_a_fall_is_what_the_read_out_loses(model, phantom) -> None:
    image = model.encode(phantom)
    covered = Covered(np.repeat(image.embeddings[None], 169, 0).reshape(WINDOWS, WINDOWS, 1, -1).copy())
    covered.embeddings[3, 4, 0, 7] -= 2
    weights = RANDOM.normal(size=(5, image.embeddings.shape[1] + 1))
    fallen = maps.falls(image, covered, weights)
    np.testing.assert_allclose(fallen[:, 3, 4], 2 * weights[:, 7], rtol=1e-5)
    assert maps.best_window(np.abs(fallen[0])) == (3, 4)
    fallen[:, 3, 4] = 0
    assert not fallen.any()


def test_the_read_out_is_the_panel_where_that_is_linear_in_the_embeddings() -> None:
    for n_films in (60, 400):
        features, weights = RANDOM.normal(size=(n_films, 80)), RANDOM.normal(size=(80, 3))
        found = maps.read_outs(features, features @ weights + 5)
        told = features @ found[:, :-1].T + found[:, -1]
        assert np.corrcoef(told.ravel(), (features @ weights + 5).ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("z", "z_covered", "shown"),
    [(5.0, 3.9, True), (5.0, 4.5, False), (0.8, 0.3, True), (0.8, 0.7, False), (-2.0, -2.5, False), (-2.0, -3.1, True)],
)
def test_a_map_is_borne_out_where_the_model_s_own_answer_falls_by_one_or_by_half(z, z_covered, shown) -> None:
    assert Map("", np.zeros((GRID, GRID)), (0, 0), z, z_covered).is_borne_out == shown


def test_maps_of_models_that_nobody_has_measured_are_refused_by_name(model, phantom, found) -> None:
    image = model.encode(phantom)
    several = replace(image, embeddings=np.repeat(image.embeddings, 32, axis=0))
    for unusable in (several, replace(image, model_view=None)):
        with pytest.raises(UsageError) as refused:
            maps.cover(model, unusable, found.mean_film)
        assert refused.value.error_id == "E-TRU-010"


def test_the_answer_about_the_example_comes_from_where_its_effusion_was_drawn(model, phantom, found) -> None:
    image = model.encode(phantom)  # an effusion on the patient's right, which is on the left of the film
    (drawn,) = maps.draw(model, image, found, [5.0] * 13, [1])
    assert drawn.place == "effusion right"
    row, column = divmod(int(drawn.values.argmax()), GRID)
    assert row >= GRID // 2 > column
    assert drawn.z_covered < 5.0
    np.testing.assert_array_equal(drawn.values, maps.draw(model, image, found, [5.0] * 13, [1])[0].values)


def test_the_mean_film_is_a_mean_and_no_film(found: Profile, model, phantom) -> None:
    film = model.encode(phantom).model_view.astype(float)
    smooth, sharp = (np.abs(np.diff(picture.astype(float))).mean() for picture in (found.mean_film, film))
    assert smooth < sharp / 2
    assert found.mean_film.shape == film.shape


@pytest.mark.slow
@pytest.mark.export
def test_maps_point_at_what_was_drawn_and_those_of_broken_models_do_not(demo: Path) -> None:
    trust_maps = pytest.importorskip("export.trust_maps", reason="the export extra is not installed")
    with trusted.load(demo) as model:
        rows = trust_maps.evaluate(model, profile.find(model.parts.plan))
    goals = [(row, goal) for row, goal in rows if goal]
    assert len(goals) == len(trust_maps.GOALS)
    assert [f"{row.name}: {row.figure}" for row, goal in goals if not goal.met(row.figure)] == []
