"""Bytes go over the pipe as a file would be opened: the same answers, the same refusals, nothing on a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.drawn_dicom import as_bytes, chest, dataset
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import DEFAULT, FILE_MAX_BYTES, ReadOptions
from xraygpt_edge.imaging.isolated import Reader

MEMORY_BYTES = 400 << 20


def outcome(reader: Reader, file: Path | bytes, options: ReadOptions = DEFAULT) -> tuple[object, ...]:
    """All that a caller gets, so that two outcomes can be compared."""
    try:
        reading = reader.read_with_account(file, options)
    except InputRefused as refusal:
        return refusal.error_id, refusal.why, refusal.source, refusal.steps
    pixels = reading.radiograph.pixels
    return pixels.shape, pixels.tobytes(), reading.radiograph.source, reading.steps


@pytest.mark.long
@pytest.mark.shared
def test_bytes_get_the_answer_that_the_file_gets(shared: Path) -> None:
    folders = [shared / "data" / name for name in ("radiographs", "attacks", "field")]
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    answered = 0
    with Reader() as reader:
        for path in files:
            for options in (DEFAULT, ReadOptions("display", force=True)):
                found = outcome(reader, path.read_bytes(), options)
                assert found == outcome(reader, path, options), path.name
                answered += len(found) == 4 and isinstance(found[0], tuple)
    assert answered >= 30


@pytest.mark.parametrize("data", [b"", b"x", b"\n\n{}\n", b"GIF89a", b"\0" * 128 + b"DICM"])
def test_bytes_that_are_no_radiograph_are_refused_as_such_a_file_is(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    with Reader() as reader:
        found = outcome(reader, data)
        assert found == outcome(reader, path)
    assert found[0] in {"E-IMG-001", "E-IMG-002", "E-IMG-012", "E-DCM-001", "E-DCM-004"}


def test_too_many_bytes_are_refused_before_they_are_sent(tmp_path: Path) -> None:
    sparse = tmp_path / "large"
    with sparse.open("wb") as stream:
        stream.truncate(FILE_MAX_BYTES + 1)
    with Reader() as reader:
        found = outcome(reader, bytes(FILE_MAX_BYTES + 1))
        assert found == outcome(reader, sparse)
        assert found[0] == "E-IMG-005"


def test_bytes_without_memory_for_them_are_a_refusal_and_the_next_ones_are_read() -> None:
    with Reader(memory_bytes=MEMORY_BYTES) as reader:
        if not reader.protection.memory_limited:
            pytest.skip("no memory limit on this system")
        assert outcome(reader, bytes(MEMORY_BYTES - (20 << 20)))[0] == "E-DCM-020"
        assert reader.read(as_bytes(dataset(chest()))).pixels.any()


def test_identities_come_as_text_with_the_hash_of_what_was_parsed(tmp_path: Path) -> None:
    changed = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4", "SOPInstanceUID": "1.2.5"}
    named = {"PatientName": "Müller^Jörg", "PatientID": "A\\B", "SpecificCharacterSet": "ISO_IR 100"}
    path = tmp_path / "a.dcm"
    path.write_bytes(as_bytes(dataset(chest(), **changed, **named)))
    with Reader() as reader:
        identity = reader.identify(path.read_bytes())
        assert reader.identify(path) == identity
        assert identity.sha256 == reader.read(path).source.sha256
    assert (identity.text("PatientName"), identity.text("PatientID")) == ("Müller^Jörg", "A\\B")
    assert (identity.study_uid, identity.series_uid, identity.sop_instance_uid) == ("1.2.3", "1.2.4", "1.2.5")
    assert "ller" not in repr(identity)
    assert "1.2.3" not in repr(identity)


def test_a_number_where_the_standard_has_a_name_is_not_copied() -> None:
    data = as_bytes(dataset(chest(), StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", PatientID="AB"))
    wrong = data.replace(b"\x10\x00\x20\x00LO", b"\x10\x00\x20\x00US")
    assert wrong != data
    with Reader() as reader, pytest.raises(InputRefused) as refusal:
        reader.identify(wrong)
    assert refusal.value.error_id == "E-REP-013"


def test_pictures_and_identities_do_not_mix() -> None:
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}
    films = [as_bytes(dataset(chest(90 + n, 80), PatientID=f"P{n}", **uids)) for n in range(4)]
    with Reader() as reader:
        for n, film in enumerate(films):
            assert reader.identify(film).text("PatientID") == f"P{n}"
            assert reader.read(film).pixels.shape == (90 + n, 80)
