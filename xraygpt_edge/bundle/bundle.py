"""A model bundle: a plain folder whose manifest names, measures and hashes every file in it.

Sizes, names and widths are checked at every load; hashes by `verify` and at `install`,
because hashing 4 GB takes longer than answering.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xraygpt_edge.bundle.manifest import MANIFEST, NAME, FileEntry, Manifest, read
from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.errors import BundleAltered, BundleIncompatible, RuntimeMissing, UsageError
from xraygpt_edge.files import sha256_of
from xraygpt_edge.generation.prompt import Template
from xraygpt_edge.text import file_name

SHA256 = re.compile(r"[0-9a-f]{64}")
HASHED_AT_LOAD_BYTES = 64 << 20
"""Files up to this size are hashed at every load: it takes less than 0.2 s."""


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

    @property
    def rewriter(self) -> FileEntry | None:
        """The language model that rewrites reports, where it is not the one that answers."""
        return next((entry for entry in self.manifest.files if entry.role == "rewriter"), None)

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
    require_none(_disk_problems(bundle) or _hash_problems(bundle, HASHED_AT_LOAD_BYTES))
    return bundle


def opened(root: Path) -> Bundle:
    """A bundle whose manifest was read and nothing else: what `verify` takes."""
    return Bundle(root, *read(root))


def verify(bundle: Bundle) -> list[Problem]:
    """Every difference between manifest and disk, hashes included; an empty list means intact."""
    return [*_disk_problems(bundle), *_unlisted(bundle), *_hash_problems(bundle)]


def warnings(bundle: Bundle) -> list[Warned]:
    """What an intact bundle computes otherwise than the published program; empty when nothing is known."""
    language = [entry for entry in bundle.manifest.files if entry.role == "language"]
    rounded = [entry.path for entry in language if _has_rounded_frequencies(bundle.path_of(entry))]
    return [Warned("W-BND-001", ", ".join(rounded))] if rounded else []


def require_none(problems: list[Problem]) -> None:
    """Raise BundleAltered with the first problem, if there is any."""
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
            yield Problem(file_name(name), "is not in the manifest")


def _has_rounded_frequencies(language: Path) -> bool:
    from xraygpt_edge.generation.gguf_file import changes_rotary_frequencies  # brings numpy and llama.cpp

    try:
        return changes_rotary_frequencies(language)
    except (RuntimeMissing, BundleIncompatible):
        return False  # whoever loads the model is told why it cannot be opened
