"""The HTML report in a real browser: nothing for axe to find, in both themes, and on paper with its notice."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browsing import SIZES
from xraygpt_edge.cli.app import run
from xraygpt_edge.errors import ExitCode
from xraygpt_edge.records import NOTICE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(demo: Path, phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a batch with an answer, its marks and panel, a map, a thumbnail, and a failure."""
    folder = tmp_path_factory.mktemp("report")
    films = folder / "films"
    films.mkdir()
    (films / "1.dcm").write_bytes(phantom.read_bytes())
    (films / "2.dcm").write_bytes(phantom.read_bytes()[:3000])
    out, target = folder / "out", folder / "report.html"
    batch = ["batch", str(films), "--out", str(out), "--bundle", str(demo), "--map", "--quiet"]
    assert run([*batch, "--question", "Describe the given chest x-ray image in detail."]) == ExitCode.PARTIAL
    assert run(["report", str(out), "--to", "html", "--out", str(target), "--images", str(films), "--thumbnails"]) == 0
    return target


@pytest.mark.long
@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desk", "light")])
def test_axe_finds_nothing_in_the_report(browser: Browser, report: Path, size: str, scheme: str) -> None:
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.goto(report.as_uri())
    for summary in page.locator("summary").all():
        summary.click()
    found = Axe().run(page).response["violations"]
    assert [f"{each['id']}: {node['target']}" for each in found for node in each["nodes"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_a_printed_report_has_its_notice_and_no_tools(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    assert page.get_by_text(NOTICE).first.is_visible()
    assert not page.locator(".tools").is_visible()
    assert page.locator(".findings").first.is_visible()
    assert page.pdf().startswith(b"%PDF-")
    page.close()
