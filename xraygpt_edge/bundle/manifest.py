"""What a bundle's `manifest.json` says: schema 2, and schema 1, which version 0.1.0 wrote.

Code decides by the fields. A family's word (`kind`) is for people.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from xraygpt_edge.errors import BundleAltered, BundleIncompatible, NoBundle
from xraygpt_edge.findings import Finding
from xraygpt_edge.generation.answer import CleanUp
from xraygpt_edge.generation.prompt import Template
from xraygpt_edge.records import Fit

SCHEMA = 2
"""What is written."""
MANIFEST = "manifest.json"
MANIFEST_MAX_BYTES = 1 << 20
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
ARCHITECTURES = ("llama", "gemma3")
"""Language models that this version runs."""
N_CTX = 2048
XRAYGPT_CLEAN_UP = CleanUp("Doctor:", ("ChatDoctor", "Chat Doctor"), "XrayGPT")
"""XrayGPT's own (mbzuai-oryx/XrayGPT @ d0baa6a, xraygpt/conversation), which schema 1 leaves unsaid."""

Count = Annotated[int, msgspec.Meta(ge=1)]
Grey = Annotated[int, msgspec.Meta(ge=0, le=255)]
View: TypeAlias = Literal["frontal", "lateral"]
PlainName = Annotated[str, msgspec.Meta(pattern=rf"^{NAME.pattern}$")]


class ImageRecipe(msgspec.Struct, frozen=True):
    """How a radiograph becomes the encoder's tensor."""

    size_px: int
    fit: Fit
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: Literal["bicubic", "bilinear"] = "bicubic"
    channels: Literal["rgb"] = "rgb"
    pad_color: tuple[Grey, Grey, Grey] = (0, 0, 0)
    """Red, green and blue round the picture, for pad-color."""


QuestionGroup: TypeAlias = Literal["describe", "findings", "heart", "normal or not", "infection", "other"]


class UsualQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question that the model is often asked."""

    group: QuestionGroup
    text: str
    """May hold {indication}: why the exam was asked for."""
    name: str = ""
    """What people write behind @ to ask it; it has none when left out."""


class PromptRecipe(msgspec.Struct, frozen=True):
    """The words that the language model was trained with."""

    default: str
    stop: tuple[str, ...]
    templates: dict[str, Template]
    phrases: tuple[str, ...] = ()
    """What answers often say: drafts from it save time and change no word."""
    clean_up: CleanUp = CleanUp()
    """What is taken out of an answer; nothing when left out."""
    findings: tuple[Finding, ...] = ()
    """What its reports state and deny; the fourteen of CheXpert when left out."""
    rewrite: str = ""
    """Words around a report that is to be rewritten, with {report} in them: for the bundle's rewriter, or for its
    language model where it has none. Nobody was taught that when left out."""
    questions: tuple[UsualQuestion, ...] = ()
    """Those that it was trained with, for people to choose from."""
    space_after_control: bool = True
    """Whether the tokenizer puts its leading space behind a control token too."""
    thinking: tuple[str, str] | None = None
    """The control tokens between which the model thinks aloud, which is no part of its answer; it does not when left
    out."""


class FileEntry(msgspec.Struct, frozen=True):
    """One file of the bundle."""

    path: str
    """Relative to the bundle, with forward slashes."""
    role: Literal["vision", "language", "external-data", "receipts", "licence", "parity", "profile", "rewriter"]
    size: int
    sha256: str
    precision: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What `manifest.json` says; fields of later versions are kept out by `schema`."""

    schema: int
    id: str
    kind: PlainName
    """The model's family, for people."""
    architecture: PlainName
    """Of the language model, by GGUF's name."""
    n_image_tokens: Count
    """Image embeddings of one radiograph."""
    n_embd: Count
    """Numbers in an embedding: the language model's width."""
    n_ctx: Count = N_CTX
    """Most tokens of context: prompt, image and answer."""
    image: ImageRecipe
    views: tuple[View, ...] = ()
    """Of the chest, those that the model was made for; any when left out."""
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


class PromptOfSchema1(PromptRecipe, frozen=True):
    """A prompt of schema 1: the program itself held XrayGPT's words."""

    clean_up: CleanUp = XRAYGPT_CLEAN_UP


class ManifestOfSchema1(Manifest, frozen=True, kw_only=True):
    """A manifest of version 0.1.0, which knew two forms of one model."""

    kind: Literal["released", "medclip"]
    architecture: Literal["llama"] = "llama"
    n_image_tokens: Count = msgspec.field(name="rows")
    n_embd: Count = msgspec.field(name="width")
    prompt: PromptOfSchema1


READABLE = {1: ManifestOfSchema1, SCHEMA: Manifest}


def read(root: Path) -> tuple[Manifest, str]:
    """The manifest of a bundle folder, and its SHA-256; raises NoBundle, BundleAltered, BundleIncompatible."""
    path = root / MANIFEST
    if not path.is_file():
        raise NoBundle("E-BND-001", f"no {MANIFEST} in {root.name!r}")
    if path.is_symlink() or path.stat().st_size > MANIFEST_MAX_BYTES:
        raise BundleAltered("E-BND-010", f"{MANIFEST} is a link or over 1 MiB")
    text = path.read_bytes()
    try:
        manifest = msgspec.json.decode(text, type=_layout(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleAltered("E-BND-010", f"{MANIFEST}: {error}") from error
    if manifest.architecture not in ARCHITECTURES:
        found = f"architecture {manifest.architecture}, this version runs {', '.join(ARCHITECTURES)}"
        raise BundleIncompatible("E-BND-020", found)
    return manifest, hashlib.sha256(text).hexdigest()


def json_schema() -> bytes:
    """JSON Schema of what is written, as text with a line break at its end."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Manifest)), indent=1) + b"\n"


def _layout(text: bytes) -> type[Manifest]:
    """The fields that a manifest must have, by its schema number; raises BundleIncompatible for another number."""
    version = msgspec.json.decode(text, type=dict[str, Any]).get("schema")
    if type(version) is not int or version not in READABLE:
        found = f"schema {version}, this version reads {' and '.join(map(str, READABLE))}"
        raise BundleIncompatible("E-BND-020", found)
    return READABLE[version]
