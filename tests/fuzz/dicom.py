"""Hostile DICOM files, read through the worker: `python -m tests.fuzz.dicom --count 10000 --seed 1`.

Every file comes from one number, which is printed when something is wrong; `--only NUMBER` repeats it.
Allowed outcomes: a picture, or InputRefused. Counted apart: refusals by deadline, memory or crash.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.drawn_dicom import as_bytes, chest, dataset
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.imaging.isolated import Reader

EIGHT_BIT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
CONTAINED = frozenset({"E-DCM-020", "E-DCM-021", "E-DCM-022"})
SHARED_SEEDS = ("cr_hip_mono2_jpegext12.dcm", "cr_dental_modalitylut_jpegll.dcm", "sc_htj2k_lossless_rgb.dcm")
MEMORY_GROWTH_MAX_BYTES = 30 << 20


@dataclass
class Tally:
    """What became of the files."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def seeds() -> list[bytes]:
    """Whole files, one of each syntax, with the elements that reading looks at."""
    plain = {"PatientOrientation": ["L", "F"], "WindowCenter": "2048", "WindowWidth": "4096", "PixelPaddingValue": 0}
    files = [as_bytes(dataset(chest(), **plain, RescaleSlope="1", RescaleIntercept="0"))]
    for syntax, plugin in ((RLELossless, "pydicom"), (JPEG2000Lossless, "pylibjpeg"), (JPEGLSLossless, "pyjpegls")):
        ds = dataset(chest(), **plain)
        ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
        files.append(as_bytes(ds))
    stream = BytesIO()
    Image.fromarray((chest() >> 4).astype(np.uint8)).save(stream, "JPEG")
    files.append(_with_frame(stream.getvalue(), JPEGBaseline8Bit))
    return files + [file for file in _shared_seeds() if len(file) < 2_000_000]


def _with_frame(frame: bytes, syntax: str) -> bytes:
    ds = dataset(chest(), **EIGHT_BIT, PixelData=encapsulate([frame]))
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    return as_bytes(ds)


def _shared_seeds() -> list[bytes]:
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "radiographs"
    return [(folder / name).read_bytes() for name in SHARED_SEEDS if (folder / name).is_file()]


def mutated(number: int, files: list[bytes], *, codestream: bool) -> bytes:
    """The file of that number: bytes changed, removed, repeated, or the end cut off."""
    random = np.random.default_rng(number)
    candidates = files[1:] if codestream else files
    data = bytearray(candidates[random.integers(len(candidates))])
    start = data.find(b"\xe0\x7f\x10\x00") + 12 if codestream else 0
    for _ in range(random.integers(1, 12)):
        _change(data, random, start)
    return bytes(data)


def _change(data: bytearray, random: np.random.Generator, start: int) -> None:
    """One change at or after `start`; half of them near it, where headers are."""
    if len(data) <= start + 8:
        return
    end = min(len(data), start + 700) if random.random() < 0.5 else len(data)
    at = int(random.integers(start, end))
    kind = random.integers(6)
    if kind == 0:
        data[at] ^= 1 << int(random.integers(8))
    elif kind == 1:
        data[at] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, int(random.integers(256))]))
    elif kind == 2:
        data[at : at + 4] = random.integers(0, 256, 4).astype(np.uint8).tobytes()
    elif kind == 3:
        del data[at : at + int(random.integers(1, 64))]
    elif kind == 4:
        data[at:at] = data[at : at + int(random.integers(1, 64))]
    elif random.random() < 0.3:
        del data[at:]


def check(reader: Reader, path: Path, options: ReadOptions) -> str:
    """Read one file: the id of its refusal, or "read". Anything else propagates."""
    try:
        radiograph = reader.read(path, options)
    except InputRefused as refusal:
        return refusal.error_id
    assert radiograph.pixels.dtype == np.uint8
    assert radiograph.pixels.ndim == 2
    return "read"


def run(numbers: Iterator[int], *, codestream: bool, deadline_s: float = 10.0) -> Tally:
    """Read every mutated file; what is not a picture or a typed refusal is listed as wrong."""
    tally, files = Tally(), seeds()
    with tempfile.TemporaryDirectory() as folder, Reader(deadline_s=deadline_s) as reader:
        path = Path(folder) / "mutated.dcm"
        for number in numbers:
            path.write_bytes(mutated(number, files, codestream=codestream))
            began_s = time.monotonic()
            try:
                outcome = check(reader, path, ReadOptions(force=True))
            except Exception as error:  # noqa: BLE001 - that is what we look for
                outcome = f"WRONG {type(error).__name__}"
            took_s = time.monotonic() - began_s
            tally.outcomes[outcome] += 1
            tally.slowest_s = max(tally.slowest_s, took_s)
            if outcome.startswith("WRONG") or took_s > deadline_s + 5:
                tally.wrong.append(f"seed {number}: {outcome} after {took_s:.1f} s")
            elif outcome in CONTAINED:
                print(f"contained: seed {number}: {outcome} after {took_s:.1f} s")
    return tally


def main() -> int:
    """Exit code 0 when every outcome was allowed and memory stayed flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="repeat the file with this number")
    parser.add_argument("--codestream", action="store_true", help="change compressed pixels only")
    options = parser.parse_args()
    first = options.seed * 1_000_000
    numbers = iter([options.only]) if options.only is not None else iter(range(first, first + options.count))
    print(f"seeds {first} to {first + options.count - 1}, codestream={options.codestream}")
    before = psutil.Process().memory_info().rss
    tally = run(numbers, codestream=options.codestream)
    growth = psutil.Process().memory_info().rss - before
    print(dict(tally.outcomes.most_common()))
    print(f"slowest {tally.slowest_s:.1f} s, memory of the program grew by {growth >> 20} MB")
    print("\n".join(tally.wrong) or "nothing wrong")
    return 1 if tally.wrong or growth > MEMORY_GROWTH_MAX_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
