"""The page against those who want its data: foreign pages, foreign names, texts that would act, the browser's disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browsing import another_film, answered, ask, choose, drop, visit
from tests.conftest import BROWSER
from tests.drawn_dicom import as_bytes, chest, dataset
from tests.payloads import HTML, PAGE
from tests.serving import Serving, serving
from tests.test_canary import CANARIES
from tests.tiny import write_bundle

pytestmark = [pytest.mark.long, pytest.mark.browser]

PAYLOADS = [each.replace("{}", "acted++").replace("\x00", "") for each in (*HTML, *PAGE)]
GROUP = 20
"""As many in one question; the model of these tests says it again."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    bundle = write_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
    with serving(bundle, module="tests.serving", entrance="--no-browser") as found:
        yield found.wait_until_ready()


# Texts that would act


def hostile_film(number: int) -> bytes:
    """A film whose every text is such a payload."""
    payload = PAYLOADS[number].replace("\\", "")
    usual = {"Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "PA", "WindowCenter": 2000}
    texts = {**dict.fromkeys(CANARIES, payload[:64]), "WindowWidth": 3000, "WindowCenterWidthExplanation": payload[:64]}
    return as_bytes(dataset(chest(), **{**texts, **usual}))


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, about such texts
def test_sixty_payloads_in_questions_answers_names_and_headers_do_nothing(browser: Browser, server: Serving) -> None:
    assert len(PAYLOADS) >= 60
    with visit(browser, server) as page:  # which looks for breaches of the policy
        page.evaluate("window.acted = 0")
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message) or dialog.dismiss())
        for number in range(0, len(PAYLOADS), GROUP):
            with another_film(page):
                drop(page, f"{PAYLOADS[number].replace('/', '')}.dcm", hostile_film(number))
            ask(page, "\n".join(PAYLOADS[number : number + GROUP]))
            answered(page)
            assert PAYLOADS[number][:20].strip() in page.locator(".said").first.inner_text()
        drop(page, f"{PAYLOADS[0]}.dcm", PAYLOADS[0].encode())  # a refusal
        expect(page.get_by_text("This file was not accepted")).to_be_visible()
        assert page.evaluate("acted") == 0
        assert dialogs == []
        assert page.locator("#page script, #page iframe, #page object, #page base, #page svg[onload]").count() == 0


# Foreign pages and foreign names


HOSTILE = """<!doctype html><body><div id="done"></div>
<img src="{there}/page/icon.svg" onload="seen('img')">
<script src="{there}/page/words.js" onload="seen('script')"></script>
<link rel="stylesheet" href="{there}/page/page.css" onload="seen('style')">
<iframe src="{there}/" name="inside"></iframe>
<form id="form" method="post" action="{there}/api/v1/quit" target="inside" enctype="text/plain"><input name="a"></form>
<script>
var found = [];
function seen(what) {{ found.push(what); }}
async function all() {{
  const there = "{there}", token = "{token}";
  const calls = [["GET", "/"], ["GET", "/api/v1/status"], ["GET", "/api/v1/radiographs/{film}"],
    ["POST", "/api/v1/quit"], ["DELETE", "/api/v1/radiographs/{film}"],
    ["POST", "/v1/chat/completions"], ["PUT", "/v1/models"]];
  for (const [method, path] of calls)
    for (const headers of [{{}}, {{ Authorization: "Bearer " + token }}, {{ "Content-Type": "application/json" }}])
      for (const mode of ["cors", "no-cors"])
        await fetch(there + path, {{ method, headers, mode, credentials: "include" }}).then(
          async (reply) => {{ if (reply.type !== "opaque") seen(path + await reply.text()); }}, () => {{}});
  document.getElementById("form").submit();
  navigator.sendBeacon(there + "/api/v1/quit", "x");
  await new Promise((done) => {{
    const socket = new WebSocket(there.replace("http", "ws") + "/api/v1/status");
    socket.onopen = () => {{ seen("socket"); done(); }};
    socket.onerror = done;
  }});
  const events = new EventSource(there + "/api/v1/status");
  await new Promise((done) => {{ events.onerror = done; events.onmessage = () => seen("events"); }});
  try {{ seen(frames[0].document.body.textContent); }} catch (error) {{}}
  document.getElementById("done").textContent = "done";
}}
</script><body onload="all()">"""


@contextmanager
def foreign_page(there: str, film: str, token: str) -> Iterator[int]:
    """A web server of somebody else; gives its port."""
    body = HOSTILE.format(there=there, film=film, token=token).encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    found = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    try:
        yield found.server_port
    finally:
        found.shutdown()
        found.server_close()
        thread.join()


MISLED = (
    *("--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"),
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
)
"""Foreign names lead to this computer, and what a browser itself has against that is off."""


def try_everything(page: Page, address: str) -> list[str]:
    """What a hostile page has got to see."""
    page.goto(address)
    expect(page.locator("#done")).to_have_text("done")
    return page.evaluate("found")


def test_a_foreign_page_reads_and_does_nothing_even_with_the_token(
    browser: Browser, server: Serving, phantom: Path
) -> None:
    film = server.send(phantom)
    there = f"http://127.0.0.1:{server.port}"
    misled = browser.browser_type.launch(executable_path=BROWSER, args=MISLED)
    with misled, foreign_page(there, film, server.token) as port:
        context = misled.new_context()
        for host in ("evil.example", "localhost"):  # another site, and the same site on another port
            assert try_everything(context.new_page(), f"http://{host}:{port}/") == [], host
        rebound = context.new_page()
        reply = rebound.goto(f"http://rebound.example:{server.port}/")
        assert reply is not None
        assert reply.status == 403
        read = rebound.evaluate("fetch('/api/v1/status').then(reply => reply.text(), () => 'blocked')")
        assert read == "blocked"  # by the policy of the refusal
    assert server.get(f"/api/v1/radiographs/{film}").status == 200
    assert server.process.poll() is None


# The browser's disk


def test_a_browsers_profile_keeps_neither_token_nor_anything_of_a_film(
    browser: Browser, server: Serving, phantom: Path, tmp_path: Path
) -> None:
    question = "CanaryQuestion1984"
    profile = tmp_path / "profile"
    context = browser.browser_type.launch_persistent_context(profile, executable_path=BROWSER, args=["--no-sandbox"])
    page = context.new_page()
    code = server.post("/api/v1/session/code").json["code"]
    page.goto(f"http://127.0.0.1:{server.port}/#c={code}")  # as `serve` opens it
    choose(page, phantom)
    ask(page, question)
    answered(page)
    film, token = page.evaluate("[sessionStorage.radiograph, sessionStorage.token]")
    context.close()
    kept = {
        path: path.read_bytes()
        for path in profile.rglob("*")
        if path.is_file() and not path.is_symlink() and not {"Sessions", "Session Storage"} & set(path.parts)
    }
    assert len(kept) > 10
    for secret in (token, server.token, question, film, phantom.name):
        for each in (secret.encode(), secret.encode("utf-16-le")):
            assert [path.name for path, data in kept.items() if each in data] == [], secret


# Large letters, few colours, no movement


@pytest.mark.parametrize("look", [{"device_scale_factor": 4}, {"forced_colors": "active", "reduced_motion": "reduce"}])
def test_at_400_percent_and_with_forced_colours_everything_can_be_used(
    browser: Browser, server: Serving, phantom: Path, look: dict[str, object]
) -> None:
    """1280 by 1024 at 400 % are 320 by 256 pixels of the page."""
    size = (320, 256) if "device_scale_factor" in look else (1280, 800)
    with visit(browser, server, size=size, **look) as page:
        choose(page, phantom)
        ask(page, "hello there")
        answered(page)
        found = Axe().run(page).response["violations"]
        assert [f"{each['id']}: {node['target']}" for each in found for node in each["nodes"]] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for name in ("Your question", "Level", "Width"):
            page.get_by_label(name, exact=True).first.focus()
            box = page.get_by_label(name, exact=True).first.bounding_box()
            assert box is not None
            assert 0 <= box["x"] <= box["x"] + box["width"] <= size[0]
        moving = page.evaluate("document.getAnimations().filter(each => each.playState === 'running').length")
        assert moving == 0 or "reduced_motion" not in look
