"""What the field sends: slips of writers, each a whole kind, on files made in memory."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.drawn_dicom import as_bytes, chest, dataset
from tests.test_dicom import compressed, encoded, read, refused, same, stream_file, warned
from xraygpt_edge.imaging.images import Radiograph, ReadOptions, read_bytes

FUJI_CR = "1.2.392.200036.9125.1.1.2"
PLUGINS = {RLELossless: "pydicom", JPEG2000Lossless: "pylibjpeg", JPEGLSLossless: "pyjpegls"}


# Lookup tables


def big_endian(**fields: object) -> Dataset:
    ds = dataset(chest(), PixelData=chest().astype(">u2").tobytes(), **fields)
    return encoded(ds, ExplicitVRBigEndian)


def table(entries: np.ndarray, vr: str, bits: int = 16) -> Dataset:
    """A table of 16-bit entries in big-endian order; US are numbers, which pydicom writes in the file's order."""
    item = Dataset()
    item.add_new(0x00283002, "US", [entries.size % 65536, 0, bits])
    item.add_new(0x00283006, vr, [int(e) for e in entries] if vr == "US" else entries.astype(">u2").tobytes())
    return item


def packed(entries: np.ndarray) -> np.ndarray:
    """Two entries of 8 bits in each word, the first one in its lower half."""
    return entries[0::2] | entries[1::2] << 8


@pytest.mark.parametrize("vr", ["OW", "US", "UN"])
def test_a_big_endian_modality_table_turns_the_polarity_as_its_entries_say(vr: str) -> None:
    rising, falling = np.arange(4096), np.arange(4095, -1, -1)
    same(read(big_endian(ModalityLUTSequence=Sequence([table(rising, vr)]))), chest())
    same(read(big_endian(ModalityLUTSequence=Sequence([table(falling, vr)]))), chest(), inverted=True)


@pytest.mark.parametrize("vr", ["OW", "US", "UN"])
def test_a_big_endian_voi_table_is_applied_as_it_is_meant(vr: str) -> None:
    shown = read(big_endian(VOILUTSequence=Sequence([table(np.arange(4096) * 16, vr)])), profile="display")
    np.testing.assert_array_equal(shown.pixels, np.rint(chest() * (255 / 4095)))


@pytest.mark.parametrize("vr", ["OW", "US", "UN"])
def test_big_endian_entries_of_eight_bits_are_unpacked_from_their_words(vr: str) -> None:
    entries = np.arange(4096) // 16 ^ (np.arange(4096) & 1)  # neighbours differ, so their order matters
    item = table(packed(entries), vr, bits=8)
    item.LUTDescriptor = [4096, 0, 8]
    shown = read(big_endian(VOILUTSequence=Sequence([item])), profile="display")
    np.testing.assert_array_equal(shown.pixels, entries[chest()])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("vr", ["OW", "UN"])
def test_a_big_endian_palette_is_looked_up(vr: str, bits: int) -> None:
    header = {"BitsStored": 8, "HighBit": 7, "PhotometricInterpretation": "PALETTE COLOR"}
    ds = encoded(dataset(chest(), PixelData=(chest() >> 4).astype(">u2").tobytes(), **header), ExplicitVRBigEndian)
    falling = np.arange(255, -1, -1)
    words = packed(falling) if bits == 8 else falling * 257
    for tag in (0x00281101, 0x00281102, 0x00281103):
        ds.add_new(tag, "US", [256, 0, bits])
        ds.add_new(tag + 0x100, vr, words.astype(">u2").tobytes())
    same(read(ds), 255 - (chest() >> 4))


# Fragments and offset tables


def in_fragments(frames: list[bytes], parts: int, offsets: bytes) -> bytes:
    """Each frame in some fragments, behind any offset table."""
    items = [offsets]
    for frame in frames:
        size = -(-len(frame) // (2 * parts)) * 2
        items += [frame[at : at + size] for at in range(0, len(frame), size)]
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)


def several(frames: list[bytes], parts: int, offsets: bytes, syntax: str, **fields: object) -> Dataset:
    ds = stream_file(bytes(4), syntax, NumberOfFrames=len(frames), **fields)
    ds["PixelData"]._value = in_fragments(frames, parts, offsets)
    return ds


OFFSETS = {
    "none": b"",
    "an entry for each fragment": struct.pack("<3I", 0, 700, 1400),
    "zeros": bytes(12),
    "odd": struct.pack("<2I", 1, 333),
    "too large": struct.pack("<I", 1 << 31),
    "no whole numbers": b"\0\0\0\0\1",
}


@pytest.mark.parametrize("syntax", PLUGINS)
@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_with_one_frame_an_offset_table_decides_nothing(syntax: str, offsets: bytes) -> None:
    _, frame = compressed(syntax, PLUGINS[syntax])
    same(read(several([frame], 3, offsets, syntax)), chest())


def test_with_one_frame_an_extended_offset_table_decides_nothing() -> None:
    _, frame = compressed(JPEG2000Lossless, "pylibjpeg")
    for entries in ([0, 700, 1400], [1 << 40], [0]):
        table_ = struct.pack(f"<{len(entries)}Q", *entries)
        ds = several([frame], 3, b"", JPEG2000Lossless, ExtendedOffsetTable=table_, ExtendedOffsetTableLengths=table_)
        same(read(ds), chest())


def streams(syntax: str, count: int) -> list[bytes]:
    from pydicom.encaps import get_frame

    frames = []
    for index in range(count):
        ds = dataset(np.roll(chest(), 7 * index, 1))
        ds.compress(syntax, encoding_plugin=PLUGINS[syntax], generate_instance_uid=False)
        frames.append(get_frame(ds.PixelData, 0, number_of_frames=1))
    return frames


@pytest.mark.parametrize("syntax", PLUGINS)
@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_of_several_frames_in_fragments_the_chosen_one_is_read_whatever_the_offsets_say(
    syntax: str, offsets: bytes
) -> None:
    ds = several(streams(syntax, 3), 2, offsets, syntax)
    for index in range(3):
        same(read(ds, frame=index + 1), np.roll(chest(), 7 * index, 1))


@pytest.mark.parametrize("syntax", PLUGINS)
def test_a_frame_whose_fragments_cannot_be_told_is_refused(syntax: str) -> None:
    whole = several(streams(syntax, 2), 2, b"", syntax)
    whole.NumberOfFrames = 3
    assert refused(whole, frame=1) == "E-DCM-012"
    whole.NumberOfFrames = 1
    assert refused(whole) == "E-DCM-010"
    same(read(whole, force=True), chest())
    no_start = several([b"\1\2\3\4" * 50], 2, b"", syntax)
    assert refused(no_start) == "E-DCM-008"


def test_a_missing_offset_table_costs_no_fragment() -> None:
    _, frame = compressed(JPEG2000Lossless, "pylibjpeg")
    ds = several([frame], 2, b"", JPEG2000Lossless)
    ds["PixelData"]._value = ds["PixelData"].value[8:]
    same(read(ds), chest())


# The end of compressed pixels


def test_a_whole_jpeg_2000_stream_without_its_end_mark_is_read_with_a_warning() -> None:
    _, frame = compressed(JPEG2000Lossless, "pylibjpeg")
    stream = frame[: frame.rindex(b"\xff\xd9")]
    for tail in (b"", b"\xff", b"\0", b"\0\0\0"):
        radiograph = read(stream_file(stream + tail, JPEG2000Lossless))
        same(radiograph, chest())
        assert warned(radiograph) == {"W-DCM-024"}
    for cut in (2, 3, 4, 40):
        assert refused(stream_file(stream[:-cut], JPEG2000Lossless)) == "E-DCM-008"


def test_a_stream_of_many_tiles_without_its_end_mark_is_whole_only_with_the_last_tile() -> None:
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    image = Image.fromarray(chest().astype(np.uint16))
    image.save(stream, "JPEG2000", tile_size=(40, 40), irreversible=False, no_jp2=True)
    whole = stream.getvalue()
    header = {"BitsStored": 16, "HighBit": 15}
    expected = read(stream_file(whole, JPEG2000Lossless, **header)).pixels
    np.testing.assert_array_equal(read(stream_file(whole[:-2], JPEG2000Lossless, **header)).pixels, expected)
    last_tile = whole.rindex(b"\xff\x90\x00\x0a")
    assert refused(stream_file(whole[:last_tile], JPEG2000Lossless, **header)) == "E-DCM-008"


@pytest.mark.parametrize("kept", [0, 3, 7])
@pytest.mark.parametrize("syntax", PLUGINS)
def test_pixels_without_the_sequences_end_are_read_with_a_warning(syntax: str, kept: int) -> None:
    ds, _ = compressed(syntax, PLUGINS[syntax])
    whole = as_bytes(ds)
    assert whole.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    radiograph = read_bytes(whole[: len(whole) - 8 + kept]).radiograph
    same(radiograph, chest())
    assert warned(radiograph) == {"W-DCM-024"}
    for cut in (10, 100):
        assert refused(whole[:-cut]) == "E-DCM-005"


def test_a_jpeg_file_that_was_cut_between_two_fragments_is_refused() -> None:
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    Image.fromarray((chest() >> 4).astype(np.uint8)).save(stream, "JPEG", quality=95)
    eight_bit = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    for syntax in (JPEGBaseline8Bit, JPEGExtended12Bit):
        whole = as_bytes(several([stream.getvalue()], 4, b"", syntax, **eight_bit))
        last = whole.rindex(b"\xfe\xff\x00\xe0")
        assert refused(whole[:last]) == "E-DCM-008"
        assert warned(read_bytes(whole[:-8]).radiograph) == {"W-DCM-024"}


# The shape of a pixel

SPACINGS = ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


@pytest.mark.parametrize("keyword", SPACINGS)
def test_any_of_four_elements_makes_the_pixels_square(keyword: str) -> None:
    radiograph = read(dataset(chest(), **{keyword: ["1", "2"]}))
    assert radiograph.pixels.shape == (96, 160)
    assert warned(radiograph) == {"W-DCM-015"}


@pytest.mark.parametrize(
    ("header", "shape"),
    [
        ({"PixelSpacing": ["0.1", "0.1"], "NominalScannedPixelSpacing": ["1", "2"]}, (96, 80)),
        ({"ImagerPixelSpacing": ["1", "2"], "NominalScannedPixelSpacing": ["1", "1"]}, (96, 160)),
        ({"NominalScannedPixelSpacing": ["1", "900"]}, (96, 80)),
        ({"PixelSpacing": ["1", "900"], "ImagerPixelSpacing": ["1", "2"]}, (96, 160)),
    ],
)
def test_of_contradicting_spacings_the_first_possible_one_is_followed_with_a_warning(header, shape) -> None:
    radiograph = read(dataset(chest(), **header))
    assert radiograph.pixels.shape == shape
    assert "W-DCM-025" in warned(radiograph)


@pytest.mark.parametrize("pair", [["0", "0"], ["-1", "2"], ["1"], ["1", "2", "3"]])
@pytest.mark.parametrize("keyword", SPACINGS)
def test_a_spacing_that_is_none_changes_nothing(keyword: str, pair) -> None:
    assert read(dataset(chest(), **{keyword: pair})).pixels.shape == (96, 80)


# Classes that are not in the standard


@pytest.mark.parametrize("sop_class", [FUJI_CR, "1.3.12.2.1107.5.99", "1.2.840.10008.5.1.4.1.1.999"])
def test_an_unknown_class_with_the_modality_of_a_radiograph_is_read_with_a_warning(sop_class: str) -> None:
    for modality in ("CR", "DX", "RG"):
        radiograph = read(dataset(chest(), SOPClassUID=sop_class, Modality=modality))
        same(radiograph, chest())
        assert warned(radiograph) == {"W-DCM-023"}
        assert radiograph.source.sop_class == "a class that is not in the standard"


@pytest.mark.parametrize("modality", ["MR", "XA", "", None])
def test_an_unknown_class_of_another_modality_is_refused_and_read_with_force(modality: str | None) -> None:
    ds = dataset(chest(), SOPClassUID=FUJI_CR, Modality=modality)
    assert refused(ds) == "E-DCM-003"
    same(read(ds, force=True), chest())


def test_an_unknown_class_without_pixels_holds_no_radiograph() -> None:
    assert refused(dataset(chest(), SOPClassUID=FUJI_CR, PixelData=None)) == "E-DCM-002"


# Elements whose VR is unknown


def element(tag: int, vr: bytes, value: bytes, form: str, order: str = "<") -> bytes:
    """An element in explicit VR: with four bytes of length, with two, or with an undefined one around an item."""
    head = struct.pack(f"{order}HH2s", tag >> 16, tag & 0xFFFF, vr)
    if form == "short":
        return head + struct.pack(f"{order}H", len(value)) + value
    if form == "long":
        return head + struct.pack(f"{order}HI", 0, len(value)) + value
    item = struct.pack(f"{order}HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + element(0x00090010, b"LO", value, "short", order)
    ends = struct.pack(f"{order}HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return head + struct.pack(f"{order}HI", 0, 0xFFFFFFFF) + item + ends


VRS = {0x00280002: b"US", 0x7FE00010: b"OW"}


def with_element(ds: Dataset, before: int, added: bytes) -> bytes:
    """The file with an element put before that of a tag."""
    whole, order = as_bytes(ds), ">" if ds.file_meta.TransferSyntaxUID == ExplicitVRBigEndian else "<"
    at = whole.rindex(struct.pack(f"{order}HH", before >> 16, before & 0xFFFF) + VRS[before])
    return whole[:at] + added + whole[at:]


@pytest.mark.parametrize("value", [b"", b"ab", b"SIEMENS MEDCOM HEADER ", bytes(40), bytes(70_000)])
@pytest.mark.parametrize("form", ["short", "long", "undefined"])
@pytest.mark.parametrize("vr", [b"ZZ", b"OX", b"??", b"  "])
@pytest.mark.parametrize(("tag", "before"), [(0x00191008, 0x00280002), (0x70011001, 0x7FE00010)])
def test_an_element_of_unknown_vr_hides_nothing_that_follows(
    vr: bytes, form: str, value: bytes, tag: int, before: int
) -> None:
    if form != "long" and len(value) > 0xFFFF:
        value = value[:4000]
    radiograph = read_bytes(with_element(dataset(chest()), before, element(tag, vr, value, form))).radiograph
    same(radiograph, chest())


@pytest.mark.parametrize("form", ["short", "long"])
def test_two_elements_of_unknown_vr_in_either_byte_order_hide_nothing(form: str) -> None:
    for ds, order in ((dataset(chest()), "<"), (big_endian(), ">")):
        added = b"".join(element(0x00191008 + n, b"ZZ", b"private ", form, order) for n in range(2))
        same(read_bytes(with_element(ds, 0x00280002, added)).radiograph, chest())


def test_elements_in_implicit_vr_within_an_explicit_file_hide_nothing() -> None:
    added = struct.pack("<HHI", 0x0019, 0x1008, 8) + b"private "
    same(read_bytes(with_element(dataset(chest()), 0x00280002, added)).radiograph, chest())


@pytest.mark.parametrize("vr", [b"ZZ", b"??", b"UN", b"OX"])
def test_pixel_data_of_unknown_vr_are_read(vr: bytes) -> None:
    native = as_bytes(dataset(chest())).replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00" + vr)
    same(read_bytes(native).radiograph, chest())
    for syntax, plugin in PLUGINS.items():
        whole = as_bytes(compressed(syntax, plugin)[0])
        assert b"\xe0\x7f\x10\x00OB" in whole
        same(read_bytes(whole.replace(b"\xe0\x7f\x10\x00OB", b"\xe0\x7f\x10\x00" + vr)).radiograph, chest())


@pytest.mark.parametrize("vr", [b"ZZ", b"??"])
def test_a_needed_element_of_unknown_vr_is_what_the_standard_says(vr: bytes) -> None:
    whole = as_bytes(dataset(chest()))
    for tag in (b"\x28\x00\x10\x00US", b"\x28\x00\x00\x01US", b"\x28\x00\x04\x00CS"):
        assert tag in whole
        same(read_bytes(whole.replace(tag, tag[:4] + vr)).radiograph, chest())


def test_an_unknown_vr_within_a_sequence_hides_nothing() -> None:
    nested = Dataset()
    nested.add_new(0x00280010, "OB", b"not the rows")
    for undefined in (False, True):
        ds = dataset(chest(), ReferencedImageSequence=Sequence([nested]))
        ds["ReferencedImageSequence"].is_undefined_length = undefined
        nested.is_undefined_length_sequence_item = undefined
        whole = as_bytes(ds)
        for vr in (b"ZZ", b"??"):
            assert whole.count(b"\x28\x00\x10\x00OB") == 1
            same(read_bytes(whole.replace(b"\x28\x00\x10\x00OB", b"\x28\x00\x10\x00" + vr)).radiograph, chest())


def test_an_icon_with_pixels_of_its_own_hides_nothing() -> None:
    icon = dataset(chest(8, 8))
    for undefined in (False, True):
        ds = dataset(chest(), IconImageSequence=Sequence([icon]))
        ds["IconImageSequence"].is_undefined_length = undefined
        icon.is_undefined_length_sequence_item = undefined
        private = element(0x70011001, b"ZZ", b"private ", "long")
        same(read_bytes(with_element(ds, 0x7FE00010, private)).radiograph, chest())


def test_private_elements_of_any_syntax_hide_nothing() -> None:
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        ds = encoded(dataset(chest()), syntax)
        ds.add_new(0x00190010, "LO", "MAKER")
        ds.add_new(0x00191001, "UN", b"\xfe\xff\x00\xe0 no item")
        ds.add_new(0x7FE10010, "LO", "MAKER")
        ds.add_new(0x7FE11001, "UN", bytes(20))
        same(read(ds), chest())


# HighBit


@pytest.mark.parametrize("high_bit", [0, 3, 7, 10, 12, 15, 16, 31])
def test_a_high_bit_that_contradicts_data_in_the_lowest_bits_is_not_followed(high_bit: int) -> None:
    radiograph = read(dataset(chest(), HighBit=high_bit))
    same(radiograph, chest())
    assert warned(radiograph) == {"W-DCM-022"}


def test_signed_values_in_the_lowest_bits_are_read_whatever_high_bit_says() -> None:
    radiograph = read(dataset((chest() - 2048) & 0xFFFF, HighBit=15, PixelRepresentation=1))
    same(radiograph, chest())
    assert warned(radiograph) == {"W-DCM-022"}


@pytest.mark.parametrize("high_bit", [3, 16])
def test_a_high_bit_that_is_impossible_for_data_that_do_not_fit_is_refused(high_bit: int) -> None:
    assert refused(dataset(chest() << 4, HighBit=high_bit)) == "E-DCM-013"


def test_values_that_lie_higher_up_are_moved_down_without_anything_below_them() -> None:
    same(read(dataset(chest() << 4, HighBit=15)), chest())
    same(read(dataset(chest(top=200) << 4, HighBit=15)), chest(top=200))


@pytest.mark.parametrize("syntax", PLUGINS)
def test_a_high_bit_that_contradicts_compressed_data_is_not_followed(syntax: str) -> None:
    ds, _ = compressed(syntax, PLUGINS[syntax])
    ds.HighBit = 15
    radiograph = read(ds)
    same(radiograph, chest())
    assert warned(radiograph) == {"W-DCM-022"}


# The named files

FIELD = {
    "be_modality_lut_ow.dcm": set(),
    "bot_entry_per_fragment.dcm": set(),
    "nominal_spacing_1_2.dcm": {"W-DCM-015"},
    "class_fuji_private_cr.dcm": {"W-DCM-023"},
    "utf8_names/plain.dcm": set(),
    "two_frames/two.dcm": {"W-DCM-020"},
}


def field_file(shared: Path, name: str) -> Radiograph:
    options = ReadOptions(frame=1 if "two" in name else None)
    return read_bytes((shared / "data" / "field" / name).read_bytes(), options).radiograph


@pytest.mark.shared
@pytest.mark.parametrize("name", FIELD)
def test_every_file_from_the_field_is_the_same_chest(shared: Path, name: str) -> None:
    radiograph, plain = field_file(shared, name), field_file(shared, "utf8_names/plain.dcm")
    assert {warning.id for warning in radiograph.source.warnings} == FIELD[name]
    assert radiograph.pixels.shape == (256, 256)
    likeness = np.corrcoef(radiograph.pixels.ravel(), plain.pixels.ravel())[0, 1]
    assert likeness > (0.97 if "nominal" in name else 0.9999)
