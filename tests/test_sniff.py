"""What a file is, from its first bytes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import sniff
from xraygpt_edge.imaging.sniff import HEAD_BYTES, read_format, unread_kind

PICTURE = Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))
UNREAD = {
    b"GIF89a": "GIF",
    b"%PDF-1.7": "PDF",
    b"PK\x03\x04\x14": "a ZIP archive",
    b"\x1f\x8b\x08": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07\x01\x00": "a RAR archive",
    b"\x00\x00\x00\x18ftypheic": "HEIC",
    b"\x00\x00\x00\x1cftypavif": "AVIF",
    b"\x00\x00\x00\x18ftypmp42": "a video",
    b"8BPS\x00\x01": "Photoshop",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"RIFF\x00\x00\x00\x00AVI LIST": "a video",
    bytes(257) + b"ustar\x0000": "a tar archive",
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("PNG", "png"), ("JPEG", "jpeg"), ("TIFF", "tiff"), ("WEBP", "webp"), ("BMP", "bmp"), ("JPEG2000", "jpeg2000")],
)
def test_a_picture_is_known_by_its_content(kind: str, name: str) -> None:
    stream = BytesIO()
    PICTURE.save(stream, kind)
    assert sniff(stream.getvalue()) == name
    assert read_format(stream.getvalue()[:HEAD_BYTES]) == name


@pytest.mark.parametrize(("start", "name"), UNREAD.items(), ids=UNREAD.values())
def test_what_is_not_read_is_refused_by_its_name(start: bytes, name: str) -> None:
    data = start + bytes(1000)
    with pytest.raises(InputRefused) as refusal:
        sniff(data)
    assert (refusal.value.error_id, refusal.value.why) == ("E-IMG-012", name)
    assert unread_kind(data[:HEAD_BYTES]) == name


@pytest.mark.parametrize("start", [b"BMI of the patient", b"RIFF\0\0\0\0WAVEfmt ", b"words", bytes(600)])
def test_text_and_sound_are_no_kind_of_picture(start: bytes) -> None:
    with pytest.raises(InputRefused) as refusal:
        sniff(start + b" and words" * 60)
    assert refusal.value.error_id == "E-IMG-001"
    assert unread_kind(start) is None


def test_a_dicom_file_that_begins_like_a_tiff_is_dicom() -> None:
    assert sniff(b"II*\0" + bytes(124) + b"DICM" + bytes(100)) == "dicom"
