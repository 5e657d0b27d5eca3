"""Small models in the published layouts, for the tests of the export."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np

from export import medclip, released
from export.measure import Meter
from export.pipeline import Plan, Result, Source, export_bundle

SHARED = Path(__file__).parents[2] / "shared" / "fixtures"
RELEASED = SHARED / "released_tiny"
MEDCLIP = SHARED / "medclip_tiny"
VICUNA = RELEASED / "vicuna"


def released_files(folder: Path = RELEASED) -> dict[str, Path]:
    return {
        "eva": folder / "eva_vit_g.pth",
        "blip2": folder / "blip2_pretrained.pth",
        "checkpoint": folder / "xraygpt_checkpoint.pth",
    }


def released_source(files: dict[str, Path] | None = None, vicuna: Path = VICUNA) -> Source:
    files = files or released_files()
    return Source(files, partial(released.load, released.Files(**files)), vicuna)


def medclip_source(vicuna: Path = VICUNA) -> Source:
    files = {"medclip": MEDCLIP / "medclip-vit/pytorch_model.bin", "checkpoint": MEDCLIP / "xraygpt_checkpoint.pth"}
    return Source(files, partial(medclip.load, medclip.Files(**files)), vicuna)


def export(source: Source, out: Path, vision: str = "int8", language: str = "Q8_0") -> Result:
    plan = Plan(out.name, source, tuple(vision.split(",")), tuple(language.split(",")), threads=1)
    return export_bundle(plan, out, Meter())


def expected(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    with np.load(folder / "expected.npz") as arrays:
        return json.loads((folder / "expected.json").read_text()), dict(arrays)
