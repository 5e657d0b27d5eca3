"""What a file is, from its first bytes and never from its name."""

from __future__ import annotations

from typing import TypeVar

from xraygpt_edge.records import Format

Name = TypeVar("Name", bound=str)

HEAD_BYTES = 512
"""Enough of a file for everything here."""
DICOM_MAGIC = slice(128, 132)
READ_STARTS: dict[bytes, Format] = {
    b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff", b"MM\0*": "tiff", b"II+\0": "tiff", b"MM\0+": "tiff",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "jpeg2000", b"\xff\x4f\xff\x51": "jpeg2000",
}  # fmt: skip
BMP_HEADER_BYTES = frozenset({12, 40, 52, 56, 64, 108, 124})
"""Lengths of the header behind the two letters, which alone begin many a text."""
UNREAD_STARTS = {
    b"GIF8": "GIF", b"8BPS": "Photoshop", b"gimp xcf": "GIMP", b"\x00\x00\x01\x00": "an icon", b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript", b"AT&TFORM": "DjVu", b"II\xbc\x01": "JPEG XR", b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL", b"v/1\x01": "OpenEXR", b"SIMPLE  =": "FITS", b"<svg": "SVG",
    b"P1\n": "PNM", b"P2\n": "PNM", b"P3\n": "PNM", b"P4\n": "PNM", b"P5\n": "PNM", b"P6\n": "PNM", b"P7\n": "PNM",
    b"IIRO": "a camera's raw file", b"IIU\0": "a camera's raw file", b"FUJIFILMCCD-RAW": "a camera's raw file",
    b"%PDF": "PDF", b"PK\x03\x04": "a ZIP archive", b"PK\x05\x06": "a ZIP archive", b"PK\x07\x08": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive", b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!\x1a\x07": "a RAR archive",
    b"BZh": "a bzip2 archive", b"\xfd7zXZ\0": "an xz archive", b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\x04\x22\x4d\x18": "an lz4 archive", b"MSCF": "a CAB archive", b"\x93NUMPY": "NumPy", b"\x89HDF": "HDF5",
    b"NRRD0": "NRRD", b"ObjectType = ": "MetaImage", b"\x5c\x01\x00\x00": "NIfTI", b"\x00\x00\x01\x5c": "NIfTI",
    b"\x1a\x45\xdf\xa3": "a video", b"\x00\x00\x01\xba": "a video", b"\x00\x00\x01\xb3": "a video",
}  # fmt: skip
"""Files in which a radiograph may be, and which are not read; naming them helps more than "unknown"."""
OTHER_STARTS = {b"<htm": "HTML", b"<!DO": "HTML", b"<!do": "HTML", b"{\\rtf": "RTF", b"\xd0\xcf\x11\xe0": "Office"}
"""Known, but nobody's radiograph."""
BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "a camera's raw file",
}
"""Of files that begin with an ftyp box; any other brand is a video's."""


def read_format(head: bytes) -> Format | None:
    """The format that the first HEAD_BYTES say, where it is one that is read; DICOM only with its magic word."""
    if head[DICOM_MAGIC] == b"DICM":  # such a file may begin like a TIFF, too
        return "dicom"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADER_BYTES:
        return "bmp"
    return _beginning(head, READ_STARTS)


def unread_kind(head: bytes) -> str | None:
    """The name of a kind of picture, film or archive that is not read, from the first HEAD_BYTES."""
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12], "a video")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "a video"
    if head[257:262] == b"ustar":
        return "a tar archive"
    return _beginning(head, UNREAD_STARTS)


def other_kind(head: bytes) -> str | None:
    """The name of a kind in which no radiograph is."""
    return _beginning(head, OTHER_STARTS)


def _beginning(head: bytes, starts: dict[bytes, Name]) -> Name | None:
    return next((name for start, name in starts.items() if head.startswith(start)), None)
