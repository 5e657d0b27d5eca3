"""What `inspect` tells: what a file is, every step from stored values to tensor, and the pictures."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xraygpt_edge.errors import InputRefused, OutputError
from xraygpt_edge.files import replacing
from xraygpt_edge.imaging.images import PROFILES, Reading, ReadOptions
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.imaging.preprocess import ImageSpec, fit, part_seen, with_warnings
from xraygpt_edge.records import NOTICE, SCHEMA, Source, Step


@dataclass(frozen=True, slots=True)
class Inspection:
    """An account of one file; nothing in it identifies a patient but, perhaps, the pixels."""

    source: Source
    steps: tuple[Step, ...]
    """From the file to the tensor, under the profile that was asked for."""
    model_view: NDArray[np.uint8]
    """(size, size) or (size, size, 3), the picture that the model sees."""

    def to_dict(self) -> dict[str, Any]:
        """The object that `inspect --json` prints."""
        steps = [asdict(step) for step in self.steps]
        return {"schema": SCHEMA, "status": "ok", "input": asdict(self.source), "steps": steps, "notice": NOTICE}


def inspect(path: Path, options: ReadOptions, spec: ImageSpec, reader: Reader) -> Inspection:
    """Read the file; raises InputRefused."""
    reading = reader.read_with_account(path, options)
    source = with_warnings(reading.radiograph, spec).source
    return Inspection(source, (*reading.steps, *last_steps(reading, spec)), _view(reading, spec))


def views(
    account: Inspection, path: Path, options: ReadOptions, spec: ImageSpec, reader: Reader
) -> dict[str, NDArray[np.uint8]]:
    """What the model would see of an inspected file under each profile that can read it."""
    found = {options.profile: account.model_view}
    for profile in set(PROFILES) - found.keys():
        with contextlib.suppress(InputRefused):
            found[profile] = _view(reader.read_with_account(path, replace(options, profile=profile)), spec)
    return {profile: found[profile] for profile in PROFILES if profile in found}


def save_png(pixels: NDArray[np.uint8], target: Path, original: Path) -> None:
    """Write a grey picture, completely or not at all, and never over the file that it was made from."""
    try:
        if target.exists() and target.samefile(original):
            raise OutputError("E-OUT-004")
        if target.exists() and not target.is_file():
            raise OutputError("E-OUT-001", "no plain file")
        with replacing(target) as stream:
            Image.fromarray(pixels).save(stream, format="PNG")
    except OSError as error:
        raise OutputError("E-OUT-001", error.strerror or type(error).__name__) from None


def half_blocks(pixels: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Grey levels for a terminal: (lines, columns, 2), the upper and the lower half of each cell."""
    height, width = pixels.shape[:2]
    lines = max(1, round(columns * height / width / 2))
    small = np.asarray(Image.fromarray(pixels).convert("L").resize((columns, 2 * lines), Image.Resampling.BOX))
    return small.reshape(lines, 2, columns).transpose(0, 2, 1)


def _view(reading: Reading, spec: ImageSpec) -> NDArray[np.uint8]:
    return np.asarray(fit(reading.radiograph.pixels, spec))


def last_steps(reading: Reading, spec: ImageSpec) -> tuple[Step, ...]:
    """From the picture to the tensor."""
    rows, columns = reading.radiograph.pixels.shape
    shape = f"{columns} x {rows} to {spec.size_px} x {spec.size_px}"
    how = {
        "squash": "the aspect ratio is not kept",
        "pad": "on a black square",
        "crop": f"{part_seen(rows, columns, spec)}, what lies outside is not seen",
        "pad-color": f"on a square of the colour {spec.pad_color}",
    }[spec.fit]
    channels = "equal channels" if spec.fit != "pad-color" or rows == columns else "channels"
    return (
        Step("resize", f"{shape}, {spec.resample}, {how}"),
        Step("tensor", f"three {channels}, normalised with the mean and deviation of the bundle"),
    )
