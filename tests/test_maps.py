"""Maps: where in a film the software's answer about a finding comes from, held against what was drawn."""

from __future__ import annotations

import json
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.demo import reference_films
from tests import trusted
from xraygpt_edge import XrayGPT, records
from xraygpt_edge.cli.app import run
from xraygpt_edge.errors import ExitCode
from xraygpt_edge.records import FindingMap, MapTrust
from xraygpt_edge.reports import map_pictures, outlines
from xraygpt_edge.trust import maps, panel, profile
from xraygpt_edge.trust.assess import assess
from xraygpt_edge.trust.mapping import Mapper
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


@pytest.mark.parametrize("n_image_tokens", [1, 32])
def test_a_fall_is_what_the_read_out_loses(model, phantom, n_image_tokens: int) -> None:
    image = model.encode(phantom)
    n_embd = image.embeddings.shape[1]
    image = replace(image, embeddings=RANDOM.normal(size=(n_image_tokens, n_embd)).astype(np.float32))
    covered = unchanged(image)
    covered.embeddings[3, 4, :, 7] -= 2
    weights = RANDOM.normal(size=(5, n_embd * min(2, n_image_tokens) + 1))
    fallen = maps.falls(image, covered, weights)
    np.testing.assert_allclose(fallen[:, 3, 4], 2 * weights[:, 7], rtol=1e-4, atol=1e-5)
    assert maps.best_window(np.abs(fallen[0])) == (3, 4)
    fallen[:, 3, 4] = 0
    assert not fallen.any()


def unchanged(image) -> Covered:
    """A film that no window matters to."""
    shape = (WINDOWS, WINDOWS, *image.embeddings.shape)
    return Covered(np.broadcast_to(image.embeddings, shape).copy())


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
    trust = assess(model, image, model.ask(image, panel.REPORT_REQUEST), found)
    several = replace(image, embeddings=np.repeat(image.embeddings, 32, axis=0))
    for unusable in (several, replace(image, model_view=None)):
        told = Mapper(model).with_maps(unusable, trust, found)
        assert (told.maps, told.failed) == (None, "E-TRU-010 (maps)")


def test_the_answer_about_the_example_comes_from_where_its_effusion_was_drawn(model, phantom, found) -> None:
    image = model.encode(phantom)  # an effusion on the patient's right, which is on the left of the film
    covered = maps.cover(model, image, found.mean_film)
    (drawn,) = maps.draw(model, image, covered, found, [5.0] * 13, [1])
    assert drawn.place == "effusion right"
    row, column = divmod(int(drawn.values.argmax()), GRID)
    assert row >= GRID // 2 > column
    assert drawn.z_covered < 5.0


def test_the_mean_film_is_a_mean_and_no_film(found: Profile, model, phantom) -> None:
    film = model.encode(phantom).model_view.astype(float)
    smooth, sharp = (np.abs(np.diff(picture.astype(float))).mean() for picture in (found.mean_film, film))
    assert smooth < sharp / 2
    assert found.mean_film.shape == film.shape


def test_the_mean_film_is_the_mean_of_the_reference_films_as_the_encoder_is_given_them(model) -> None:
    seeds = trusted.SEEDS[:3]
    mean = np.mean([reference_films.clean(seed) for seed in seeds], axis=0)
    np.testing.assert_array_equal(trusted.observe(model, seeds).mean_film, np.rint(mean).astype(np.uint8))


@pytest.mark.slow
@pytest.mark.export
def test_maps_reach_every_goal_but_the_one_that_the_page_names_and_those_of_broken_models_do_not(demo: Path) -> None:
    trust_maps = pytest.importorskip("export.trust_maps", reason="the export extra is not installed")
    with trusted.load(demo) as model:
        rows = trust_maps.evaluate(model, profile.find(model.parts.plan))
    goals = [(row, goal) for row, goal in rows if goal]
    assert len(goals) == len(trust_maps.GOALS)
    missed = ["best window turns yes into no"]  # as docs/trust.md says
    assert [row.name for row, goal in goals if not goal.met(row.figure)] == missed


# What is shown of them


def drawn(finding: str = "effusion right", *, shown: bool = True, **cells: float) -> FindingMap:
    """A map of 3 x 3 cells; cells: "r1c2" and so on, from 0."""
    values = tuple(tuple(cells.get(f"r{row}c{column}", 0.0) for column in range(3)) for row in range(3))
    return FindingMap(finding, values, 3.0, -1.0, shown)


def test_an_outline_goes_round_the_cells_at_half_the_maximum() -> None:
    found = outlines.outline(drawn(r1c1=4.0, r1c2=2.0, r0c0=1.9, r2c2=-9.0))
    assert found.area == "M1 1h2v1h-2z"
    sides = sorted(found.border.replace("M", "\n").split("\n")[1:])
    assert sides == ["1 1h1", "1 1v1", "1 2h1", "2 1h1", "2 2h1", "3 1v1"]


def test_a_map_that_falls_nowhere_has_no_outline() -> None:
    assert outlines.outline(drawn(r1c1=-1.0)) == outlines.Outline("effusion right", 3, "", "")


def test_of_a_record_s_maps_those_are_outlined_that_are_shown_and_whole() -> None:
    ragged = replace(drawn(), values=((1.0, 2.0), (1.0,)))
    maps_of = MapTrust("pad", 224, (drawn(r0c0=1.0), drawn("nodule", shown=False), ragged, replace(drawn(), values=())))
    assert [outline.finding for outline in outlines.outlines(maps_of)] == ["effusion right"]
    assert outlines.outlines(None) == []


def test_a_picture_of_a_map_shows_the_plain_film_beside_the_outlined_one(tmp_path: Path) -> None:
    view = RANDOM.integers(0, 255, (224, 224)).astype(np.uint8)
    shown = MapTrust("pad", 224, (drawn(r0c0=1.0), drawn("nodule", shown=False)))
    (path,) = map_pictures.write(tmp_path, "0a1b", view, shown, records.notice(demo=True))
    assert path.name == "0a1b-effusion-right.png"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    page = np.asarray(Image.open(path).convert("RGB")).astype(int)
    side = map_pictures.SIDE_PX
    plain, outlined = page[:side, :side], page[:side, -side:]
    np.testing.assert_array_equal(plain[..., 0], plain[..., 2])
    third = side // 3
    assert (outlined[: third - 9, : third - 9] != plain[: third - 9, : third - 9]).any(axis=2).mean() > 0.9
    np.testing.assert_array_equal(outlined[third + 9 :], plain[third + 9 :])


@pytest.mark.parametrize("finding", ["../../up", "a/b\0c", "=1+1\n", "x" * 400, "\u202eevil"])
def test_a_picture_of_a_map_is_named_by_letters_and_lies_in_its_folder(tmp_path: Path, finding: str) -> None:
    view, shown = np.zeros((224, 224), np.uint8), MapTrust("pad", 224, (drawn(finding, r0c0=1.0),))
    (path,) = map_pictures.write(tmp_path, "0a1b", view, shown, "")
    assert path.parent == tmp_path
    assert re.fullmatch(r"0a1b-[a-z0-9-]{1,60}\.png", path.name)


def test_an_answer_gets_maps_of_what_it_states_and_a_film_unlike_the_others_gets_none(model, phantom, found) -> None:
    image = model.encode(phantom)
    answer = model.ask(image, panel.REPORT_REQUEST)
    trust = assess(model, image, answer, found)
    assert trust.maps is None
    mapper = Mapper(model)
    mapped = mapper.with_maps(image, trust, found)
    assert [one.finding for one in mapped.maps.findings] == ["effusion right"]
    assert (mapped.maps.fit, mapped.maps.size_px) == ("pad", 224)
    assert mapped.maps.findings[0].shown
    assert replace(mapped, maps=None, seconds=0) == replace(trust, seconds=0)
    unlike = replace(trust, film=replace(trust.film, like=False))
    assert mapper.with_maps(image, unlike, found).maps is None
    assert mapper.with_maps(image, trust, None).failed == "E-TRU-006 (maps)"


def test_a_map_that_fails_is_a_line_and_never_a_failed_answer(model, phantom, found, monkeypatch) -> None:
    image = model.encode(phantom)
    trust = assess(model, image, model.ask(image, panel.REPORT_REQUEST), found)
    monkeypatch.setattr(model.parts, "encode", lambda *_: 1 / 0)
    assert Mapper(model).with_maps(image, trust, found).failed == "E-BUG-001 (maps)"


def test_a_map_that_is_no_number_is_a_line_and_never_shown(model, phantom, found, monkeypatch) -> None:
    image = model.encode(phantom)
    trust = assess(model, image, model.ask(image, panel.REPORT_REQUEST), found)
    monkeypatch.setattr(maps, "cover", lambda *_: unchanged(image))
    told = Mapper(model).with_maps(image, trust, replace(found, read_outs=found.read_outs * np.nan))
    assert (told.maps, told.failed) == (None, "E-RUN-031 (maps)")


# As a person asks for them


@pytest.fixture
def films(tmp_path: Path, root: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("phantom-1-effusion-right.dcm", "phantom-7-normal.dcm"):
        shutil.copy(root / "examples" / name, folder)
    return folder


def test_ask_draws_maps_beside_the_answer_and_changes_no_token(model, phantom, tmp_path, capfd) -> None:
    plain = model.ask(phantom, panel.REPORT_REQUEST)
    ask = ["ask", str(phantom), panel.REPORT_REQUEST, "--json", "--threads", "1"]
    assert run([*ask, "--map-out", str(tmp_path / "maps")]) == 0
    mapped = json.loads(capfd.readouterr().out)
    assert tuple(mapped["token_ids"]) == plain.token_ids
    (one,) = mapped["trust"]["maps"]["findings"]
    assert (one["finding"], one["shown"], len(one["values"])) == ("effusion right", True, GRID)
    (path,) = (tmp_path / "maps").iterdir()
    assert path.name == f"{plain.input.sha256[:12]}-effusion-right.png"


@pytest.mark.long
def test_a_batch_keeps_maps_and_its_reports_show_them_without_the_model_where_the_films_are_the_same(
    films: Path, tmp_path: Path
) -> None:
    out, pictures = tmp_path / "out", tmp_path / "pictures"
    assert run(["batch", str(films), "--out", str(out), "--map-out", str(pictures), "--quiet"]) == 0
    (first,) = pictures.iterdir()
    assert first.name.endswith("-effusion-right.png")
    assert run(["report", str(out), "--to", "maps", "--images", str(films), "--quiet"]) == 0
    (again,) = (out / "maps").iterdir()
    assert again.read_bytes() == first.read_bytes()
    page = ["report", str(out), "--to", "html", "--quiet"]
    assert run(page) == 0
    assert "Maps are drawn on a page with thumbnails: effusion right" in (out / "report.html").read_text("utf-8")
    assert run([*page, "--thumbnails", "--images", str(films)]) == 0
    shown = (out / "report.html").read_text("utf-8")
    assert shown.count("<figcaption>effusion right</figcaption>") == shown.count("<svg ") == 1
    assert "not where disease is" in shown
    changed = films / "phantom-1-effusion-right.dcm"
    changed.write_bytes(changed.read_bytes() + b"\0\0")
    again.unlink()
    assert run(["report", str(out), "--to", "maps", "--images", str(films), "--quiet"]) == ExitCode.PARTIAL
    assert not list((out / "maps").iterdir())
    assert run(["report", str(out), "--to", "maps"]) == 2


@pytest.mark.parametrize("more", [["--trust", "off"], ["--memory", "low"]])
def test_maps_that_cannot_be_drawn_are_refused_before_anything_is_asked(phantom, tmp_path, more, capfd) -> None:
    assert run(["ask", str(phantom), "findings?", "--map-out", str(tmp_path / "maps"), *more]) == 2
    said = capfd.readouterr()
    assert more[0] in said.err
    assert not said.out
    assert not (tmp_path / "maps").exists()


def test_pictures_of_maps_never_lie_among_the_radiographs(films: Path, tmp_path: Path, capfd) -> None:
    batch = ["batch", str(films), "--out", str(tmp_path / "out")]
    assert run([*batch, "--map-out", str(films / "maps")]) == 2
    assert "--map-out" in capfd.readouterr().err
    assert not (films / "maps").exists()
