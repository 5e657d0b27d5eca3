"""Where this user's bundles are."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from xraygpt_edge import bundle


def bundle_store() -> Path:
    """The folder of installed bundles."""
    return platformdirs.user_data_path("xraygpt-edge", appauthor=False) / "bundles"


def find_bundle(wish: str | None) -> Path:
    """The bundle that was asked for, or what stands in for no wish; raises NoBundle."""
    return bundle.find(wish, bundle_store())
