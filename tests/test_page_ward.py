"""The page of a ward in a real browser: people sign in, see their own, and sign out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browsing import SIZES, open_page
from tests.tiny import write_bundle
from tests.warding import PASSWORD, Warding, warding

pytestmark = [
    pytest.mark.long,
    pytest.mark.browser,
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate"),
]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warding]:
    bundle = write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    with warding(bundle, tmp_path_factory.mktemp("ward")) as found:
        yield found


def sign_in(page: Page, password: str) -> None:
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def test_a_password_lets_in_and_a_wrong_one_says_so(browser: Browser, ward: Warding, phantom: Path) -> None:
    address = f"https://127.0.0.1:{ward.port}/"
    with open_page(browser, address, size=SIZES["phone"], ignore_https_errors=True) as page:
        expect(page.get_by_label("Password")).to_be_focused()
        sign_in(page, "not the password")
        expect(page.get_by_role("alert")).to_contain_text("password is wrong")
        assert [each["id"] for each in Axe().run(page).response["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        sign_in(page, PASSWORD)
        expect(page.get_by_text("It goes encrypted to the server")).to_be_visible()
        page.locator("input[type=file]").first.set_input_files(phantom)
        page.get_by_role("img", name="Chest radiograph").wait_for()
        assert PASSWORD not in page.content() + str(page.evaluate("({...sessionStorage})"))
        page.get_by_label("More", exact=True).click()
        assert page.get_by_role("button", name="Quit").count() == 0
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        assert set(page.evaluate("Object.keys(sessionStorage)")) <= {"theme"}
        page.reload()
        expect(page.get_by_label("Password")).to_be_visible()
        assert page.url == address


def test_when_a_session_ends_the_page_shows_nothing_of_it_to_who_signs_in_next(
    browser: Browser, ward: Warding, phantom: Path
) -> None:
    with open_page(browser, f"https://127.0.0.1:{ward.port}/", ignore_https_errors=True) as page:
        sign_in(page, PASSWORD)
        page.locator("input[type=file]").first.set_input_files(phantom)
        page.get_by_role("img", name="Chest radiograph").wait_for()
        own, ward.token = ward.token, page.evaluate("sessionStorage.token")
        assert ward.request("DELETE", "/api/v1/session").status == 204
        ward.token = own
        expect(page.get_by_label("Password")).to_be_visible()
        sign_in(page, PASSWORD)
        expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
        assert page.get_by_role("img", name="Chest radiograph").count() == 0


@pytest.mark.parametrize("ends", ["signed out", "ended"])
def test_nothing_of_a_folder_is_there_for_who_signs_in_next(
    browser: Browser, ward: Warding, phantom: Path, ends: str
) -> None:
    with open_page(browser, f"https://127.0.0.1:{ward.port}/", ignore_https_errors=True) as page:
        sign_in(page, PASSWORD)
        page.get_by_role("button", name="Folder", exact=True).click()
        page.locator("input[webkitdirectory]").set_input_files(phantom.parent)
        expect(page.get_by_role("heading", name="What is in it")).to_be_visible()
        page.get_by_role("button", name="Ask about").click()
        expect(page.locator(".films tbody th").first).to_be_visible()
        if ends == "signed out":
            page.get_by_label("More", exact=True).click()
            page.get_by_role("button", name="Sign out").click()
        else:
            own, ward.token = ward.token, page.evaluate("sessionStorage.token")
            assert ward.request("DELETE", "/api/v1/session").status == 204
            ward.token = own
        expect(page.get_by_label("Password")).to_be_visible()
        assert set(page.evaluate("Object.keys(sessionStorage)")) <= {"theme", "token"}
        sign_in(page, PASSWORD)
        expect(page.get_by_role("button", name="Folder", exact=True)).to_be_visible()
        page.get_by_role("button", name="Folder", exact=True).click()
        assert phantom.name not in page.content()
        assert page.locator(".films").count() == 0
