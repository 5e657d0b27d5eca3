"""One frame out of the pixel data, decoded to words by the one decoder of its syntax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import encaps
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.codestream import (
    Stream,
    as_words,
    bare_j2k,
    ended_j2k,
    j2k_stream,
    jpeg_stream,
    require_end,
)
from xraygpt_edge.imaging.dicom.container import quiet
from xraygpt_edge.imaging.dicom.fragments import ITEM, frame_bytes
from xraygpt_edge.imaging.dicom.header import Header
from xraygpt_edge.imaging.dicom.syntaxes import Codec, syntax_name

Words = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame."""

    words: Words
    """(rows, columns), or (rows, columns, 3) RGB of 8 bits."""
    stream: Stream | None
    """What the compressed stream said; None without compression and for RLE."""


def decode_frame(dataset: Dataset, header: Header, wanted: int | None, notes: Notes) -> Frame:
    """Decode the wanted frame, counted from 1; raises InputRefused.

    Whatever a decoder raises becomes one refusal: their texts are not fit for users and may quote the file.
    """
    index = _frame_index(header, wanted, notes)
    try:
        with quiet():
            frame = _decode(dataset, header, index, notes)
    except (InputRefused, MemoryError):
        raise
    except ImportError:
        raise InputRefused("E-DCM-007", f"{header.codec.value} for {syntax_name(header.transfer_syntax)}") from None
    except Exception as error:  # noqa: BLE001 - codecs raise whatever they like
        raise InputRefused("E-DCM-008", f"{header.codec.value}: {type(error).__name__}") from None
    notes.step("decoding", f"{syntax_name(header.transfer_syntax)}, by {header.codec.value}")
    return frame


def _frame_index(header: Header, wanted: int | None, notes: Notes) -> int:
    if wanted is None:
        if header.frames > 1:
            raise InputRefused("E-DCM-011", f"{header.frames} frames")
        return 0
    if not 1 <= wanted <= header.frames:
        raise InputRefused("E-DCM-012", f"frame {wanted} of {header.frames}")
    if header.frames > 1:
        notes.know(frame=wanted)
        notes.warn("W-DCM-020", f"frame {wanted} of {header.frames}")
    return wanted - 1


def _decode(dataset: Dataset, header: Header, index: int, notes: Notes) -> Frame:
    if not header.codec.has_stream:
        return Frame(_by_pydicom(dataset, header, index, notes), None)
    frame = _compressed(dataset, header, index, notes)
    if header.codec is Codec.JPEG_2000:
        frame = _whole_j2k(bare_j2k(frame), notes)
    stream = j2k_stream(frame) if header.codec is Codec.JPEG_2000 else jpeg_stream(frame)
    _require_agreement(stream, header)
    words = DECODERS[header.codec](frame, stream, header)
    if words.shape[:2] != (header.rows, header.columns):
        raise InputRefused("E-DCM-016", "the decoder returned another size")
    return Frame(words, stream)


def _require_agreement(stream: Stream, header: Header) -> None:
    """Header and stream describe the same picture."""
    found = (stream.rows, stream.columns, stream.components)
    if found != (header.rows, header.columns, header.samples):
        raise InputRefused("E-DCM-016", "another number of rows, columns or samples")
    if not 2 <= stream.precision <= header.bits_allocated:
        raise InputRefused("E-DCM-016", "more bits a sample than the header allocates")


def _compressed(dataset: Dataset, header: Header, index: int, notes: Notes) -> bytes:
    """The compressed bytes of one frame."""
    element = dataset["PixelData"]
    if not element.is_undefined_length and element.value[:4] != ITEM:
        raise InputRefused("E-DCM-016", "the pixel data are not compressed as the header says")
    return frame_bytes(element.value, header.codec, header.frames, index, notes)


def _whole_j2k(codestream: bytes, notes: Notes) -> bytes:
    ended = ended_j2k(codestream)
    if ended is not codestream:
        notes.warn("W-DCM-024", "the mark at the end of the JPEG 2000 stream")
    return ended


def _by_pydicom(dataset: Dataset, header: Header, index: int, notes: Notes) -> Words:
    """Uncompressed and RLE."""
    if header.codec is Codec.RLE:
        data = encaps.encapsulate([_compressed(dataset, header, index, notes)], has_bot=False)
        header, index = replace(header, frames=1), 0
    else:
        data = dataset["PixelData"].value
        _require_length(len(data), header, notes)
    samples = {"planar_configuration": header.planar} if header.samples > 1 else {}
    words, _ = get_decoder(header.transfer_syntax).as_array(
        data,
        index=index,
        decoding_plugin="pydicom" if header.codec is Codec.RLE else "",
        view_only=True,
        correct_unused_bits=False,
        rows=header.rows,
        columns=header.columns,
        number_of_frames=header.frames,
        samples_per_pixel=header.samples,
        photometric_interpretation=header.photometric,
        pixel_representation=0,  # the sign is ours to apply, in `layout`
        bits_allocated=header.bits_allocated,
        bits_stored=header.bits_stored,
        pixel_keyword="PixelData",
        pixel_vr="OB" if dataset["PixelData"].VR == "OB" else "OW",
        **samples,
    )
    if header.bits_allocated == 8:
        return np.ascontiguousarray(words, np.uint8)
    return np.ascontiguousarray(words, np.uint16)


def _require_length(found: int, header: Header, notes: Notes) -> None:
    """Exactly the bytes that the header announces; one byte may pad to an even length."""
    wanted = header.frame_bytes * header.frames
    if found < wanted:
        error_id = "E-DCM-012" if header.frames > 1 and found >= header.frame_bytes else "E-DCM-009"
        raise InputRefused(error_id, f"{found} of {wanted} bytes")
    if found > wanted + wanted % 2:
        notes.refuse("E-DCM-010", f"{found - wanted} bytes too many")


def _by_pillow(frame: bytes, stream: Stream, header: Header) -> Words:
    if stream.precision != 8:
        raise InputRefused("E-DCM-016", "a baseline JPEG stream with other than 8 bits")
    with Image.open(BytesIO(frame), formats=("JPEG",)) as image:
        if header.photometric == "RGB" and "adobe_transform" not in image.info:
            image.draft("YCbCr", image.size)  # says: no colour transform was applied
        image.load()
        return np.asarray(image)


def _by_gdcm(frame: bytes, stream: Stream, header: Header) -> Words:
    from xraygpt_edge.imaging.dicom import gdcm_codec  # 13 MB of library, for two syntaxes

    if header.samples != 1:
        raise InputRefused("E-DCM-006", f"colour in {syntax_name(header.transfer_syntax)}")
    return gdcm_codec.decode(frame, stream, header.transfer_syntax)


def _by_charls(frame: bytes, stream: Stream, header: Header) -> Words:
    import jpeg_ls

    require_end(frame)

    buffer, info = jpeg_ls.decode_pixel_data(frame)
    words = as_words(buffer, stream)
    if stream.components == 1:
        return words.reshape(stream.rows, stream.columns)
    if info["interleave_mode"] == 0:
        return np.moveaxis(words.reshape(3, header.rows, header.columns), 0, -1)
    return words.reshape(stream.rows, stream.columns, 3)


def _by_openjpeg(frame: bytes, stream: Stream, header: Header) -> Words:
    import openjpeg

    words = as_words(openjpeg.decode_pixel_data(frame, version=2), stream)
    return words.reshape((header.rows, header.columns, 3)[: 2 if header.samples == 1 else 3])


DECODERS: dict[Codec, Callable[[bytes, Stream, Header], Words]] = {
    Codec.JPEG: _by_pillow,
    Codec.GDCM: _by_gdcm,
    Codec.JPEG_LS: _by_charls,
    Codec.JPEG_2000: _by_openjpeg,
}
