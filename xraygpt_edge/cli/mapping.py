"""`--map` and `--map-out`: whether maps are drawn, and where their pictures go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xraygpt_edge.errors import UsageError
from xraygpt_edge.records import Trust, TrustLevel

if TYPE_CHECKING:
    from xraygpt_edge.engine import EncodedImage
    from xraygpt_edge.loading import LoadOptions


def wanted(draw: bool, out: Path | None, level: TrustLevel, loading: LoadOptions, bundle: Path) -> bool:
    """Whether maps are asked for, their folder made; raises UsageError where none can be drawn, OutputError."""
    if not draw and out is None:
        return False
    from xraygpt_edge import bundle as bundles
    from xraygpt_edge.reports.job import make_folder
    from xraygpt_edge.trust.measured import require_measured

    if level == "off":
        raise UsageError("E-USE-001", "--map goes with --trust fast or full")
    if loading.memory == "low":
        raise UsageError("E-USE-001", "--map does not go with --memory low: the encoder has left by then")
    require_measured(bundles.opened(bundle).manifest.n_image_tokens)
    if out:
        make_folder(out)
    return True


def require_elsewhere(map_out: Path | None, folder: Path, out: Path) -> None:
    """Raise UsageError for pictures of maps that the next run would take for radiographs."""
    if map_out is None or out.resolve() in (map_out.resolve(), *map_out.resolve().parents):
        return
    if folder.resolve() in (map_out.resolve(), *map_out.resolve().parents):
        raise UsageError("E-USE-001", "--map-out must not lie among the radiographs; a folder below --out may")


def save(out: Path | None, image: EncodedImage, trust: Trust | None, notice: str) -> None:
    """Write the pictures of the maps of an answer, where that was asked for; raises OutputError."""
    if out and trust and trust.maps and image.model_view is not None:
        from xraygpt_edge.reports import map_pictures

        map_pictures.write(out, image.source.sha256[:12], image.model_view, trust.maps, notice)


def save_all(out: Path, map_out: Path, folder: Path) -> None:
    """Write the pictures of all maps in a batch's records, and name what has none; raises what reports raise."""
    from xraygpt_edge import reports
    from xraygpt_edge.cli.report import show_left_out
    from xraygpt_edge.reports.rows import read_batch

    show_left_out(reports.write("maps", reports.Job(read_batch(out), map_out, folder)))
