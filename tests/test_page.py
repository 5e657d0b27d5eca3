"""The page of `serve` in a real browser: what a radiographer, a doctor and an attacker can and cannot do with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests import drawn_dicom
from tests.browsing import SIZES, answered, ask, choose, chromium, drop, give, link, pixels, visit
from tests.serving import Serving, serving
from xraygpt_edge.records import DEMO_NOTICE, NOTICE

pytestmark = pytest.mark.browser

USUAL = "Is there a pleural effusion?"
PAGE = {"entrance": ()}
PICTURE = "Chest radiograph"
ROWS, COLUMNS = 96, 80


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def server(demo: Path) -> Iterator[Serving]:
    with serving(demo, **PAGE) as found:
        yield found.wait_until_ready()


@pytest.fixture(scope="module")
def slow_server(demo: Path) -> Iterator[Serving]:
    """Without a model: it says the question again, word by word."""
    with serving(demo, "--queue", "1", module="tests.serving", **PAGE) as found:
        yield found.wait_until_ready()


@pytest.fixture
def page(browser: Browser, server: Serving) -> Iterator[Page]:
    with visit(browser, server) as found:
        yield found


@pytest.fixture
def slow_page(browser: Browser, slow_server: Serving) -> Iterator[Page]:
    with visit(browser, slow_server) as found:
        yield found


@pytest.fixture
def film(page: Page, phantom: Path) -> Page:
    choose(page, phantom)
    return page


@pytest.fixture
def slow_film(slow_page: Page, phantom: Path) -> Page:
    choose(slow_page, phantom)
    return slow_page


# A film, from the drop to the first words


def test_a_dropped_film_is_seen_and_one_click_asks_a_usual_question(page: Page, phantom: Path) -> None:
    drop(page, "NAME^OF^A^PATIENT.dcm", phantom.read_bytes())
    page.get_by_role("img", name=PICTURE).wait_for()
    page.get_by_role("group").get_by_role("button").get_by_text("effusion", exact=False).first.click()
    answered(page)
    said = page.locator(".answer .said").inner_text()
    assert "." in said
    expect(page.locator(".notices")).to_contain_text(NOTICE)
    expect(page.locator(".notices")).to_contain_text(DEMO_NOTICE)
    assert "NAME" not in page.content()
    assert "NAME" not in page.title()


def test_the_address_shows_no_token_and_never_changes(film: Page, server: Serving) -> None:
    addresses = {film.url}
    for name in ("About this computer", "Radiograph"):
        film.get_by_role("button", name=name, exact=True).click()
        addresses.add(film.url)
    assert addresses == {f"http://127.0.0.1:{server.port}/"}


def test_nothing_is_asked_of_the_model_before_a_person_asks(film: Page, server: Serving) -> None:
    assert film.locator(".turn").count() == 0
    assert server.get("/api/v1/status").json["queue"] == {"waiting": 0, "busy": False}


# The picture


@pytest.fixture
def ramp(page: Page, tmp_path: Path) -> Page:
    """A film whose values rise from left to right, so that a window can be read off the canvas."""
    values = np.tile(np.linspace(0, 4000, COLUMNS).astype(np.uint16), (ROWS, 1))
    values[:8, :8] = drawn_dicom.chest(8, 8)
    choose(page, drawn_dicom.write(tmp_path, values, PatientOrientation=["L", "F"], WindowCenter=2000, WindowWidth=2000))
    return page


def numbers(page: Page) -> tuple[float, float]:
    return tuple(float(page.get_by_label(name, exact=True).input_value()) for name in ("Level", "Width"))


def test_a_window_changes_by_preset_typing_slider_drag_and_keys(film: Page) -> None:
    picture = film.get_by_role("img", name=PICTURE)
    before, shown = numbers(film), pixels(film)
    film.get_by_label("Window", exact=True).select_option(label="Whole range")
    whole = numbers(film)
    film.get_by_label("Width", exact=True).fill(str(round(whole[1] / 4)))
    film.keyboard.press("Enter")
    assert numbers(film)[1] == pytest.approx(whole[1] / 4, abs=1)
    assert pixels(film) != shown
    slider = film.get_by_role("slider", name="Level: lower is brighter")
    slider.focus()
    film.keyboard.press("Home")
    darkest = sum(pixels(film))
    film.keyboard.press("End")
    assert sum(pixels(film)) < darkest
    film.get_by_role("button", name="Reset").click()
    assert numbers(film) == before
    assert pixels(film) == shown
    box = picture.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    film.mouse.move(x, y)
    film.mouse.down()
    film.mouse.move(x + 40, y + 30, steps=3)
    film.mouse.up()
    level, width = numbers(film)
    assert width >= before[1]
    assert (level, width) != before
    picture.focus()
    film.keyboard.press("Space")
    assert numbers(film) == before
    film.keyboard.press("Shift+ArrowLeft")
    assert numbers(film)[1] < before[1]
