"""A real Chromium on the page of a real server: opened with the printed link, watched for what it must never do."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import BROWSER
from tests.serving import Serving

WATCH = "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"
SIZES = {"phone": (320, 640), "tablet": (768, 1024), "desk": (1440, 900)}
DESK = SIZES["desk"]
WAIT_MS = 60_000
"""Before something counts as never; a busy machine takes its time."""
expect.set_options(timeout=WAIT_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of this machine, without a window."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@contextmanager
def visit(browser: Browser, server: Serving, *, size: tuple[int, int] = DESK, **more: Any) -> Iterator[Page]:
    """The page by the printed link."""
    with open_page(browser, link(server), size=size, **more) as page:
        yield page


@contextmanager
def open_page(browser: Browser, address: str, *, size: tuple[int, int] = DESK, **more: Any) -> Iterator[Page]:
    """An address in a browser that knows nothing yet; fails for errors of a script and for breaches of the policy."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, **more)
    context.add_init_script(WATCH)
    context.set_default_timeout(WAIT_MS)
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    try:
        yield page
        assert (errors, page.evaluate("window.violations")) == ([], [])
    finally:
        context.close()


SHOWN = "(sessionStorage.radiograph ?? null)"


def link(server: Serving) -> str:
    return f"http://127.0.0.1:{server.port}/#t={server.token}"


def choose(page: Page, film: Path) -> None:
    """Give a file to the page's button, and wait for its picture."""
    with another_film(page):
        give(page, film)


@contextmanager
def another_film(page: Page) -> Iterator[None]:
    """Wait at the end until the picture of a film is there that was not there at the start."""
    before = page.evaluate(SHOWN)
    yield
    page.wait_for_function(f"before => {SHOWN} !== before", arg=before)
    page.get_by_role("img", name="Chest radiograph").wait_for()
    page.locator(".mark-middle").wait_for(state="detached")


def give(page: Page, film: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(film)


DROP = """([name, data]) => {
    const moved = new DataTransfer();
    moved.items.add(new File([Uint8Array.from(atob(data), each => each.charCodeAt(0))], name));
    return moved;
}"""


def drop(page: Page, name: str, data: bytes) -> None:
    """What a hand does that lets a file go over the page."""
    moved = page.evaluate_handle(DROP, [name, base64.b64encode(data).decode()])
    for event in ("dragover", "drop"):
        page.dispatch_event("main", event, {"dataTransfer": moved, "bubbles": True, "cancelable": True})


def ask(page: Page, question: str) -> None:
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")


def answered(page: Page, number: int = 1) -> None:
    """Wait until so many answers are complete."""
    page.locator(".answer").nth(number - 1).wait_for()


def pixels(page: Page, name: str = "Chest radiograph") -> list[int]:
    """Red of what the picture shows, row by row in a grid of 16 by 16."""
    return page.get_by_role("img", name=name).first.evaluate(
        """canvas => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
            const small = new OffscreenCanvas(16, 16), pen = small.getContext('2d');
            pen.drawImage(canvas, 0, 0, 16, 16);
            done([...pen.getImageData(0, 0, 16, 16).data].filter((_, i) => i % 4 === 0));
        })))"""
    )


def axe(page: Page) -> list[str]:
    """Findings, each with where it is."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['target']}" for each in found for node in each["nodes"]]


NAME = """each => each.labels?.[0]?.textContent || each.getAttribute('aria-label') || each.textContent"""


def tab_to(page: Page, name: str) -> None:
    """Press Tab until something of this name has the focus, and can be seen to have it."""
    for _ in range(80):
        page.keyboard.press("Tab")
        at = page.locator(":focus")
        if at.count() and at.evaluate(NAME).strip() == name:
            assert at.evaluate("each => getComputedStyle(each).outlineStyle") != "none"
            return
    raise AssertionError(f"Tab does not lead to {name}")


def too_small(page: Page) -> list[str]:
    """What a finger would miss."""
    seen = page.locator("button:visible, select:visible, summary:visible, input:visible").all()
    boxes = {each.inner_text() or each.get_attribute("id") or "": each.bounding_box() for each in seen}
    return [name for name, box in boxes.items() if box and min(box["width"], box["height"]) < 44]
