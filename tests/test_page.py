"""The page of `serve` in a real browser: what a radiographer, a doctor and an attacker can and cannot do with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests import drawn_dicom
from tests.browsing import (
    SIZES,
    answered,
    ask,
    axe,
    choose,
    drop,
    give,
    link,
    open_page,
    pixels,
    tab_to,
    too_small,
    visit,
)
from tests.payloads import HTML
from tests.serving import Serving, serving
from tests.test_questions import QUESTIONS
from tests.tiny import TEMPLATES, write_bundle
from xraygpt_edge.records import DEMO_NOTICE, NOTICE

pytestmark = pytest.mark.browser

PAGE = {"entrance": "--no-browser"}
PICTURE = "Chest radiograph"
DESCRIBE = "Describe the given chest x-ray image in detail."
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def server(demo: Path) -> Iterator[Serving]:
    with serving(demo, **PAGE) as found:
        yield found.wait_until_ready()


@pytest.fixture(scope="module")
def slow_server(demo: Path) -> Iterator[Serving]:
    """Without a model: it says `repeat 5 cat` as such, a word every 20 ms, and anything else once."""
    with serving(demo, "--queue", "1", module="tests.serving", **PAGE) as found:
        yield found.wait_until_ready()


@pytest.fixture(scope="module")
def named_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """With a question that takes the reason for the exam."""
    prompt = {"default": "demo", "stop": ["###"], "templates": TEMPLATES, "questions": QUESTIONS}
    bundle = write_bundle(tmp_path_factory.mktemp("named") / "tiny", prompt=prompt)
    with serving(bundle, module="tests.serving", **PAGE) as found:
        yield found.wait_until_ready()


@pytest.fixture
def page(browser: Browser, server: Serving) -> Iterator[Page]:
    with visit(browser, server) as found:
        yield found


@pytest.fixture
def film(page: Page, phantom: Path) -> Page:
    choose(page, phantom)
    return page


@pytest.fixture
def slow_film(browser: Browser, slow_server: Serving, phantom: Path) -> Iterator[Page]:
    with visit(browser, slow_server) as found:
        choose(found, phantom)
        yield found


# From the drop to the first words


def test_a_dropped_film_is_seen_and_one_click_asks_a_usual_question(page: Page, phantom: Path) -> None:
    drop(page, "NAME^OF^A^PATIENT.dcm", phantom.read_bytes())
    page.get_by_role("img", name=PICTURE).wait_for()
    page.get_by_role("button", name=DESCRIBE).click()
    answered(page)
    assert page.locator(".answer .said").inner_text().count(".") >= 2
    expect(page.locator(".notices")).to_contain_text(NOTICE)
    expect(page.locator(".notices")).to_contain_text(DEMO_NOTICE)
    assert "NAME" not in page.content() + page.title()


def test_the_first_load_is_small_and_comes_from_here_alone(browser: Browser, server: Serving) -> None:
    page, bodies = browser.new_page(), {}
    page.on("response", lambda response: bodies.update({response.url: response.body()}))
    page.goto(link(server))
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert len(bodies) <= 15
    assert sum(map(len, bodies.values())) <= 150_000
    assert {url.split("/")[2] for url in bodies} == {f"127.0.0.1:{server.port}"}
    page.close()


def test_no_address_shows_the_token_or_what_is_looked_at(film: Page, server: Serving) -> None:
    addresses = {film.url}
    for name in ("About this computer", "Folder", "Radiograph"):
        film.get_by_role("button", name=name, exact=True).click()
        addresses.add(film.url)
    assert addresses == {f"http://127.0.0.1:{server.port}/"}
    assert film.evaluate("Object.keys(localStorage).length") == 0
    assert set(film.evaluate("Object.keys(sessionStorage)")) <= {"token", "theme", "radiograph", "conversation", "run"}


# The picture


def numbers(page: Page) -> tuple[float, float]:
    return tuple(float(page.get_by_label(name, exact=True).input_value()) for name in ("Level", "Width"))


def test_a_window_is_chosen_typed_slid_and_set_back(film: Page) -> None:
    before, shown = numbers(film), pixels(film)
    film.get_by_label("Window", exact=True).select_option(label="Whole range")
    whole = numbers(film)
    film.get_by_label("Width", exact=True).fill(str(round(whole[1] / 4)))
    film.keyboard.press("Enter")
    assert numbers(film)[1] == pytest.approx(whole[1] / 4, abs=1)
    assert pixels(film) != shown
    film.get_by_role("slider", name="Level: lower is brighter").focus()
    film.keyboard.press("Home")
    bright = sum(pixels(film))
    film.keyboard.press("End")
    assert sum(pixels(film)) < bright
    film.get_by_role("button", name="Reset").click()
    assert (numbers(film), pixels(film)) == (before, shown)


def test_dragging_right_widens_and_dragging_down_darkens(film: Page) -> None:
    film.get_by_label("Width", exact=True).fill("500")
    film.keyboard.press("Enter")
    (level, width), bright = numbers(film), sum(pixels(film))
    drag(film, 60, 0)
    assert numbers(film)[1] > width
    drag(film, -60, 40)
    assert numbers(film)[0] > level
    assert sum(pixels(film)) < bright


def drag(page: Page, right: int, down: int, button: str = "left") -> None:
    box = page.get_by_role("img", name=PICTURE).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + right, y + down, steps=4)
    page.mouse.up(button=button)


def test_the_picture_obeys_its_keys_while_it_has_the_focus(film: Page) -> None:
    picture, shown = film.get_by_role("img", name=PICTURE), pixels(film)
    film.get_by_label("Your question").press("i")
    assert pixels(film) == shown
    picture.focus()
    picture.press("i")
    expect(picture).to_have_attribute("aria-label", re.compile(", inverted$"))
    expect(film.locator("figcaption").get_by_text("Inverted")).to_be_visible()
    assert [255 - grey for grey in pixels(film)] != shown != pixels(film)
    for key in ("i", "1", "+", "ArrowRight", "Shift+ArrowLeft"):
        picture.press(key)
    assert pixels(film) != shown
    picture.press("Space")
    assert pixels(film) == shown
    picture.press("?")
    expect(film.get_by_role("dialog")).to_contain_text("Double click")
    film.keyboard.press("Escape")
    expect(picture).to_be_focused()


def test_zoom_by_wheel_and_drag_and_back_by_double_click(film: Page) -> None:
    picture, shown = film.get_by_role("img", name=PICTURE), pixels(film)
    picture.hover()
    film.mouse.wheel(0, -600)
    near = pixels(film)
    assert near != shown
    drag(film, 80, 50, button="middle")
    assert pixels(film) != near
    picture.dblclick()
    assert pixels(film) == shown
    drag(film, 0, -90, button="right")
    assert pixels(film) != shown


@pytest.mark.parametrize(("stated", "marks"), [({"PatientOrientation": ["L", "F"]}, ["R", "L"]), ({}, [])])
def test_sides_are_marked_only_where_the_file_states_them(
    page: Page, tmp_path: Path, stated: dict[str, list[str]], marks: list[str]
) -> None:
    choose(page, drawn_dicom.write(tmp_path, drawn_dicom.chest(300, 280), **stated))
    assert page.locator(".mark-right, .mark-left").all_inner_texts() == marks
    assert page.get_by_text("Side not stated in the file").is_visible() is not bool(marks)


def test_every_value_is_shown_as_its_window_says(page: Page, tmp_path: Path) -> None:
    """A ramp from left to right, and beside it the greys that the definition gives."""
    values = np.tile(np.linspace(0, 4000, 256).round().astype(np.int64), (256, 1))
    choose(page, drawn_dicom.write(tmp_path, values, WindowCenter=2000, WindowWidth=2001))
    row = page.get_by_role("img", name=PICTURE).evaluate(
        """canvas => { const pen = canvas.getContext('2d'), side = Math.min(canvas.width, canvas.height);
        const line = pen.getImageData((canvas.width - side) / 2, canvas.height / 2, side, 1).data;
        return [...line].filter((_, i) => i % 4 === 0) }"""
    )
    at = np.linspace(0, 4000, len(row))
    wanted = np.clip((at - 1000) / 2000 * 255, 0, 255)
    assert np.abs(np.array(row) - wanted)[8:-8].max() < 4


def test_the_picture_is_never_black_while_the_window_changes_its_size(film: Page) -> None:
    film.get_by_role("img", name=PICTURE).evaluate(
        """canvas => { const pen = canvas.getContext('2d'); window.dark = window.frames_seen = 0; (function look() {
            const { width, height } = canvas, shown = pen.getImageData(0, height / 2, width, 1).data;
            window.frames_seen++; window.dark += shown.every((value, i) => i % 4 === 3 || value === 0);
            requestAnimationFrame(look); })() }"""
    )
    for width in range(1000, 1440, 40):
        film.set_viewport_size({"width": width, "height": 900 - width // 4})
        pixels(film)
    assert film.evaluate("[window.dark, window.frames_seen > 20]") == [0, True]


def test_compare_shows_both_views_and_the_chosen_one_answers(film: Page) -> None:
    film.get_by_role("button", name="Compare").click()
    answering = film.locator(".model-view.answers")
    expect(answering).to_contain_text("mimic-jpg")
    expect(answering).to_contain_text("The model answers from this")
    film.get_by_role("button", name="Answer from this").click()
    expect(answering).to_contain_text("display")
    ask(film, "Is the heart enlarged?")
    answered(film)
    film.get_by_text("How this was made").click()
    expect(film.locator(".made dd").get_by_text("display", exact=True)).to_be_visible()


# Asking


def test_words_stream_and_stop_keeps_what_was_said(slow_film: Page) -> None:
    ask(slow_film, "repeat 400 clear")
    said = slow_film.locator(".coming .said")
    expect(said).to_contain_text("clear clear clear")
    slow_film.get_by_role("button", name="Stop").click()
    answered(slow_film)
    expect(slow_film.locator(".answer .said")).to_contain_text("clear clear clear")
    expect(slow_film.locator(".stopped")).to_have_text("stopped")
    assert slow_film.locator(".answer .said").inner_text().count("clear") < 400


@pytest.mark.long
def test_one_who_waits_knows_the_place_and_asks_again_by_itself_when_all_are_taken(
    browser: Browser, slow_server: Serving, slow_film: Page, phantom: Path
) -> None:
    ask(slow_film, "repeat 9000 first")
    expect(slow_film.locator(".coming .said")).to_contain_text("first")
    with visit(browser, slow_server) as second, visit(browser, slow_server) as third:
        for each in (second, third):
            choose(each, phantom)
            ask(each, "me too")
        expect(second.get_by_text("Place 1 in the queue")).to_be_visible()
        expect(third.get_by_text("Too many questions wait")).to_be_visible()
        slow_film.get_by_role("button", name="Stop").click()
        answered(second)
        third.get_by_role("button", name="Stop").click()


def test_an_answer_never_lands_beside_a_film_that_it_was_not_asked_about(
    browser: Browser, slow_server: Serving, slow_film: Page, phantom: Path
) -> None:
    ask(slow_film, "repeat 9000 first")
    expect(slow_film.locator(".coming .said")).to_contain_text("first")
    with visit(browser, slow_server) as waiting:
        choose(waiting, phantom)
        ask(waiting, "repeat 9000 second")
        expect(waiting.get_by_text("Place 1 in the queue")).to_be_visible()
        for page in (waiting, slow_film):  # one's words are to come, the other's are coming
            choose(page, phantom)
        for page in (waiting, slow_film):
            ask(page, "third")
            answered(page)
            assert page.locator(".turn").all_inner_texts() == [page.locator(".turn").first.inner_text()]
            assert page.locator(".question").inner_text().endswith("third")
            assert not re.search("first|second", page.locator(".turns").inner_text())
    assert slow_server.get("/api/v1/status").json["queue"] == {"waiting": 0, "busy": False}


def test_while_another_film_comes_nothing_is_asked_about_this_one(film: Page, phantom: Path) -> None:
    field, usual = film.get_by_label("Your question"), film.get_by_role("button", name=DESCRIBE)
    field.fill("Is the heart")
    film.route("**/api/v1/radiographs?*", lambda _: None)  # it never arrives
    give(film, phantom)
    expect(field).to_be_disabled()
    expect(usual).to_be_disabled()
    film.get_by_role("button", name="Cancel").click()
    expect(usual).to_be_enabled()
    expect(field).to_have_value("Is the heart")
    field.press("Enter")
    answered(film)


def test_another_way_to_read_a_film_that_was_left_brings_it_not_back(film: Page, phantom: Path) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    film.route("**/reading", hold)
    film.get_by_role("button", name="Compare").click()
    film.get_by_role("button", name="Answer from this").click()
    choose(film, phantom)
    with film.expect_response("**/reading"):
        held[0].continue_()
    ask(film, "Is the heart enlarged?")
    answered(film)
    film.get_by_text("How this was made").click()
    expect(film.locator(".made dd").get_by_text("mimic-jpg", exact=True)).to_be_visible()


def test_a_follow_up_stands_below_and_enter_with_shift_breaks_the_line(film: Page) -> None:
    film.get_by_role("button", name=DESCRIBE).click()
    answered(film)
    field = film.get_by_label("Your question")
    field.fill("Is the heart")
    field.press("Shift+Enter")
    field.press_sequentially("enlarged?")
    field.press("Enter")
    answered(film, 2)
    assert film.locator(".question").all_inner_texts()[1].endswith("Is the heart\nenlarged?")


def test_a_death_of_the_model_is_told_and_the_question_can_be_asked_again(slow_film: Page) -> None:
    ask(slow_film, "die")
    failed = slow_film.get_by_role("alert")
    expect(failed).to_contain_text("E-SRV-015")
    slow_film.get_by_role("button", name="E-SRV-015").click()
    expect(slow_film.get_by_role("dialog")).to_contain_text("What to do")
    slow_film.keyboard.press("Escape")
    expect(slow_film.get_by_role("button", name="Ask again")).to_be_visible()


# Doubts


def test_a_refused_file_says_why_and_goes_on_only_when_a_box_is_ticked(page: Page, tmp_path: Path) -> None:
    give(page, drawn_dicom.write(tmp_path, drawn_dicom.chest(300, 280), SOPClassUID=CT, Modality="CT"))
    refused = page.locator(".refused")
    expect(refused).to_contain_text("CT")
    box, go = page.get_by_role("checkbox"), page.get_by_role("button", name="Go on")
    expect(box).not_to_be_checked()
    expect(go).to_be_disabled()
    box.check()
    go.click()
    page.get_by_role("img", name=PICTURE).wait_for()
    expect(page.locator(".stage")).to_contain_text("was overridden")
    ask(page, "Is the heart enlarged?")
    answered(page)
    expect(page.locator(".answer")).to_contain_text("was overridden")


def test_a_file_that_no_force_opens_offers_none(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no radiograph")
    give(page, tmp_path / "notes.txt")
    expect(page.locator(".refused")).to_contain_text("E-IMG")
    assert page.get_by_role("checkbox").count() == 0


def test_a_warning_has_its_words_and_a_way_to_what_they_mean(page: Page, tmp_path: Path) -> None:
    choose(page, drawn_dicom.write(tmp_path, drawn_dicom.chest(300, 280), BodyPartExamined=None))
    page.get_by_role("button", name=re.compile("^W-DCM-002")).first.click()
    expect(page.get_by_role("dialog")).to_contain_text("W-DCM-002")


# Trust and taking away


def test_each_sentence_has_its_mark_and_the_panel_its_figures(film: Page) -> None:
    film.get_by_role("button", name=DESCRIBE).click()
    answered(film)
    marks = film.locator(".answer .sentence .mark")
    assert marks.count() >= 2
    assert all(each.get_attribute("aria-label") for each in marks.all())
    expect(film.locator(".answer")).to_contain_text("they hold for such films only")
    film.get_by_text("The model’s own yes and no").click()
    assert film.locator("tbody tr").count() >= 5


def test_what_is_saved_is_what_the_server_exports_and_copied_text_has_the_notice(
    browser: Browser, server: Serving, phantom: Path
) -> None:
    with visit(browser, server, permissions=["clipboard-read", "clipboard-write"]) as page:
        choose(page, phantom)
        ask(page, "Is the heart enlarged?")
        answered(page)
        facts = server.get(f"/api/v1/radiographs/{page.evaluate('sessionStorage.radiograph')}").json
        answer = facts["answers"][0]["answer"]
        for label, form in (
            ("Text", "text"),
            ("HTML page", "html"),
            ("JSON", "json"),
            ("DICOM SR", "dicom-sr"),
            ("FHIR", "fhir"),
        ):
            page.get_by_text("Save as", exact=True).click()
            with page.expect_download() as coming:
                page.get_by_role("button", name=label, exact=True).click()
            name = coming.value.suggested_filename
            assert name.startswith(f"answer-{facts['input']['sha256'][:8]}.")
            data = Path(coming.value.path()).read_bytes()
            assert data == server.post(f"/api/v1/answers/{answer}/export", {"format": form}).body
        page.get_by_role("button", name="Copy").click()
        expect(page.get_by_text("Copied, with the notice").first).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert NOTICE in copied
        assert facts["answers"][0]["text"] in copied


def test_what_cannot_be_exported_says_so_with_its_id(page: Page, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray((drawn_dicom.chest(300, 280) >> 4).astype(np.uint8)).save(tmp_path / "film.png")
    choose(page, tmp_path / "film.png")
    ask(page, "Is the heart enlarged?")
    answered(page)
    page.get_by_text("Save as", exact=True).click()
    page.get_by_role("button", name="DICOM SR").click()
    expect(page.locator(".told")).to_contain_text("E-REP-012")


# Sessions


def test_a_reload_shows_picture_and_turns_again_and_forgetting_ends_both(film: Page) -> None:
    ask(film, "Is the heart enlarged?")
    answered(film)
    said, shown = film.locator(".said").inner_text(), pixels(film)
    film.reload()
    answered(film)
    film.locator(".mark-middle").wait_for(state="detached")
    assert (film.locator(".said").inner_text(), pixels(film)) == (said, shown)
    film.get_by_role("button", name="Forget this radiograph").click()
    expect(film.get_by_role("button", name="Choose a file")).to_be_visible()
    film.reload()
    expect(film.get_by_role("button", name="Choose a file")).to_be_visible()
    assert film.locator(".said").count() == 0


def test_a_second_tab_is_let_in_by_the_first_and_a_strange_browser_only_by_a_code(
    film: Page, browser: Browser, server: Serving
) -> None:
    address = f"http://127.0.0.1:{server.port}/"
    second = film.context.new_page()
    second.goto(address)
    expect(second.get_by_role("button", name="Choose a file")).to_be_visible()
    with open_page(browser, address) as stranger:
        expect(stranger.get_by_role("button", name="Try again")).to_be_visible()
    film.get_by_label("More", exact=True).click()
    film.get_by_role("button", name="Open in another browser").click()
    once = film.get_by_role("dialog").get_by_role("textbox").input_value()
    with open_page(browser, once) as other, open_page(browser, once) as late:
        expect(other.get_by_role("button", name="Choose a file")).to_be_visible()
        expect(late.get_by_text("has been used or is too old")).to_be_visible()


def test_quit_asks_and_ends_the_server(browser: Browser, demo: Path) -> None:
    with serving(demo, module="tests.serving", **PAGE) as short, visit(browser, short) as page:
        page.get_by_label("More", exact=True).click()
        page.get_by_role("button", name="Quit").click()
        page.get_by_role("button", name="End the server").click()
        expect(page.get_by_role("heading", name="The server has ended")).to_be_visible()
        assert short.process.wait(10) == 0


def test_a_model_that_cannot_be_loaded_is_told_with_its_id(page: Page) -> None:
    def failed(route: Route) -> None:
        reply = route.fetch()
        error = {"code": "E-BND-011", "message": "a file of the bundle is cut off."}
        route.fulfill(
            response=reply, json={**reply.json(), "model": {"state": "failed", "error": error, "restarts": 0}}
        )

    page.route("**/api/v1/status", failed)
    expect(page.get_by_role("alert")).to_contain_text("E-BND-011")
    expect(page.get_by_role("status")).to_contain_text("cannot answer")


def test_a_menu_closes_with_escape_and_when_somebody_goes_on_elsewhere(page: Page) -> None:
    more, print_it = page.get_by_label("More", exact=True), page.get_by_role("button", name="Print")
    for leave in (
        lambda: page.keyboard.press("Escape"),
        lambda: page.get_by_role("heading", name="Drop a chest").click(),
        lambda: page.get_by_role("button", name="Choose a file").focus(),
    ):
        more.click()
        expect(print_it).to_be_visible()
        leave()
        expect(print_it).to_be_hidden()


# Hostile words


GROUP = 8


def test_no_text_ever_acts(slow_film: Page) -> None:
    """As question and as answer; `visit` looks for breaches of the policy."""
    slow_film.evaluate("window.acted = 0")
    payloads = [each.replace("{}", "acted++").replace("\x00", "") for each in HTML]
    for number, start in enumerate(range(0, len(payloads), GROUP), start=1):
        ask(slow_film, "\n".join(payloads[start : start + GROUP]))
        answered(slow_film, number)
    assert slow_film.locator(".said").first.inner_text().startswith("\n".join(payloads[:3]))
    assert slow_film.evaluate("acted") == 0
    assert slow_film.locator("#page script, #page iframe, #page object, #page base").count() == 0


def test_a_foreign_page_reads_and_does_nothing(browser: Browser, server: Serving, film: Page) -> None:
    radiograph = film.evaluate("sessionStorage.radiograph")
    context = browser.new_context()
    stranger = context.new_page()
    stranger.route(
        "http://foreign.example/", lambda route: route.fulfill(body="<body></body>", content_type="text/html")
    )
    stranger.goto("http://foreign.example/")
    read = stranger.evaluate(
        """async ([there, id]) => {
            const tries = ['/', '/page/app.js', '/api/v1/status', `/api/v1/radiographs/${id}`, '/v1/models'];
            const found = await Promise.all(tries.flatMap(path => ['cors', 'no-cors'].map(mode =>
                fetch(there + path, { mode }).then(reply => reply.text(), () => ''))));
            const gone = await fetch(`${there}/api/v1/radiographs/${id}`, { method: 'DELETE' }).then(
                () => 'sent', () => '');
            return found.join('') + gone;
        }""",
        [f"http://127.0.0.1:{server.port}", radiograph],
    )
    assert read == ""
    stranger.set_content(f"<iframe src='http://127.0.0.1:{server.port}/'></iframe>")
    stranger.wait_for_timeout(200)
    assert [frame.url for frame in stranger.frames if frame.parent_frame and frame.locator("#page").count()] == []
    assert server.get(f"/api/v1/radiographs/{radiograph}").status == 200
    context.close()


# Everyone


OFTEN = [("phone", "dark"), ("desk", "light")]
SELDOM = [(size, scheme) for size in SIZES for scheme in ("dark", "light") if (size, scheme) not in OFTEN]


@pytest.mark.long
@pytest.mark.parametrize(
    ("size", "scheme"), [*OFTEN, *(pytest.param(*each, marks=pytest.mark.slow) for each in SELDOM)]
)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    browser: Browser, server: Serving, phantom: Path, size: str, scheme: str
) -> None:
    with visit(browser, server, size=SIZES[size], color_scheme=scheme) as page:
        states = {"start": lambda: None, "film": lambda: choose(page, phantom), "answer": lambda: describe(page)}
        states |= {"compared": page.get_by_role("button", name="Compare").click, "about": lambda: about(page)}
        for state, reach in states.items():
            reach()
            assert axe(page) == [], state
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state


def describe(page: Page) -> None:
    page.get_by_role("button", name=DESCRIBE).click()
    answered(page)
    for summary in page.locator(".answer details:not(.menu) > summary").all():
        summary.click()


def about(page: Page) -> None:
    page.get_by_role("button", name="About this computer", exact=True).click()
    expect(page.get_by_role("heading", name="Checks")).to_be_visible()


@pytest.mark.long
def test_a_story_by_keyboard_alone(page: Page, phantom: Path) -> None:
    with page.expect_file_chooser() as coming:
        tab_to(page, "Choose a file")
        page.keyboard.press("Enter")
    coming.value.set_files(phantom)
    page.locator(".mark-middle").wait_for(state="detached")
    tab_to(page, DESCRIBE)
    page.keyboard.press("Enter")
    answered(page)
    tab_to(page, "Copy")
    tab_to(page, "Your question")
    page.keyboard.type("Is the heart enlarged?")
    page.keyboard.press("Enter")
    answered(page, 2)
    expect(page.get_by_label("Your question")).to_be_focused()


@pytest.mark.long
def test_a_story_by_touch(browser: Browser, server: Serving, phantom: Path) -> None:
    with visit(browser, server, size=(390, 844), has_touch=True, is_mobile=True) as page:
        choose(page, phantom)
        assert too_small(page) == []
        before = numbers(page)
        page.get_by_role("button", name="Finger moves").tap()
        touch(page, 60, 60)
        assert numbers(page) != before
        page.get_by_role("button", name=DESCRIBE).tap()
        answered(page)


def touch(page: Page, right: int, down: int) -> None:
    """One finger over the picture."""
    box = page.get_by_role("img", name=PICTURE).bounding_box()
    x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 3
    session = page.context.new_cdp_session(page)
    points = [(x + right * step / 4, y + down * step / 4) for step in range(5)]
    kinds = ["touchStart", *["touchMove"] * 4]
    for kind, (left, top) in zip(kinds, points, strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": left, "y": top}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


# The reason for the exam


@pytest.mark.long
@pytest.mark.parametrize("by", ["click", "enter"])
def test_a_usual_question_takes_the_reason_for_the_exam(
    browser: Browser, named_server: Serving, phantom: Path, by: str
) -> None:
    with visit(browser, named_server, size=SIZES["phone"]) as page:
        choose(page, phantom)
        button = page.get_by_role("button", name="What is found given:")
        button.click()
        expect(page.get_by_label("Reason for the exam")).to_be_focused()  # nothing is asked without one
        assert page.locator(".turn").count() == 0
        page.keyboard.type("fever  and cough")
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if by == "click":
            button.click()
        else:
            page.keyboard.press("Enter")
        answered(page)
        expect(page.locator(".question")).to_contain_text("What is found given: fever and cough")


# Maps


@pytest.mark.long
def test_maps_are_drawn_over_the_film_when_somebody_asks_for_them(film: Page) -> None:
    film.get_by_role("button", name=DESCRIBE).click()
    answered(film)
    film.locator(".panel > summary").click()
    assert film.locator(".maps figure").count() == 0
    film.get_by_role("button", name="Draw maps").click()
    film.locator(".maps figure").first.wait_for()
    assert "outline: " in film.locator(".maps figure").first.get_attribute("aria-label")
    expect(film.get_by_role("button", name="Draw maps")).to_have_count(0)
    assert axe(film) == []
    film.reload()
    film.locator(".panel > summary").click()
    expect(film.locator(".maps figure").first).to_be_visible()
