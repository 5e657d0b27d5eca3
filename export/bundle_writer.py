"""The last step: manifest, licences, and the rename that makes a folder of files a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from export.errors import ExportRefused
from export.image_path import ImageFacts
from export.terms import Terms
from xraygpt_edge import __version__
from xraygpt_edge import bundle as bundles
from xraygpt_edge.bundle import MANIFEST, SCHEMA, FileEntry, Manifest, PromptRecipe
from xraygpt_edge.bundle.manifest import View
from xraygpt_edge.files import replacing, sha256_of, sync_folder

RECEIPTS = "receipts.npz"
PARITY = "PARITY.md"
NOTICE = "LICENSES/NOTICE.txt"
TOOLS = (
    "torch",
    "transformers",
    "optimum",
    "optimum-onnx",
    "onnx",
    "onnxruntime",
    "gguf",
    "llama-cpp-python",
    "sentencepiece",
    "numpy",
    "pillow",
)
LANGUAGE_ORDER = (
    "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "Q4_K_S", "Q5_K_S", "Q4_0", "F16", "F32", "Q3_K_M", "Q2_K",
)  # fmt: skip
"""What a program that was told nothing takes first: small, and still close to the original."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a finished bundle consists of."""

    bundle_id: str
    architecture: str
    """Of the language model, by GGUF's name."""
    demo: bool
    image: ImageFacts
    n_ctx: int
    """Most tokens of context."""
    prompt: PromptRecipe
    terms: Terms
    vision: Mapping[str, Path]
    """Files by precision, in the order in which they are listed."""
    language: Mapping[str, Path]
    sources: tuple[dict[str, Any], ...]
    parity: dict[str, Any]
    gates: dict[str, Any]
    views: tuple[View, ...]
    notes: tuple[str, ...]


def finish(folder: Path, contents: Contents, out: Path) -> None:
    """Turn the working folder into the bundle at out; until the rename there is no bundle at all."""
    notice = folder / NOTICE
    notice.parent.mkdir(exist_ok=True)
    with replacing(notice) as stream:
        stream.write(contents.terms.notice.encode())
    files = tuple(_entries(folder, contents))
    _prune(folder, {entry.path for entry in files})
    manifest = _manifest(contents, files)
    with replacing(folder / MANIFEST) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    written = bundles.load(folder)
    problems = [*bundles.verify(written), *bundles.warnings(written)]
    if problems:
        raise ExportRefused("The bundle that was just written does not verify.", [str(p) for p in problems])
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.rename(out)
    sync_folder(out.parent)


def enter(
    bundle: Path,
    path: Path,
    role: Any,
    precision: str | None = None,
    *,
    instead_of: FileEntry | None = None,
    rewrite: str | None = None,
) -> None:
    """List one more file of a finished bundle in its manifest, in place of an earlier one of its name.

    instead_of: another file that leaves the bundle for it. rewrite: the words around a report, for a rewriter. Nothing
    else changes.
    """
    path.chmod(0o644)
    manifest = bundles.opened(bundle).manifest
    entry = _entry(bundle, path, role, precision)
    others = [file for file in manifest.files if file.path != entry.path and file != instead_of]
    before = next((k for k, file in enumerate(others) if file.role == "parity"), len(others))
    files = (*others[:before], entry, *others[before:])
    prompt = manifest.prompt if rewrite is None else msgspec.structs.replace(manifest.prompt, rewrite=rewrite)
    changed = msgspec.structs.replace(manifest, files=files, prompt=prompt)
    with replacing(bundle / MANIFEST) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(changed), indent=1) + b"\n")
    (bundle / MANIFEST).chmod(0o644)
    if instead_of is not None and instead_of.path != entry.path:
        (bundle / instead_of.path).unlink()


def source_facts(files: Mapping[str, Path]) -> tuple[dict[str, Any], ...]:
    """Name, size and hash of every file that the bundle is made from."""
    return tuple({"name": name, "size": path.stat().st_size, "sha256": sha256_of(path)} for name, path in files.items())


def tool_versions() -> dict[str, str]:
    """Versions of everything that computes or writes a file of the bundle."""
    return {name: version(name) for name in TOOLS}


def by_preference(precisions: Iterable[str]) -> list[str]:
    """Language precisions in the order in which a bundle lists them."""
    return sorted(set(precisions), key=LANGUAGE_ORDER.index)


def _manifest(contents: Contents, files: tuple[FileEntry, ...]) -> Manifest:
    return Manifest(
        schema=SCHEMA,
        id=contents.bundle_id,
        kind=contents.image.kind,
        architecture=contents.architecture,
        n_image_tokens=contents.image.image_tokens,
        n_embd=contents.image.width,
        n_ctx=contents.n_ctx,
        image=contents.image.recipe,
        views=contents.views,
        prompt=contents.prompt,
        files=files,
        demo=contents.demo,
        licence=contents.terms.licence,
        created_by=f"xraygpt-edge {__version__}",
        sources=contents.sources,
        tools=tool_versions(),
        parity=contents.parity,
        gates=contents.gates,
        notes=(*contents.image.notes, *contents.notes),
    )


def _entries(folder: Path, contents: Contents) -> Iterable[FileEntry]:
    for precision, path in contents.vision.items():
        yield _entry(folder, path, "vision", precision)
        data = path.with_name(f"{path.name}_data")
        if data.is_file():
            yield _entry(folder, data, "external-data", precision)
    for precision, path in contents.language.items():
        yield _entry(folder, path, "language", precision)
    yield _entry(folder, folder / RECEIPTS, "receipts")
    yield _entry(folder, folder / PARITY, "parity")
    yield _entry(folder, folder / NOTICE, "licence")


def _entry(folder: Path, path: Path, role: Any, precision: str | None = None) -> FileEntry:
    return FileEntry(
        path=path.relative_to(folder).as_posix(),
        role=role,
        size=path.stat().st_size,
        sha256=sha256_of(path),
        precision=precision,
    )


def _prune(folder: Path, listed: set[str]) -> None:
    """Remove what was only needed on the way."""
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in listed:
            path.unlink()
