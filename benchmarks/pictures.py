"""A folder of drawn radiographs, each another one: a batch answers equal pictures once."""

from __future__ import annotations

from pathlib import Path

FIRST_SEED = 40_000_000
"""Phantoms that the demonstration model never saw in training."""


def draw_folder(folder: Path, count: int, size_px: int) -> list[Path]:
    """Write phantoms as DICOM files, in all the ways that the examples are stored."""
    from export.demo.dicom_files import PACKINGS, write_phantom
    from export.demo.findings import sample_case

    folder.mkdir(parents=True)
    files = [folder / f"phantom-{number:04d}.dcm" for number in range(count)]
    for number, file in enumerate(files):
        write_phantom(file, sample_case(FIRST_SEED + number), PACKINGS[number % len(PACKINGS)], size_px)
    return files
