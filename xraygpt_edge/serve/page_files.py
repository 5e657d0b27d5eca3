"""The page's own files: a fixed list in the package, each with its type and with what a browser may do with it.

Nothing is looked up by what a request names: an address is in the list, or there is nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PAGE = files("xraygpt_edge.serve") / "page"
PREFIX = "/page/"
MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
FRONT = "index.html"
NAMES = (
    *("page.css", "icon.svg"),
    *("vendor/preact.mjs", "vendor/hooks.mjs", "vendor/htm.mjs"),
    *("app.js", "view.js", "words.js", "state.js", "api.js", "session.js", "film.js", "about.js"),
    *(
        "study.js",
        "picture.js",
        "gestures.js",
        "keys.js",
        "tools.js",
        "window.js",
        "canvas.js",
        "compare.js",
        "doubts.js",
    ),
    *("folder.js", "listing.js", "run.js", "table.js"),
    *("conversation.js", "turns.js", "answer.js", "trust.js", "taking.js", "dialogs.js", "sign_in.js"),
)
ADDRESSES = tuple(f"{PREFIX}{name}" for name in NAMES)
IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, as it is sent."""

    data: bytes
    media_type: str


@cache
def page_file(name: str) -> PageFile:
    """A file of the list, read once."""
    data = PAGE.joinpath(*name.split("/")).read_bytes()
    return PageFile(data, MEDIA_TYPES[name.rsplit(".", 1)[1]])


class Vendored(msgspec.Struct, frozen=True):
    """A file that somebody else has written, as published; `vendor/manifest.json` lists them."""

    file: str
    package: str
    version: str
    published_as: str
    license: str
    license_file: str
    sha256: str


@cache
def vendored() -> tuple[Vendored, ...]:
    """What of the page is not ours."""
    return msgspec.json.decode((PAGE / "vendor" / "manifest.json").read_bytes(), type=tuple[Vendored, ...])


@cache
def policy() -> str:
    """What the browser may do on the page: our files alone, no text that becomes code, no other place to talk to."""
    import_map = IMPORT_MAP.search(page_file(FRONT).data.decode())
    if import_map is None:
        raise LookupError("the page has no import map")
    digest = base64.b64encode(sha256(import_map[1].encode()).digest()).decode()
    rules = (
        *("default-src 'none'", f"script-src 'self' 'sha256-{digest}'", "style-src 'self'", "img-src 'self'"),
        *("connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
        *("require-trusted-types-for 'script'", "trusted-types 'none'"),
    )
    return "; ".join(rules)


async def page(request: Request) -> Response:
    """`GET /` and the files that it names."""
    file = page_file(request.url.path.removeprefix(PREFIX) if request.url.path != "/" else FRONT)
    return Response(file.data, media_type=file.media_type, headers={"content-security-policy": policy()})


def routes() -> Iterator[Route]:
    """An address for each file."""
    yield Route("/", page)
    for address in ADDRESSES:
        yield Route(address, page)
