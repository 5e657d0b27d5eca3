"""What every HTML page of ours has: values escaped and visible, and a policy that allows only what the page brings."""

from __future__ import annotations

import base64
from hashlib import sha256

import jinja2

from xraygpt_edge.text import visible


def template(source: str) -> jinja2.Template:
    """A page, where every value is escaped and visible, and a missing one is an error."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # the page's own parts stay
    )
    return environment.from_string(source)


def digest(text: str) -> str:
    """How a page's policy names its own style or script."""
    return "sha256-" + base64.b64encode(sha256(text.encode()).digest()).decode()
