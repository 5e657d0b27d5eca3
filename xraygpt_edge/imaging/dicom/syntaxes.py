"""Which decoder reads which transfer syntax. One strict decoder each, always the same one.

Decoders differ by a grey level here and there, and some return half a picture of a damaged
stream without a word, so none is ever chosen by what happens to be installed.
"""

from __future__ import annotations

from enum import Enum

from pydicom.uid import UID_dictionary


class Codec(Enum):
    """Who turns the frame into words."""

    NATIVE = "pydicom (uncompressed)"
    RLE = "pydicom (RLE)"
    JPEG = "Pillow (JPEG baseline)"
    GDCM = "GDCM (JPEG lossless, JPEG extended)"
    JPEG_LS = "CharLS (JPEG-LS)"
    JPEG_2000 = "OpenJPEG (JPEG 2000, HTJ2K)"

    @property
    def encapsulated(self) -> bool:
        """Frames are stored compressed, as fragments."""
        return self is not Codec.NATIVE

    @property
    def has_stream(self) -> bool:
        """Frames begin with a header that repeats the picture's size."""
        return self not in (Codec.NATIVE, Codec.RLE)


ROOT = "1.2.840.10008.1.2"

CODECS = {
    ROOT: Codec.NATIVE,
    f"{ROOT}.1": Codec.NATIVE,
    f"{ROOT}.1.99": Codec.NATIVE,
    f"{ROOT}.2": Codec.NATIVE,
    f"{ROOT}.5": Codec.RLE,
    f"{ROOT}.4.50": Codec.JPEG,
    f"{ROOT}.4.51": Codec.GDCM,
    f"{ROOT}.4.57": Codec.GDCM,
    f"{ROOT}.4.70": Codec.GDCM,
    f"{ROOT}.4.80": Codec.JPEG_LS,
    f"{ROOT}.4.81": Codec.JPEG_LS,
    f"{ROOT}.4.90": Codec.JPEG_2000,
    f"{ROOT}.4.91": Codec.JPEG_2000,
    f"{ROOT}.4.201": Codec.JPEG_2000,
    f"{ROOT}.4.202": Codec.JPEG_2000,
    f"{ROOT}.4.203": Codec.JPEG_2000,
}

LATER_NAMES = {
    f"{ROOT}.4.110": "JPEG XL Lossless",
    f"{ROOT}.4.111": "JPEG XL JPEG Recompression",
    f"{ROOT}.4.112": "JPEG XL",
    f"{ROOT}.8.1": "Deflated Image Frame Compression",
}
"""Syntaxes that pydicom's dictionary may not have yet."""


def syntax_name(transfer_syntax: str) -> str:
    """The standard's name of a transfer syntax; a UID itself is never shown."""
    if transfer_syntax in LATER_NAMES:
        return LATER_NAMES[transfer_syntax]
    known = UID_dictionary.get(transfer_syntax)
    return known[0] if known else "a transfer syntax that is not in the standard"
