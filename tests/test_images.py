from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import golden
from tests.drawn_dicom import chest, write
from tests.drawn_pictures import encoded, png_chunk
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import FILE_MAX_BYTES, ReadOptions, read_bytes, read_file, read_radiograph

EIGHT_BITS = (chest() >> 4).astype(np.uint8)


def pixels_of(data: bytes, profile: str = "mimic-jpg") -> np.ndarray:
    return read_bytes(data, ReadOptions(profile)).radiograph.pixels


def warnings_of(data: bytes) -> set[str]:
    return {warning.id for warning in read_bytes(data).radiograph.source.warnings}


def refused(data: bytes) -> str:
    with pytest.raises(InputRefused) as refusal:
        read_bytes(data)
    return refusal.value.error_id


@pytest.mark.parametrize("profile", ["mimic-jpg", "display"])
def test_a_grey_8_bit_png_is_taken_as_it_is_like_the_pictures_of_the_training(profile: str) -> None:
    np.testing.assert_array_equal(pixels_of(encoded(Image.fromarray(EIGHT_BITS)), profile), EIGHT_BITS)


def test_a_sixteen_bit_png_keeps_its_grey_levels() -> None:
    data = encoded(Image.fromarray((chest() * 16).astype(np.uint16)))
    np.testing.assert_array_equal(pixels_of(data), golden.mimic(chest() * 16, inverted=False))


def test_a_jpeg_is_what_pillow_decodes() -> None:
    data = encoded(Image.fromarray(EIGHT_BITS), "JPEG")
    np.testing.assert_array_equal(pixels_of(data), np.asarray(Image.open(BytesIO(data))))


def test_equal_channels_are_grey_and_colour_is_a_warning() -> None:
    equal = encoded(Image.fromarray(np.stack([EIGHT_BITS] * 3, -1)))
    np.testing.assert_array_equal(pixels_of(equal, "display"), EIGHT_BITS)
    assert "W-IMG-001" not in warnings_of(equal)
    assert "W-IMG-001" in warnings_of(encoded(Image.fromarray(np.stack([EIGHT_BITS, EIGHT_BITS // 2, EIGHT_BITS], -1))))


def test_transparent_parts_become_black() -> None:
    alpha = np.full_like(EIGHT_BITS, 255)
    alpha[:10] = 0
    data = encoded(Image.merge("LA", [Image.fromarray(EIGHT_BITS), Image.fromarray(alpha)]))
    shown = pixels_of(data, "display")
    assert not shown[:10].any()
    np.testing.assert_array_equal(shown[10:], EIGHT_BITS[10:])
    assert "W-IMG-002" in warnings_of(data)


@pytest.mark.parametrize("mode", ["P", "CMYK", "RGB"])
def test_other_modes_are_converted(mode: str) -> None:
    picture = Image.fromarray(EIGHT_BITS).convert(mode)
    assert pixels_of(encoded(picture, "JPEG" if mode == "CMYK" else "PNG")).shape == EIGHT_BITS.shape


def test_the_exif_orientation_is_applied_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(EIGHT_BITS), exif=exif)
    np.testing.assert_array_equal(pixels_of(data, "display"), np.rot90(EIGHT_BITS, -1))
    assert "W-IMG-009" in warnings_of(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_picture_that_was_cut_is_refused(kind: str, share: float) -> None:
    data = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8)), kind)
    assert refused(data[: int(len(data) * share)]) == "E-IMG-006"


def test_pictures_that_cannot_be_meant_are_refused() -> None:
    grey = Image.fromarray(EIGHT_BITS)
    assert refused(encoded(grey.convert("1"))) == "E-IMG-009"
    assert (
        refused(encoded(grey, save_all=True, append_images=[grey.transpose(Image.Transpose.ROTATE_180)])) == "E-IMG-008"
    )
    assert refused(encoded(Image.new("L", (64, 64), 7))) == "E-IMG-010"
    assert refused(encoded(grey.resize((20, 20)))) == "E-IMG-011"


@pytest.mark.parametrize(("width", "height"), [(12_000, 9_000), (20_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_before_it_is_unpacked(width: int, height: int) -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")
    assert refused(bomb) in {"E-IMG-007", "E-IMG-006"}


@pytest.mark.parametrize(
    ("data", "error_id"),
    [
        (b"", "E-IMG-002"),
        (b"hello, this is a text file " * 20, "E-IMG-001"),
        (bytes(1000), "E-IMG-001"),
        (b"GIF89a" + bytes(200), "E-IMG-012"),
        (b"II*\0" + bytes(200), "E-IMG-006"),
        (b"%PDF-1.7" + bytes(200), "E-IMG-012"),
        (bytes(128) + b"DICM", "E-DCM-001"),
    ],
)
def test_what_is_no_radiograph_is_refused_by_its_content(data: bytes, error_id: str) -> None:
    assert refused(data) == error_id


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    png = tmp_path / "picture.dcm"
    png.write_bytes(encoded(Image.fromarray(EIGHT_BITS)))
    assert read_radiograph(png).source.format == "png"
    dicom = write(tmp_path, chest()).rename(tmp_path / "dicom.png")
    assert read_radiograph(dicom).source.format == "dicom"


def test_the_hash_is_that_of_the_bytes_that_were_decoded(tmp_path: Path) -> None:
    import hashlib

    path = write(tmp_path, chest())
    assert read_radiograph(path).source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    for path, error_id in ((tmp_path / "absent", "E-IMG-003"), (Path("nul\0"), "E-IMG-003")):
        with pytest.raises(InputRefused) as refusal:
            read_file(path)
        assert refusal.value.error_id == error_id
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
            with pytest.raises(InputRefused) as refusal:
                read_file(path)
            assert refusal.value.error_id in {"E-IMG-004", "E-IMG-003"}


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as stream:
        stream.truncate(FILE_MAX_BYTES + 1)
    with pytest.raises(InputRefused) as refusal:
        read_file(path)
    assert refusal.value.error_id == "E-IMG-005"


def test_importing_the_reader_imports_no_decoder() -> None:
    import subprocess
    import sys

    code = (
        "import sys, xraygpt_edge.imaging.isolated; sys.exit(any(n in sys.modules for n in ('pydicom', 'PIL', 'gdcm')))"
    )
    root = Path(__file__).resolve().parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
