"""Lossless and 12-bit JPEG through GDCM's image class, from memory.

pydicom's own bridge to GDCM refuses 12-bit streams; the depth has to come from the stream, since
the header often says less.
"""

from __future__ import annotations

import gdcm
import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.dicom.codestream import Stream, as_words

gdcm.Trace.WarningOff()
gdcm.Trace.ErrorOff()
gdcm.Trace.DebugOff()


def decode(frame: bytes, stream: Stream, transfer_syntax: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode one grey frame to words of 8 or 16 bits, (rows, columns)."""
    image = _image(frame, stream, transfer_syntax)
    text = image.GetBuffer()  # raises when the stream is damaged
    buffer = text.encode("utf-8", "surrogateescape")
    words = as_words(buffer, stream)
    if words.size != stream.rows * stream.columns:
        raise InputRefused("E-DCM-008", "the decoder returned another size")
    return words.reshape(stream.rows, stream.columns)


def _image(frame: bytes, stream: Stream, transfer_syntax: str) -> gdcm.Image:
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((stream.columns, stream.rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2)
    image.SetPhotometricInterpretation(grey)
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(transfer_syntax)))
    allocated = 8 if stream.precision <= 8 else 16
    image.SetPixelFormat(gdcm.PixelFormat(1, allocated, stream.precision, stream.precision - 1, 0))
    return image
