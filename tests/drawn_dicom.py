"""Small DICOM files, made in memory: one hazard each."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

DX = "1.2.840.10008.5.1.4.1.1.1.1"


def chest(rows: int = 96, columns: int = 80, top: int = 4095) -> np.ndarray:
    """Smooth values 0..top, different in every corner."""
    down, across = np.mgrid[0:rows, 0:columns]
    shape = np.sin(across / columns * 9) + 0.5 * np.cos(down / rows * 5) + down / rows + 0.3 * across / columns
    shape -= shape.min()
    return np.rint(shape / shape.max() * top).astype(np.int64)


def dataset(values: np.ndarray, **fields: object) -> Dataset:
    """A DX object with these stored values; fields override its header, None removes an element."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = DX, generate_uid(entropy_srcs=["a"]), "DX"
    ds.BodyPartExamined = "CHEST"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = values.shape[-2], values.shape[-1], 1
    ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = values.astype("<u2").tobytes()
    for keyword, value in fields.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def as_bytes(ds: Dataset) -> bytes:
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", DX)
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    stream = BytesIO()
    syntax = ds.file_meta.TransferSyntaxUID
    order = {"implicit_vr": syntax == ImplicitVRLittleEndian, "little_endian": syntax != ExplicitVRBigEndian}
    ds.preamble = bytes(128)
    ds.save_as(stream, force_encoding=True, **order)  # also syntaxes that pydicom does not know
    return stream.getvalue()


def write(folder: Path, values: np.ndarray, **fields: object) -> Path:
    path = folder / "drawn.dcm"
    path.write_bytes(as_bytes(dataset(values, **fields)))
    return path
