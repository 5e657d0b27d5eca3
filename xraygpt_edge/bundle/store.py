"""Where this user's bundles are: found, installed, listed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import platformdirs

from xraygpt_edge.bundle.bundle import Bundle, load, require_none, verify
from xraygpt_edge.bundle.manifest import MANIFEST, NAME
from xraygpt_edge.errors import NoBundle, UsageError
from xraygpt_edge.files import sync_folder

ENVIRONMENT = "XRAYGPT_BUNDLE"


def bundle_store() -> Path:
    """The folder of installed bundles."""
    return platformdirs.user_data_path("xraygpt-edge", appauthor=False) / "bundles"


def starts_folder() -> Path:
    """The cache folder of saved starts of prompts: nothing in it is needed, and nothing is about a patient."""
    return platformdirs.user_cache_path("xraygpt-edge", appauthor=False) / "starts"


def find_bundle(wish: str | None) -> Path:
    """The bundle that was asked for, or what stands in for no wish; raises NoBundle."""
    return find(wish, bundle_store())


def install(source: Path, store: Path) -> Bundle:
    """Copy a bundle into the store; it appears there whole, verified, or not at all."""
    bundle = load(source)
    require_none(verify(bundle))
    target = store / bundle.manifest.id
    if target.exists():
        raise UsageError("E-USE-006", f"{bundle.manifest.id} is already installed")
    partial = store / f".{bundle.manifest.id}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    try:
        for name in (MANIFEST, *(entry.path for entry in bundle.manifest.files)):
            _copy_synced(source / name, partial / name)
        require_none(verify(load(partial)))
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
    package = Path(__file__).parents[1]
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


def _copy_synced(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())
