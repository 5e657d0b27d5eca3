"""What a bundle's `manifest.json` says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from xraygpt_edge.errors import BundleAltered, BundleIncompatible, NoBundle
from xraygpt_edge.generation.prompt import Template

SCHEMA = 1
MANIFEST = "manifest.json"
MANIFEST_MAX_BYTES = 1 << 20
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class ImageRecipe(msgspec.Struct, frozen=True):
    """How a radiograph becomes the encoder's tensor."""

    size_px: int
    fit: Literal["squash", "pad"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: Literal["bicubic"] = "bicubic"
    channels: Literal["rgb"] = "rgb"


class PromptRecipe(msgspec.Struct, frozen=True):
    """The words that the language model was trained with."""

    default: str
    stop: tuple[str, ...]
    templates: dict[str, Template]
    phrases: tuple[str, ...] = ()
    """What answers often say: guesses that save time and change no word."""


class FileEntry(msgspec.Struct, frozen=True):
    """One file of the bundle."""

    path: str
    """Relative to the bundle, with forward slashes."""
    role: Literal["vision", "language", "external-data", "receipts", "licence", "parity"]
    size: int
    sha256: str
    precision: str | None = None


class Manifest(msgspec.Struct, frozen=True):
    """What `manifest.json` says; fields of later versions are kept out by `schema`."""

    schema: int
    id: str
    kind: Literal["released", "medclip"]
    rows: int
    """Image rows for one radiograph."""
    width: int
    """Numbers in a row: the language model's embedding width."""
    image: ImageRecipe
    prompt: PromptRecipe
    files: tuple[FileEntry, ...]
    demo: bool = False
    licence: str = ""
    created_by: str = ""
    sources: tuple[dict[str, Any], ...] = ()
    tools: dict[str, str] = {}
    parity: dict[str, Any] = {}
    gates: dict[str, Any] = {}
    notes: tuple[str, ...] = ()


def read(root: Path) -> tuple[Manifest, str]:
    """The manifest of a bundle folder, and its SHA-256; raises NoBundle, BundleAltered, BundleIncompatible."""
    path = root / MANIFEST
    if not path.is_file():
        raise NoBundle("E-BND-001", f"no {MANIFEST} in {root.name!r}")
    if path.is_symlink() or path.stat().st_size > MANIFEST_MAX_BYTES:
        raise BundleAltered("E-BND-010", f"{MANIFEST} is a link or over 1 MiB")
    text = path.read_bytes()
    try:
        version = msgspec.json.decode(text, type=dict[str, Any]).get("schema")
        if version != SCHEMA:
            raise BundleIncompatible("E-BND-020", f"schema {version}, this version reads {SCHEMA}")
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleAltered("E-BND-010", f"{MANIFEST}: {error}") from error
    return manifest, hashlib.sha256(text).hexdigest()
