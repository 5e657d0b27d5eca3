"""The page's Folder place in a real browser: dropped, listed, asked, looked at, taken away, gone on with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browsing import SIZES, answered, ask, axe, choose, tab_to, too_small, visit
from tests.serving import Serving, serving
from tests.tiny import write_bundle

pytestmark = [pytest.mark.long, pytest.mark.browser]

FOLDER = "Radiographs of the folder"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A word every 20 ms; `repeat 5 cat` says cat five times, anything else is said once."""
    bundle = write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    with serving(bundle, "--parallel", "2", module="tests.serving", entrance="--no-browser") as found:
        yield found.wait_until_ready()


@pytest.fixture
def page(browser: Browser, server: Serving) -> Iterator[Page]:
    with visit(browser, server) as found:
        yield found
    for run in server.get("/api/v1/runs").json["runs"]:
        server.request("DELETE", f"/api/v1/runs/{run['id']}")


@pytest.fixture(scope="module")
def films(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three radiographs, one file that is meant as one, and three that are left out."""
    folder = tmp_path_factory.mktemp("films") / "Thorax"
    folder.mkdir()
    for number, film in enumerate(sorted((root / "examples").glob("*.dcm"))[:3], 1):
        shutil.copy(film, folder / f"film {number}.dcm")
    (folder / "broken.dcm").write_bytes(b"no radiograph")
    (folder / "notes.txt").write_text("It's a note")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "1.dcm").write_bytes(b"")
    (folder / "scan").write_bytes(b"\0\0\0\x18ftypheic" + bytes(32))
    return folder


def listed(page: Page, films: Path) -> None:
    page.get_by_role("button", name="Folder", exact=True).click()
    page.locator("input[webkitdirectory]").set_input_files(films)
    expect(page.get_by_role("heading", name="What is in it")).to_be_visible()


def started(page: Page, *questions: str) -> None:
    page.get_by_role("button", name="Remove: ").click()
    for question in questions:
        page.get_by_label("Or one of your own").fill(question)
        page.keyboard.press("Enter")
    page.get_by_role("button", name="Ask about").click()


def names(page: Page) -> list[str]:
    return page.locator(".films tbody th").all_inner_texts()


def complete(page: Page) -> None:
    expect(page.get_by_text("complete", exact=True)).to_be_visible()


def test_a_folder_is_listed_asked_searched_opened_and_saved(page: Page, films: Path) -> None:
    listed(page, films)
    expect(page.locator(".large")).to_have_text("4 radiographs")
    reasons = page.locator(".reasons li").all_inner_texts()
    assert sorted(reasons) == ["1 hidden", "1 not an image", "1 not read: HEIC"]
    expect(page.locator(".command pre")).to_contain_text("xraygpt-edge batch Thorax")
    started(page, "It's clear.", "Why?")
    complete(page)
    assert names(page) == ["Thorax/broken.dcm", *(f"Thorax/film {n}.dcm" for n in (1, 2, 3))]
    expect(page.locator(".films tr.ok .text").first).to_have_text("It's clear.")
    page.get_by_role("button", name="Failed").click()
    assert names(page) == ["Thorax/broken.dcm"]
    page.get_by_role("button", name="All").click()
    page.get_by_label("Search names and answers").fill("film 2")
    assert names(page) == ["Thorax/film 2.dcm"]
    page.get_by_label("Search names and answers").fill("")
    page.get_by_role("button", name="Name").click(click_count=2)
    assert names(page)[0] == "Thorax/film 3.dcm"
    page.get_by_role("button", name="Thorax/film 3.dcm").click()
    answered(page, 2)
    assert page.locator(".question").all_inner_texts() == ["Question:\nIt's clear.", "Question:\nWhy?"]
    page.get_by_role("button", name="Folder", exact=True).click()
    page.get_by_text("Save as").click()
    with page.expect_download() as coming:
        page.get_by_role("button", name="CSV table").click()
    assert coming.value.path().read_bytes().count(b"\r\n") == 1 + 4 * 2


def test_several_dropped_files_are_a_folder_after_one_question(page: Page, films: Path) -> None:
    give_two(page, films)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    give_two(page, films)
    page.get_by_role("button", name="List them").click()
    expect(page.locator(".large")).to_have_text("2 radiographs")


@pytest.mark.slow
def test_a_run_is_paused_stopped_and_gone_on_with_without_sending_anything_twice(page: Page, films: Path) -> None:
    sent: list[str] = []

    def note(request: Request) -> None:
        if request.method == "PUT" and request.post_data_buffer:
            sent.append(request.url)

    listed(page, films)
    page.on("request", note)
    started(page, "repeat 300 cat")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused: what was begun")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    page.locator("tr.ok").nth(0).wait_for()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("stopped; drop the folder again")).to_be_visible()
    page.get_by_role("button", name="Another folder").click()
    listed(page, films)
    sent.clear()
    started(page, "repeat 300 cat")
    complete(page)
    n_known = page.locator("tr.ok .state", has_text="known").count()
    assert (n_known >= 1, len(sent)) == (True, 4 - n_known)
    page.reload()
    expect(page.get_by_text("complete", exact=True)).to_be_visible()
    assert names(page)[0] == "File 1"  # the names were in the page alone


def test_a_person_asks_while_a_folder_is_answered(page: Page, films: Path) -> None:
    listed(page, films)
    started(page, "repeat 400 cat")
    page.locator("tr.answering").first.wait_for()
    page.get_by_role("button", name="Radiograph", exact=True).click()
    choose(page, films / "film 1.dcm")
    ask(page, "hello")
    answered(page)
    page.get_by_role("button", name="Folder", exact=True).click()
    expect(page.locator("tr.answering").first).to_be_visible()
    page.get_by_role("button", name="Stop").click()


OFTEN = [("phone", "light"), ("desk", "dark")]
SELDOM = [(size, scheme) for size in SIZES for scheme in ("dark", "light") if (size, scheme) not in OFTEN]


@pytest.mark.parametrize(
    ("size", "scheme"), [*OFTEN, *(pytest.param(*each, marks=pytest.mark.slow) for each in SELDOM)]
)
def test_axe_finds_nothing_in_a_folder_and_nothing_scrolls_sideways(
    browser: Browser, server: Serving, films: Path, size: str, scheme: str
) -> None:
    def opened() -> None:
        for summary in page.locator(".prepare details > summary").all():
            summary.click()

    with visit(browser, server, size=SIZES[size], color_scheme=scheme) as page:
        states = {
            "empty": page.get_by_role("button", name="Folder", exact=True).click,
            "listed": lambda: listed(page, films),
            "opened": opened,
            "going": lambda: started(page, "repeat 9 " + "very_long_words" * 9),
            "ended": lambda: complete(page),
        }
        for state, reach in states.items():
            reach()
            assert axe(page) == [], state
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state
        page.get_by_role("button", name="Forget this run").click()
        expect(page.get_by_role("button", name="Choose a folder")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "scheme"), [("phone", "dark"), ("phone", "light"), ("desk", "dark"), ("desk", "light")]
)
def test_axe_finds_nothing_in_what_seldom_happens_to_a_folder(
    browser: Browser, server: Serving, films: Path, size: str, scheme: str
) -> None:
    with visit(browser, server, size=SIZES[size], color_scheme=scheme) as page:

        def button(name: str) -> None:
            page.get_by_role("button", name=name).first.click()

        def without_a_question() -> None:
            button("Cancel")
            listed(page, films)
            button("Remove: ")

        def paused() -> None:
            page.get_by_label("Or one of your own").fill("repeat 100 cat")
            page.keyboard.press("Enter")
            button("Ask about")
            page.locator("tr.ok, tr.failed").first.wait_for()
            button("Pause")

        def explained() -> None:
            page.get_by_label("Search names and answers").fill("")
            button("Failed")
            button("E-IMG")

        def stopped() -> None:
            button("Close")
            button("Stop")
            expect(page.get_by_text("stopped; drop the folder again")).to_be_visible()

        def loaded_again() -> None:
            button("Show")
            page.reload()
            expect(page.get_by_text("Drop the same folder again")).to_be_visible()

        states = {
            "several files": lambda: give_two(page, films),
            "without a question": without_a_question,
            "paused": paused,
            "nothing found": lambda: page.get_by_label("Search names and answers").fill("nobody"),
            "explained": explained,
            "stopped": stopped,
            "saving": page.get_by_text("Save as").click,
            "earlier runs": lambda: (page.keyboard.press("Escape"), button("Another folder")),
            "loaded again": loaded_again,
        }
        for state, reach in states.items():
            reach()
            assert axe(page) == [], state
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state


def give_two(page: Page, films: Path) -> None:
    page.locator("input[type=file]").first.set_input_files([films / "film 1.dcm", films / "film 2.dcm"])
    expect(page.get_by_role("dialog")).to_be_visible()


def press(page: Page, name: str) -> None:
    tab_to(page, name)
    page.keyboard.press("Enter")


@pytest.mark.slow
def test_a_folder_by_keyboard_alone(page: Page, films: Path) -> None:
    press(page, "Folder")
    with page.expect_file_chooser() as coming:
        press(page, "Choose a folder")
    coming.value.set_files(films)
    expect(page.get_by_role("heading", name="What is in it")).to_be_visible()
    page.get_by_role("button", name="Remove: ").focus()
    page.keyboard.press("Enter")
    tab_to(page, "Or one of your own")
    page.keyboard.type("Is it clear?")
    page.keyboard.press("Enter")
    press(page, "Ask about 4 radiographs")
    complete(page)
    press(page, "Failed 1")
    assert names(page) == ["Thorax/broken.dcm"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    tab_to(page, "Search names and answers")
    page.keyboard.type("film 2")
    press(page, "Thorax/film 2.dcm")
    answered(page)
    press(page, "Folder")
    press(page, "Save as")
    with page.expect_download() as saved:
        press(page, "CSV table")
    assert saved.value.path().read_bytes().count(b"\r\n") == 1 + 4


@pytest.mark.slow
def test_a_folder_by_touch(browser: Browser, server: Serving, films: Path) -> None:
    with visit(browser, server, size=(390, 844), has_touch=True, is_mobile=True) as page:

        def tap(name: str) -> None:
            assert too_small(page) == []
            page.get_by_role("button", name=name).first.tap()

        tap("Folder")
        page.locator("input[webkitdirectory]").set_input_files(films)
        expect(page.get_by_role("heading", name="What is in it")).to_be_visible()
        tap("Ask about 4 radiographs")
        complete(page)
        tap("Failed")
        assert names(page) == ["Thorax/broken.dcm"]
        tap("All")
        tap("Thorax/film 1.dcm")
        answered(page)
        tap("Folder")
        page.get_by_text("Save as").tap()
        with page.expect_download() as saved:
            tap("CSV table")
        assert saved.value.path().read_bytes()
        tap("Forget this run")
        expect(page.get_by_role("button", name="Choose a folder")).to_be_visible()
