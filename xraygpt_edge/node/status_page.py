"""`status.json` and `status.html`: what `node status` says, written anew while the node runs; no port is opened."""

from __future__ import annotations

import html
import json
from pathlib import Path

from xraygpt_edge.ledger import write_whole
from xraygpt_edge.node import status
from xraygpt_edge.node.status import Status

REFRESH_S = 5
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="{refresh}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>xraygpt-edge node: {word}</title>
<style>body {{ font: 16px monospace; margin: 2em; border-top: 1em solid {colour}; }}</style></head>
<body><h1>{word}</h1><pre>{text}</pre>
<p>Written anew every {refresh} seconds while the node runs. Research software, not a medical device.</p></body></html>
"""
GOOD, BAD = ("in order", "green"), ("needs somebody", "red")


def write(root: Path, found: Status) -> None:
    """Both files, each whole or as it was; raises OutputError."""
    word, colour = BAD if status.exit_code(found) else GOOD
    page = PAGE.format(refresh=REFRESH_S, word=word, colour=colour, text=html.escape(status.text(found)))
    write_whole(root / "status.json", json.dumps(status.facts(found)).encode("ascii"))
    write_whole(root / "status.html", page.encode("utf-8"))
