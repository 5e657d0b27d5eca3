"""One hazard a test, on files made in memory. Real files are in test_dicom_real.py."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests import golden
from tests.drawn_dicom import as_bytes, chest, dataset
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.dicom.codestream import bare_j2k, j2k_stream
from xraygpt_edge.imaging.images import Radiograph, ReadOptions, read_bytes

LOOKS = frozenset({"W-IMG-003", "W-IMG-004", "W-IMG-005", "W-IMG-006", "W-IMG-007", "W-IMG-008"})
"""What the picture looks like: these drawings are no chests."""


def read(ds: Dataset, **options: object) -> Radiograph:
    return read_bytes(as_bytes(ds), ReadOptions(**options)).radiograph


def warned(radiograph: Radiograph) -> set[str]:
    return {warning.id for warning in radiograph.source.warnings} - LOOKS


def refused(ds: Dataset | bytes, **options: object) -> str:
    data = ds if isinstance(ds, bytes) else as_bytes(ds)
    with pytest.raises(InputRefused) as refusal:
        read_bytes(data, ReadOptions(**options))
    return refusal.value.error_id


def same(radiograph: Radiograph, values: np.ndarray, *, inverted: bool = False, padding=None) -> None:
    np.testing.assert_array_equal(radiograph.pixels, golden.mimic(values, inverted=inverted, padding=padding))


def test_a_plain_file_is_read_by_the_training_recipe_without_a_warning() -> None:
    radiograph = read(dataset(chest()))
    same(radiograph, chest())
    assert warned(radiograph) == set()
    assert (radiograph.source.rows, radiograph.source.columns, radiograph.source.format) == (96, 80, "dicom")


def test_monochrome1_is_inverted_once_whatever_the_lut_shape_repeats() -> None:
    once = read(dataset(chest(), PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"))
    same(once, chest(), inverted=True)
    assert warned(once) == set()
    odd = read(dataset(chest(), PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="IDENTITY"))
    np.testing.assert_array_equal(odd.pixels, once.pixels)
    assert warned(odd) == {"W-DCM-009"}


def test_padding_is_left_out_of_the_range_and_painted_black() -> None:
    values = chest(top=1000)
    values[:, :10] = 65535
    header = {"BitsStored": 16, "HighBit": 15, "PixelPaddingValue": 65535}
    radiograph = read(dataset(values, PhotometricInterpretation="MONOCHROME1", **header))
    same(radiograph, values, inverted=True, padding=values == 65535)
    assert not radiograph.pixels[:, :10].any()


def test_a_padding_range_covers_all_values_between_its_ends() -> None:
    values = chest()
    padding = values <= 500
    same(read(dataset(values, PixelPaddingValue=0, PixelPaddingRangeLimit=500)), values, padding=padding)


def test_signed_values_do_not_overflow() -> None:
    values = chest(top=65535) - 32768
    header = {"BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1}
    same(read(dataset(values & 0xFFFF, **header)), values)


def test_rubbish_above_the_stored_bits_is_masked() -> None:
    littered = chest() | (np.random.default_rng(0).integers(0, 16, (96, 80)) << 12)
    same(read(dataset(littered)), chest())


def test_an_overlay_in_the_unused_bits_is_masked() -> None:
    overlaid = chest() | ((np.arange(80) > 40).astype(int) << 12)
    ds = dataset(overlaid)
    ds.add_new(0x60000102, "US", 12)
    same(read(ds), chest())


def test_data_that_go_beyond_bits_stored_are_believed_with_a_warning() -> None:
    radiograph = read(dataset(chest(), BitsStored=10, HighBit=9))
    same(radiograph, chest())
    assert warned(radiograph) == {"W-DCM-010"}


@pytest.mark.parametrize("stated", [0, 1])
def test_a_jpeg_2000_stream_with_signed_values_does_not_wrap_whatever_the_header_says(stated: int) -> None:
    values = chest() - 2048
    ds = dataset(values.astype(np.int16), PixelRepresentation=1)
    ds.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    ds.PixelRepresentation = stated
    reading = read_bytes(as_bytes(ds))
    np.testing.assert_array_equal(reading.radiograph.pixels, golden.mimic(values, inverted=False))
    assert ("W-DCM-021" in warned(reading.radiograph)) == (stated == 0)


def test_values_that_lie_higher_up_in_the_word_are_moved_down() -> None:
    radiograph = read(dataset(chest() << 4 | 0xF, HighBit=15))
    same(radiograph, chest())
    assert warned(radiograph) == {"W-DCM-011"}


@pytest.mark.parametrize("slope", ["", None, "0"])
def test_a_slope_that_is_empty_absent_or_zero_counts_as_one(slope) -> None:
    ds = dataset(chest(), RescaleIntercept="0")
    if slope is not None:
        ds.RescaleSlope = slope
    same(read(ds), chest())
    assert read(ds, profile="display").pixels.max() == 255


def test_a_negative_slope_turns_the_polarity_round() -> None:
    radiograph = read(dataset(chest(), RescaleSlope="-1", RescaleIntercept="4095"))
    same(radiograph, chest(), inverted=True)
    assert warned(radiograph) == {"W-DCM-012"}


def lut_item(entries: np.ndarray, first: int = 0, bits: int = 16) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", [entries.size % 65536, first, bits])
    item.add_new(0x00283006, "OW", entries.astype("<u2").tobytes())
    return item


def test_a_falling_modality_table_turns_the_polarity_round() -> None:
    ds = dataset(chest(), ModalityLUTSequence=Sequence([lut_item(np.arange(4095, -1, -1))]))
    same(read(ds), chest(), inverted=True)


def test_an_eight_bit_voi_table_with_many_entries_does_not_wrap() -> None:
    entries = np.repeat(np.arange(256), 16)
    ds = dataset(chest(), VOILUTSequence=Sequence([lut_item(entries, bits=8)]))
    shown = read(ds, profile="display")
    np.testing.assert_array_equal(shown.pixels, entries[chest()])
    assert warned(shown) == set()


def test_a_voi_table_is_preferred_to_a_window_and_the_first_of_several_is_taken() -> None:
    first, second = lut_item(np.arange(4096) // 16, bits=8), lut_item(np.zeros(4096, int) + 9, bits=8)
    ds = dataset(chest(), VOILUTSequence=Sequence([first, second]), WindowCenter=["100", "2"], WindowWidth=["9", "8"])
    np.testing.assert_array_equal(read(ds, profile="display").pixels, chest() // 16)


def test_the_first_window_is_applied_for_display_and_ignored_for_the_model() -> None:
    ds = dataset(chest(), WindowCenter=["2048", "1"], WindowWidth=["2000", "1"])
    expected = np.rint(((chest() - 2047.5) / 1999 + 0.5).clip(0, 1) * 255)
    np.testing.assert_array_equal(read(ds, profile="display").pixels, expected)
    same(read(ds), chest())


@pytest.mark.parametrize(
    ("centre", "width"), [("9000", "10"), ("2048", "0"), ("2048", "-5"), ("2048", ""), ("", "100"), ("-800", "2")]
)
def test_a_window_beside_the_data_or_without_width_is_ignored(centre: str, width: str) -> None:
    plain = read(dataset(chest()), profile="display")
    windowed = read(dataset(chest(), WindowCenter=centre, WindowWidth=width), profile="display")
    np.testing.assert_array_equal(windowed.pixels, plain.pixels)


@pytest.mark.parametrize("function", ["", "SIGMOID ", "LINEAR_EXACT", "nonsense"])
def test_any_voi_function_gives_a_picture(function: str) -> None:
    ds = dataset(chest(), WindowCenter="2048", WindowWidth="1500", VOILUTFunction=function)
    assert read(ds, profile="display").pixels.std() > 20


@pytest.mark.parametrize(
    ("directions", "flip"),
    [(["L", "F"], (1, 1)), (["R", "F"], (1, -1)), (["L", "H"], (-1, 1)), (["R", "H"], (-1, -1))],
)
def test_a_frontal_view_is_turned_so_that_the_patients_left_is_on_the_right(directions, flip) -> None:
    radiograph = read(dataset(chest(), PatientOrientation=directions))
    same(radiograph, chest()[:: flip[0], :: flip[1]])
    assert warned(radiograph) == (set() if flip == (1, 1) else {"W-DCM-013"})


@pytest.mark.parametrize("directions", [["H", "L"], ["LF", "F"], ["L"], ["L", "F", "X"]])
def test_an_uncertain_orientation_is_left_alone_with_a_warning(directions) -> None:
    radiograph = read(dataset(chest(), PatientOrientation=directions))
    same(radiograph, chest())
    assert warned(radiograph) == {"W-DCM-014"}


def test_what_was_done_to_the_field_of_view_already_is_not_done_again() -> None:
    same(read(dataset(chest(), FieldOfViewRotation="90", FieldOfViewHorizontalFlip="YES")), chest())


@pytest.mark.parametrize(
    ("header", "shape"),
    [
        ({"PixelAspectRatio": ["1", "2"]}, (96, 160)),
        ({"PixelAspectRatio": ["2", "1"]}, (192, 80)),
        ({"PixelSpacing": ["0.1", "0.2"]}, (96, 160)),
        ({"PixelAspectRatio": ["0", "0"]}, (96, 80)),
        ({"PixelAspectRatio": ["1", "900"]}, (96, 80)),
        ({"PixelSpacing": ["0.200", "0.2001"]}, (96, 80)),
    ],
)
def test_pixels_are_made_square_where_the_ratio_is_sensible(header, shape) -> None:
    radiograph = read(dataset(chest(), **header))
    assert radiograph.pixels.shape == shape
    assert ("W-DCM-015" in warned(radiograph)) == (shape != (96, 80))


def encoded(ds: Dataset, syntax: str) -> Dataset:
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def test_big_endian_implicit_and_deflated_give_the_same_pixels() -> None:
    expected = read(dataset(chest())).pixels
    swapped = dataset(chest(), PixelData=chest().astype(">u2").tobytes())
    for ds in (
        encoded(swapped, ExplicitVRBigEndian),
        encoded(dataset(chest()), ImplicitVRLittleEndian),
        encoded(dataset(chest()), DeflatedExplicitVRLittleEndian),
    ):
        np.testing.assert_array_equal(read(ds).pixels, expected)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("signed", [0, 1])
def test_lossless_syntaxes_give_identical_pixels(syntax: str, signed: int) -> None:
    values = chest() - 2048 * signed
    ds = dataset(values & 0xFFFF, PixelRepresentation=signed)
    expected = read(ds).pixels
    plugin = {RLELossless: "pydicom", JPEG2000Lossless: "pylibjpeg", JPEGLSLossless: "pyjpegls"}[syntax]
    ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    np.testing.assert_array_equal(read(ds).pixels, expected)


def test_a_file_without_preamble_is_read_and_says_so() -> None:
    ds = dataset(chest())
    whole = as_bytes(encoded(ds, ImplicitVRLittleEndian))
    bare = whole[whole.index(b"\x08\x00\x16\x00") :]
    radiograph = read_bytes(bare).radiograph
    same(radiograph, chest())
    assert warned(radiograph) == {"W-DCM-016"}


def frames(count: int) -> Dataset:
    return dataset(np.stack([np.roll(chest(), 7 * index, 1) for index in range(count)]), NumberOfFrames=count)


def test_of_several_frames_one_has_to_be_chosen() -> None:
    assert refused(frames(3)) == "E-DCM-011"
    chosen = read(frames(3), frame=2)
    same(chosen, np.roll(chest(), 7, 1))
    assert warned(chosen) == {"W-DCM-020"}
    assert refused(frames(3), frame=4) == "E-DCM-012"


@pytest.mark.parametrize("frames_", ["3", "2000000", "2147483647"])
def test_frames_that_are_not_there_are_refused(frames_: str) -> None:
    assert refused(dataset(chest(), NumberOfFrames=frames_), frame=1) == "E-DCM-012"


def test_zero_frames_mean_one() -> None:
    same(read(dataset(chest(), NumberOfFrames="0")), chest())


@pytest.mark.parametrize(
    ("fields", "error_id"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}, "E-DCM-002"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "E-DCM-002"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "E-DCM-003"),
        ({"PixelData": None}, "E-DCM-005"),
        ({"PixelData": chest().astype("<u2").tobytes()[:-2]}, "E-DCM-009"),
        ({"PixelData": chest().astype("<u2").tobytes() + b"1234"}, "E-DCM-010"),
        ({"Rows": 0}, "E-DCM-013"),
        ({"Rows": None}, "E-DCM-013"),
        ({"PixelRepresentation": None}, "E-DCM-013"),
        ({"BitsAllocated": 32}, "E-DCM-013"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "E-DCM-013"),
        ({"BitsStored": 17}, "E-DCM-013"),
        ({"PhotometricInterpretation": "CMYK"}, "E-DCM-013"),
        ({"SamplesPerPixel": 3}, "E-DCM-013"),
        ({"Rows": 65535, "Columns": 65535}, "E-DCM-014"),
    ],
)
def test_what_cannot_be_read_without_guessing_is_refused(fields, error_id: str) -> None:
    assert refused(dataset(chest(), **fields)) == error_id


def test_a_blank_picture_is_refused() -> None:
    assert refused(dataset(np.full((64, 64), 5))) == "E-IMG-010"


def test_a_tiny_picture_is_refused_unless_forced() -> None:
    assert refused(dataset(chest(20, 20))) == "E-IMG-011"
    assert read(dataset(chest(20, 20)), force=True).source.forced


def test_another_kind_of_picture_is_read_with_force_which_is_recorded() -> None:
    forced = read(dataset(chest(), SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"), force=True)
    same(forced, chest())
    assert forced.source.forced
    assert {"E-DCM-003", "W-DCM-003"} <= warned(forced)


@pytest.mark.parametrize(
    "name", ["1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.4.53", "9.9.9"]
)
def test_a_syntax_without_a_decoder_is_refused(name: str) -> None:
    ds = dataset(chest(), PixelData=encapsulate([b"\xff\xd8\xff\xd9"]))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    assert refused(encoded(ds, name)) == "E-DCM-006"


def stream_file(frame: bytes, syntax: str, **fields: object) -> Dataset:
    ds = dataset(chest(), PixelData=encapsulate([frame]), **fields)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return encoded(ds, syntax)


def compressed(syntax: str, plugin: str) -> tuple[Dataset, bytes]:
    from pydicom.encaps import get_frame

    ds = dataset(chest())
    ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    return ds, get_frame(ds.PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize(("syntax", "plugin"), [(JPEG2000Lossless, "pylibjpeg"), (JPEGLSLossless, "pyjpegls")])
def test_a_cut_stream_is_refused(syntax: str, plugin: str) -> None:
    _, frame = compressed(syntax, plugin)
    for share in (0.02, 0.3, 0.6, 0.9):
        assert refused(stream_file(frame[: int(len(frame) * share)], syntax)) == "E-DCM-008"


@pytest.mark.parametrize(("syntax", "plugin"), [(JPEG2000Lossless, "pylibjpeg"), (JPEGLSLossless, "pyjpegls")])
def test_a_stream_of_another_size_than_the_header_says_is_refused(syntax: str, plugin: str) -> None:
    _, frame = compressed(syntax, plugin)
    assert refused(stream_file(frame, syntax, Rows=97)) == "E-DCM-016"


def test_a_jpeg_2000_stream_in_a_jp2_file_is_unwrapped_and_a_looping_one_refused() -> None:
    _, frame = compressed(JPEG2000Lossless, "pylibjpeg")
    start = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
    assert bare_j2k(start + struct.pack(">I", 8 + len(frame)) + b"jp2c" + frame) == frame
    same(read(stream_file(start + struct.pack(">I", 0) + b"jp2c" + frame, JPEG2000Lossless)), chest())
    assert refused(stream_file(start + b"\0\0\0\0loop" + frame, JPEG2000Lossless)) == "E-DCM-008"
    assert (j2k_stream(frame).rows, j2k_stream(frame).columns) == (96, 80)


def test_a_jpeg_baseline_stream_is_pillows_picture() -> None:
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    Image.fromarray((chest() >> 4).astype(np.uint8)).save(stream, "JPEG", quality=95)
    ds = stream_file(stream.getvalue(), JPEGBaseline8Bit, BitsAllocated=8, BitsStored=8, HighBit=7)
    same(read(ds), np.asarray(Image.open(stream)).astype(int))


def test_a_deflate_bomb_is_stopped() -> None:
    ds = encoded(dataset(chest()), DeflatedExplicitVRLittleEndian)
    whole = as_bytes(ds)
    from xraygpt_edge.imaging.dicom.container import meta_information

    head = whole[: meta_information(whole).end]
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    assert refused(head + bomb) == "E-DCM-015"


def test_a_dicomdir_is_named_for_what_it_is() -> None:
    assert refused(dataset(chest(), SOPClassUID="1.2.840.10008.1.3.10")) == "E-DCM-017"


@pytest.mark.parametrize("length", [133, 200, 400, 700, 2000, 10_000])
def test_a_file_that_was_cut_is_refused_wherever_the_cut_is(length: int) -> None:
    whole = as_bytes(dataset(chest()))
    assert refused(whole[:length]).startswith("E-DCM-")


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"BodyPartExamined": "HIP"}, "W-DCM-001"),
        ({"BodyPartExamined": None}, "W-DCM-002"),
        ({"Modality": "US"}, "W-DCM-003"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, "W-DCM-005"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "W-DCM-005"),
        ({"BurnedInAnnotation": "YES"}, "W-DCM-006"),
        ({"ViewPosition": "LL"}, "W-DCM-007"),
        ({"SeriesDescription": "Chest lateral"}, "W-DCM-007"),
        ({"ImageLaterality": "R"}, "W-DCM-031"),
        ({"Laterality": "L"}, "W-DCM-031"),
        ({"PatientSpeciesDescription": "Canis familiaris"}, "W-DCM-008"),
        ({"AcquisitionDeviceProcessingDescription": "FELINE THORAX"}, "W-DCM-008"),
    ],
)
def test_what_the_header_says_against_a_frontal_chest_of_a_person_is_a_warning(fields, warning: str) -> None:
    assert warned(read(dataset(chest(), **fields))) == {warning}


@pytest.mark.parametrize(
    "fields",
    [{"ViewPosition": "LLD", "SeriesDescription": "lateral decubitus"}, {"PatientSpeciesDescription": "Homo sapiens"}],
)
def test_a_decubitus_view_of_a_person_is_no_lateral_view_and_no_animal(fields) -> None:
    assert warned(read(dataset(chest(), **fields))) == set()


def colour(rgb: np.ndarray) -> Dataset:
    header = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "SamplesPerPixel": 3, "PlanarConfiguration": 0}
    return dataset(chest(), PhotometricInterpretation="RGB", PixelData=rgb.tobytes(), **header)


def test_three_equal_channels_are_grey_and_unequal_ones_become_luma_with_a_warning() -> None:
    grey = (chest() >> 4).astype(np.uint8)
    equal = read(colour(np.stack([grey] * 3, -1)))
    same(equal, grey.astype(int))
    assert warned(equal) == set()
    assert warned(read(colour(np.stack([grey, grey, 255 - grey], -1)))) == {"W-IMG-001"}


def test_a_palette_is_looked_up() -> None:
    header = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PhotometricInterpretation": "PALETTE COLOR"}
    ds = dataset(chest(), PixelData=(chest() >> 4).astype(np.uint8).tobytes(), **header)
    falling = (np.arange(255, -1, -1) * 257).astype("<u2").tobytes()
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", falling)
    same(read(ds), 255 - (chest() >> 4))
