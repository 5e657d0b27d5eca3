"""Hostile DICOM files, read through the worker: `python -m tests.fuzz.dicom --count 10000 --seed 1`."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.drawn_dicom import as_bytes, chest, dataset
from tests.fuzz.hostile import Make, change, parser, told

EIGHT_BIT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
SHARED_SEEDS = ("cr_hip_mono2_jpegext12.dcm", "cr_dental_modalitylut_jpegll.dcm", "sc_htj2k_lossless_rgb.dcm")


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
        change(data, random, start)
    return bytes(data)


def make(*, codestream: bool) -> Make:
    """How the file of a number is made; codestream: only compressed pixels are changed."""
    files = seeds()
    return lambda number: mutated(number, files, codestream=codestream)


def main() -> int:
    """Exit code 0 when every outcome was allowed and memory stayed flat."""
    options = parser(__doc__)
    options.add_argument("--codestream", action="store_true", help="change compressed pixels only")
    chosen = options.parse_args()
    return told(make(codestream=chosen.codestream), chosen)


if __name__ == "__main__":
    sys.exit(main())
