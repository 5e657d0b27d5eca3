"""Phantoms as DICOM files, with the headers that a radiography room writes; nobody is in them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from .findings import Case, sample_case
from .phantoms import draw
from .texts import findings_of

UID_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
DRAWN_MAX = 4095
DATE, TIME = "20260101", "120000"


@dataclass(frozen=True, slots=True)
class Packing:
    """How a picture is stored."""

    sop_class: str = DigitalXRayImageStorageForPresentation
    transfer_syntax: str = ExplicitVRLittleEndian
    monochrome1: bool = False
    bits: int = 12


DX = Packing()
PACKINGS = (
    DX,
    replace(DX, monochrome1=True),
    replace(DX, transfer_syntax=JPEG2000Lossless),
    replace(DX, transfer_syntax=RLELossless, sop_class=ComputedRadiographyImageStorage),
    replace(DX, sop_class=SecondaryCaptureImageStorage, bits=8),
)


def write_phantom(path: Path, case: Case, packing: Packing = DX, size_px: int = 256) -> None:
    """Draw a case and write it."""
    write_picture(path, draw(case, size_px), case.seed, packing)


def write_picture(path: Path, values: NDArray[np.uint16], number: int, packing: Packing = DX) -> None:
    """Write drawn values, 0..4095 with bright bone, as a DICOM file."""
    dataset = _dataset(number, packing)
    _add_pixels(dataset, values, packing)
    dataset.save_as(path, enforce_file_format=True)


def _dataset(number: int, packing: Packing) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = packing.sop_class
    meta.MediaStorageSOPInstanceUID = _uid(number, "image")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = f"PHANTOM^{number}", f"PHANTOM-{number}"
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _uid(number, "study"), _uid(number, "series")
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = TIME
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "1", "", ""
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Manufacturer, dataset.ManufacturerModelName = "xraygpt-edge", "drawn phantom"
    dataset.Modality = "CR" if packing.sop_class == ComputedRadiographyImageStorage else "DX"
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", "PA"
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImageLaterality = "U"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    if packing.sop_class == SecondaryCaptureImageStorage:
        dataset.ConversionType = "SYN"
    if packing.sop_class == DigitalXRayImageStorageForPresentation:
        _add_dx_module(dataset, packing)
    return dataset


def _add_dx_module(dataset: Dataset, packing: Packing) -> None:
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if packing.monochrome1 else -1  # -1: larger values mean less X-ray
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.AcquisitionContextSequence = []
    dataset.AnatomicRegionSequence = [_code("43799004", "SCT", "Chest")]
    dataset.ViewCodeSequence = [_code("399348003", "SCT", "postero-anterior")]
    dataset.DetectorType = "DIRECT"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _add_pixels(dataset: FileDataset, values: NDArray[np.uint16], packing: Packing) -> None:
    top = (1 << packing.bits) - 1
    stored = values if packing.bits == 12 else (values.astype(np.uint32) * top // DRAWN_MAX).astype(np.uint16)
    stored = top - stored if packing.monochrome1 else stored
    stored = stored.astype(np.uint8 if packing.bits <= 8 else np.uint16)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME1" if packing.monochrome1 else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if packing.monochrome1 else "IDENTITY"
    dataset.BitsAllocated = 8 * stored.dtype.itemsize
    dataset.BitsStored, dataset.HighBit = packing.bits, packing.bits - 1
    dataset.WindowCenter, dataset.WindowWidth = (top + 1) // 2, top + 1
    spacing = 400 / stored.shape[0]
    dataset.PixelSpacing = dataset.ImagerPixelSpacing = [round(spacing, 6)] * 2
    dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OB" if packing.bits <= 8 else "OW"
    if packing.transfer_syntax != ExplicitVRLittleEndian:
        dataset.compress(packing.transfer_syntax, generate_instance_uid=False)


def _uid(number: int, what: str) -> str:
    """A UID that depends on the phantom's number alone."""
    return f"2.25.{uuid.uuid5(UID_NAMESPACE, f'xraygpt-edge phantom {number} {what}').int}"


@dataclass(frozen=True, slots=True)
class Example:
    """One of the files in `examples/`."""

    name: str
    wanted: Callable[[Case], bool]
    packing: Packing


EXAMPLES = (
    Example("effusion-right", lambda case: case.labels == {"effusion right"}, DX),
    Example("large-heart-mono1", lambda case: case.labels == {"cardiomegaly"}, PACKINGS[1]),
    Example("pneumothorax-left-jpeg2000", lambda case: case.labels == {"pneumothorax left"}, PACKINGS[2]),
    Example("pneumonia-right-lower-rle", lambda case: case.labels == {"consolidation right lower"}, PACKINGS[3]),
    Example("nodule-left-8bit", lambda case: case.labels == {"nodule left"}, PACKINGS[4]),
    Example("oedema-and-device", lambda case: case.labels == {"oedema", "device"}, PACKINGS[2]),
    Example("normal", lambda case: not case.labels, PACKINGS[2]),
)
EXAMPLE_SEEDS = range(30_000_000, 30_100_000)
EXAMPLE_PX = 640


def write_examples(folder: Path) -> None:
    """Write the example files and the text that says what was drawn in each."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, example in enumerate(EXAMPLES, 1):
        case = next(case for case in map(sample_case, EXAMPLE_SEEDS) if example.wanted(case))
        path = folder / f"phantom-{number}-{example.name}.dcm"
        write_phantom(path, case, example.packing, EXAMPLE_PX)
        lines.append(f"| `{path.name}` | {_drawn(case)} | {_packed(example.packing)} |")
    (folder / "README.md").write_text(_README.format(rows="\n".join(lines)), "utf-8")


def _drawn(case: Case) -> str:
    found = [
        " ".join(part for part in (finding.how, finding.side, finding.zone, finding.kind) if part)
        for finding in findings_of(case)
    ]
    return ", ".join(found).replace("heart", "large heart") or "nothing abnormal"


def _packed(packing: Packing) -> str:
    name = {
        DigitalXRayImageStorageForPresentation: "DX",
        ComputedRadiographyImageStorage: "CR",
        SecondaryCaptureImageStorage: "Secondary Capture",
    }[packing.sop_class]
    syntax = {JPEG2000Lossless: "JPEG 2000 lossless", RLELossless: "RLE"}.get(packing.transfer_syntax, "uncompressed")
    return f"{name}, {packing.bits} bit, {'MONOCHROME1' if packing.monochrome1 else 'MONOCHROME2'}, {syntax}"


_README = """# Examples

Drawn phantoms, not people: every line of them comes from `export/demo/phantoms.py`. The demonstration model was
trained on other phantoms of the same kind. Sides are the patient's: right is on the left of the picture.

| file | what was drawn | how it is stored |
|---|---|---|
{rows}

Ask one:

```console
$ xraygpt-edge ask examples/phantom-1-effusion-right.dcm "Is there a right pleural effusion?"
```

`reports/` holds synthetic reports about other phantoms, with what real ones have besides: comparisons, views, marks of
de-identification, missing sections (`python -m export reports` makes more). Clean them, and let the demonstration
rewrite what is left:

```console
$ xraygpt-edge summarize examples/reports --out DIR --mode rewrite --to html
```
"""
