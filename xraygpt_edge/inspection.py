"""What `inspect` tells: what a file is, every step from stored values to tensor, and the pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xraygpt_edge.files import replacing
from xraygpt_edge.images import PROFILES, Reading, ReadOptions
from xraygpt_edge.notes import Step
from xraygpt_edge.preprocess import ImageSpec, fit
from xraygpt_edge.records import Source
from xraygpt_edge.worker import Reader

GAP_PX = 4
"""Grey strip between two pictures."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """An account of one file; nothing in it identifies a patient but, perhaps, the pixels."""

    source: Source
    steps: tuple[Step, ...]
    """From the file to the tensor, under the profile that was asked for."""
    views: dict[str, NDArray[np.uint8]]
    """By profile: (size, size), the picture that the model would see."""

    @property
    def model_view(self) -> NDArray[np.uint8]:
        """Under the profile that was asked for."""
        return self.views[self.source.profile]

    @property
    def side_by_side(self) -> NDArray[np.uint8]:
        """All profiles in one picture, in the order of `views`."""
        gap = np.full((self.model_view.shape[0], GAP_PX), 128, np.uint8)
        parts = [part for view in self.views.values() for part in (gap, view)]
        return np.concatenate(parts[1:], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """For `inspect --json`."""
        return {"schema": 1, "input": asdict(self.source), "steps": [asdict(step) for step in self.steps]}


def inspect(path: Path, options: ReadOptions, spec: ImageSpec, reader: Reader) -> Inspection:
    """Read the file under every profile; raises InputRefused."""
    readings = {
        profile: reader.read_with_account(path, ReadOptions(profile, options.frame, options.force))
        for profile in PROFILES
    }
    views = {profile: np.asarray(fit(reading.radiograph.pixels, spec)) for profile, reading in readings.items()}
    chosen = readings[options.profile]
    return Inspection(chosen.radiograph.source, (*chosen.steps, *_last_steps(chosen, spec)), views)


def save_png(pixels: NDArray[np.uint8], target: Path) -> None:
    """Write a grey picture, completely or not at all."""
    with replacing(target) as stream:
        Image.fromarray(pixels).save(stream, format="PNG")


def half_blocks(pixels: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Grey levels for a terminal: (lines, columns, 2), the upper and the lower half of each cell."""
    height, width = pixels.shape
    lines = max(1, round(columns * height / width / 2))
    small = np.asarray(Image.fromarray(pixels).resize((columns, 2 * lines), Image.Resampling.BOX))
    return small.reshape(lines, 2, columns).transpose(0, 2, 1)


def _last_steps(reading: Reading, spec: ImageSpec) -> tuple[Step, ...]:
    rows, columns = reading.radiograph.pixels.shape
    shape = f"{columns} x {rows} to {spec.size_px} x {spec.size_px}"
    how = "the aspect ratio is not kept" if spec.fit == "squash" else "on a black square"
    return (
        Step("resize", f"{shape}, bicubic, {how}"),
        Step("tensor", "three equal channels, normalised with the mean and deviation of the bundle"),
    )
