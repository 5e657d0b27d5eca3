"""The command line: `xraygpt-edge`."""

from __future__ import annotations

from xraygpt_edge.cli.app import main

__all__ = ["main"]
