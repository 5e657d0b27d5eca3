"""The screenshots of the documents: `python -m tests.page.pictures FOLDER`. Drawn phantoms only."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page

from tests.browsing import answered, choose, chromium, open_page, visit
from tests.conftest import ROOT
from tests.serving import serving
from tests.tiny import write_bundle
from tests.warding import warding

DESCRIBE = "Describe the given chest x-ray image in detail."
PHANTOM = ROOT / "examples" / "phantom-1-effusion-right.dcm"
SIZE, LOW = (1200, 760), (1200, 420)


def asked(page: Page) -> None:
    choose(page, PHANTOM)
    page.get_by_role("button", name=DESCRIBE).click()
    answered(page)


def compared(page: Page) -> None:
    asked(page)
    page.get_by_role("button", name="Compare").click()
    page.wait_for_load_state("networkidle")


def folder(page: Page) -> None:
    page.get_by_role("button", name="Folder", exact=True).click()
    page.locator("input[webkitdirectory]").set_input_files(PHANTOM.parent)
    page.get_by_label("Add a usual question").select_option(index=2)
    page.get_by_role("button", name="Remove: ").first.click()
    page.get_by_role("button", name="Ask about").click()
    page.locator("tr.ok").nth(3).wait_for()


SHOTS: dict[str, tuple[Callable[[Page], None], tuple[int, int], str]] = {
    "serve": (asked, SIZE, "dark"),
    "serve-compare": (compared, SIZE, "light"),
    "serve-folder": (folder, SIZE, "dark"),
}


def sign_in(folder: Path) -> None:
    """The page of a ward, before anybody is in."""
    with tempfile.TemporaryDirectory() as scratch:
        write_bundle(Path(scratch) / "tiny")
        with (
            warding(Path(scratch) / "tiny", Path(scratch)) as ward,
            chromium() as browser,
            open_page(browser, f"https://127.0.0.1:{ward.port}/", size=LOW, ignore_https_errors=True) as page,
        ):
            page.get_by_label("Password").wait_for()
            page.screenshot(path=folder / "serve-sign-in.png")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, serving(ROOT / "models" / "demo", entrance="--no-browser") as server:
        server.wait_until_ready()
        for name, (reach, size, scheme) in SHOTS.items():
            with visit(browser, server, size=size, color_scheme=scheme) as page:
                reach(page)
                page.wait_for_timeout(300)
                page.screenshot(path=folder / f"{name}.png")
    sign_in(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
