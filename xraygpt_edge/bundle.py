"""A model bundle: a plain folder whose manifest names, measures and hashes every file in it.

Sizes, names and widths are checked at every load; hashes by `verify` and at `install`,
because hashing 4 GB takes longer than answering.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.errors import BundleAltered, BundleIncompatible, NoBundle, RuntimeMissing, UsageError
from xraygpt_edge.files import sha256_of, sync_folder
from xraygpt_edge.generation.prompt import Template

SCHEMA = 1
MANIFEST = "manifest.json"
MANIFEST_MAX_BYTES = 1 << 20
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
SHA256 = re.compile(r"[0-9a-f]{64}")
ENVIRONMENT = "XRAYGPT_BUNDLE"
HASHED_AT_LOAD_BYTES = 64 << 20
"""Files up to this size are hashed at every load: it takes less than 0.2 s."""


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


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder that fits its manifest in names and sizes."""

    root: Path
    manifest: Manifest
    manifest_sha256: str

    def file(self, role: str, *precisions: str) -> FileEntry:
        """The file of that role in the first precision that is there; without precisions, the first listed."""
        entries = {entry.precision: entry for entry in self.manifest.files if entry.role == role}
        for precision in precisions or entries:
            if precision in entries:
                return entries[precision]
        found = ", ".join(str(precision) for precision in entries) or "none"
        raise BundleIncompatible("E-BND-022", f"wanted {role} {' or '.join(precisions)}, it has {found}")

    def path_of(self, entry: FileEntry) -> Path:
        """Where the file is."""
        return self.root / entry.path

    def template(self, name: str | None) -> Template:
        """The prompt template of that name, or the bundle's default."""
        templates = self.manifest.prompt.templates
        chosen = name or self.manifest.prompt.default
        if chosen not in templates:
            raise UsageError("E-USE-005", f"this bundle has {', '.join(sorted(templates))}")
        return templates[chosen]


@dataclass(frozen=True, slots=True)
class Problem:
    """One difference between a manifest and the disk."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


@dataclass(frozen=True, slots=True)
class Warned:
    """What a user should know about a bundle that is intact."""

    id: str
    where: str
    """Names of files."""

    def __str__(self) -> str:
        entry = CATALOGUE[self.id]
        return f"{self.id}: {entry.what} ({self.where}). {entry.fix}"


def load(root: Path) -> Bundle:
    """Open a bundle folder; names and sizes are checked, and the hashes of its small files."""
    bundle = opened(root)
    _raise_first(_disk_problems(bundle) or _hash_problems(bundle, HASHED_AT_LOAD_BYTES))
    return bundle


def opened(root: Path) -> Bundle:
    """A bundle whose manifest was read and nothing else: what `verify` takes."""
    return Bundle(root, *_read_manifest(root))


def verify(bundle: Bundle) -> list[Problem]:
    """Every difference between manifest and disk, hashes included; an empty list means intact."""
    return [*_disk_problems(bundle), *_unlisted(bundle), *_hash_problems(bundle)]


def warnings(bundle: Bundle) -> list[Warned]:
    """What an intact bundle computes otherwise than the published program; empty when nothing is known."""
    language = [entry for entry in bundle.manifest.files if entry.role == "language"]
    rounded = [entry.path for entry in language if _has_rounded_frequencies(bundle.path_of(entry))]
    return [Warned("W-BND-001", ", ".join(rounded))] if rounded else []


def install(source: Path, store: Path) -> Bundle:
    """Copy a bundle into the store; it appears there whole, verified, or not at all."""
    bundle = load(source)
    _raise_first(verify(bundle))
    target = store / bundle.manifest.id
    if target.exists():
        raise UsageError("E-USE-006", f"{bundle.manifest.id} is already installed")
    partial = store / f".{bundle.manifest.id}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    try:
        for name in (MANIFEST, *(entry.path for entry in bundle.manifest.files)):
            _copy_synced(source / name, partial / name)
        _raise_first(verify(load(partial)))
        partial.rename(target)
        sync_folder(store)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return load(target)


def installed(store: Path) -> list[Path]:
    """Folders in the store that hold a manifest, by name."""
    if not store.is_dir():
        return []
    found = (folder for folder in store.iterdir() if NAME.fullmatch(folder.name))
    return sorted(folder for folder in found if not folder.name.startswith(".") and (folder / MANIFEST).is_file())


def demo_root() -> Path:
    """The demonstration bundle: in the installed package, or in the checkout."""
    package = Path(__file__).parent
    packed = package / "demo_bundle"
    return packed if packed.is_dir() else package.parent / "models" / "demo"


def find(wish: str | None, store: Path) -> Path:
    """The folder that a wish names: a folder, an installed bundle, or what stands in for no wish."""
    wish = wish or os.environ.get(ENVIRONMENT)
    if wish:
        return _find_named(wish, store)
    candidates = installed(store)
    if len(candidates) > 1:
        raise UsageError("E-USE-007", ", ".join(folder.name for folder in candidates))
    return candidates[0] if candidates else demo_root()


def _find_named(wish: str, store: Path) -> Path:
    if (Path(wish) / MANIFEST).is_file() or os.sep in wish:
        return Path(wish)
    if NAME.fullmatch(wish) and (store / wish / MANIFEST).is_file():
        return store / wish
    if wish == "demo":
        return demo_root()
    raise NoBundle("E-BND-001", f"no folder and no installed bundle of the name {wish!r}")


def _read_manifest(root: Path) -> tuple[Manifest, str]:
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


def _raise_first(problems: list[Problem]) -> None:
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise BundleAltered("E-BND-010", f"{problems[0]}{more}")


def _name_problems(manifest: Manifest) -> Iterator[Problem]:
    """Names that could lead out of the folder, clash, or mean something to a shell."""
    if not NAME.fullmatch(manifest.id) or manifest.id.startswith("."):
        yield Problem(MANIFEST, "has an id that is not a plain name")
    seen: set[str] = set()
    for entry in manifest.files:
        parts = entry.path.split("/")
        if not all(NAME.fullmatch(part) and not part.startswith(".") for part in parts):
            yield Problem(repr(entry.path), "is not a plain name")
        if entry.path.casefold() in seen | {MANIFEST}:
            yield Problem(entry.path, "is listed twice")
        if not SHA256.fullmatch(entry.sha256):
            yield Problem(entry.path, "has no sha256 in the manifest")
        seen.add(entry.path.casefold())


def _size_problems(bundle: Bundle) -> Iterator[Problem]:
    for entry in bundle.manifest.files:
        try:
            facts = bundle.path_of(entry).lstat()
        except OSError:
            yield Problem(entry.path, "is missing")
            continue
        if not stat.S_ISREG(facts.st_mode) or bundle.path_of(entry).parent.is_symlink():
            yield Problem(entry.path, "is a link or no plain file")
        elif facts.st_size != entry.size:
            yield Problem(entry.path, f"has {facts.st_size} of {entry.size} bytes")


def _disk_problems(bundle: Bundle) -> list[Problem]:
    """What can be seen without reading the files; a bad name is never looked for on the disk."""
    return list(_name_problems(bundle.manifest)) or list(_size_problems(bundle))


def _hash_problems(bundle: Bundle, up_to_bytes: int | None = None) -> list[Problem]:
    """Files of the right size with other bytes; a bundle is 0.4 GB a second."""
    broken = {problem.path for problem in _size_problems(bundle)}
    return [
        Problem(entry.path, "has another sha256 than the manifest says")
        for entry in bundle.manifest.files
        if entry.path not in broken and (up_to_bytes is None or entry.size <= up_to_bytes)
        if sha256_of(bundle.path_of(entry)) != entry.sha256
    ]


def _unlisted(bundle: Bundle) -> Iterator[Problem]:
    listed = {MANIFEST, *(entry.path for entry in bundle.manifest.files)}
    for path in sorted(bundle.root.rglob("*")):
        name = path.relative_to(bundle.root).as_posix()
        if name not in listed and (path.is_symlink() or not path.is_dir()):
            yield Problem(name, "is not in the manifest")


def _has_rounded_frequencies(language: Path) -> bool:
    from xraygpt_edge.generation.gguf_file import changes_rotary_frequencies  # brings numpy and llama.cpp

    try:
        return changes_rotary_frequencies(language)
    except (RuntimeMissing, BundleIncompatible):
        return False  # whoever loads the model is told why it cannot be opened


def _copy_synced(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())
