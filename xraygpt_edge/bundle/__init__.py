"""Model bundles: a folder, what its manifest says of it, and where this user's are.

manifest  what `manifest.json` says
bundle    one folder: opened, verified
store     those of this user: found, installed, listed
"""

from __future__ import annotations

from xraygpt_edge.bundle.bundle import Bundle, Problem, Warned, load, opened, verify, warnings
from xraygpt_edge.bundle.manifest import (
    MANIFEST,
    N_CTX,
    NAME,
    SCHEMA,
    XRAYGPT_CLEAN_UP,
    FileEntry,
    ImageRecipe,
    Manifest,
    PromptRecipe,
)

__all__ = [
    "MANIFEST",
    "NAME",
    "N_CTX",
    "SCHEMA",
    "XRAYGPT_CLEAN_UP",
    "Bundle",
    "FileEntry",
    "ImageRecipe",
    "Manifest",
    "Problem",
    "PromptRecipe",
    "Warned",
    "load",
    "opened",
    "verify",
    "warnings",
]
