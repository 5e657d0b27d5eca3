"""What the node does between receiving and sending: studies, refusals, full disks."""

# ruff: noqa: F811 - fixtures of another file are imported by their names

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="the extra node is not installed")

from tests.drawn_dicom import as_bytes, chest, dataset
from tests.node import dcm_errors, film, needs, no_film
from tests.test_node_ends import queue, small  # noqa: F401 - fixtures
from tests.test_node_parts import arrival
from xraygpt_edge.errors import InputRefused, OutputError
from xraygpt_edge.imaging.isolated import Reader
from xraygpt_edge.ledger import row_of
from xraygpt_edge.node import audit, database, deliveries, films, grouping, results, spool, working
from xraygpt_edge.node.database import QUEUE, Database, note
from xraygpt_edge.node.running import _Loop
from xraygpt_edge.node.settings import Settings
from xraygpt_edge.records import PRODUCT, Failure
from xraygpt_edge.reports.source import identity_in


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with closing(Reader()) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> spool.Spool:
    return spool.Spool(tmp_path / "data")


class Studies:
    """Films that come to a node which groups them, on a clock of its own."""

    def __init__(self, queue: Database, place: spool.Spool, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue, self.place, self.now, self.n = queue, place, 1_000_000.0, 0
        monkeypatch.setattr("time.time", lambda: self.now)
        self.grouping = grouping.Grouping(queue, place, reader, place.secret())

    def come(self, path: Path) -> None:
        self.n += 1
        name = self.place.keep_film(path.read_bytes())
        films.take(self.queue, arrival(self.n, file=name, held=True))
        self.grouping.look()

    def after(self, seconds: float) -> int:
        """How many films may be answered so long afterwards."""
        self.now += seconds
        self.grouping.look()
        return self.queue.value("SELECT count(*) FROM films WHERE NOT held")


@pytest.fixture
def studies(queue: Database, place: spool.Spool, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Studies:
    return Studies(queue, place, reader, monkeypatch)


def test_films_of_a_study_wait_for_each_other_for_a_minute_of_quiet(
    studies: Studies, phantom: Path, tmp_path: Path
) -> None:
    same = {"StudyInstanceUID": "1.2.3"}
    for number in range(3):
        studies.come(film(number, phantom, tmp_path, **same))
        assert studies.after(59) == 0
        assert films.next_film(studies.queue, []) is None
    studies.come(film(9, phantom, tmp_path))
    assert studies.after(1) == 3, "the other study waits on"
    assert studies.after(59) == 4
    assert studies.queue.value("SELECT count(*) FROM films WHERE study LIKE '%1.2.3%'") == 0


def test_the_first_film_of_a_study_waits_fifteen_minutes_at_most_and_a_later_one_is_a_group_that_says_so(
    studies: Studies, phantom: Path, tmp_path: Path
) -> None:
    same = {"StudyInstanceUID": "1.2.3"}
    for number in range(17):
        studies.come(film(number, phantom, tmp_path, **same))
        if studies.after(55):
            break
    assert studies.now - 1_000_000 >= grouping.HELD_MAX_S
    released = studies.queue.value("SELECT count(*) FROM films WHERE NOT held")
    assert released >= 16
    studies.come(film(99, phantom, tmp_path, **same))
    assert studies.after(10) == released
    assert studies.after(50) == released + 1
    groups = [row[0] for row in studies.queue.rows("SELECT DISTINCT study_group FROM films ORDER BY 1")]
    assert groups == [1, 2]
    (event,) = (row[0] for row in studies.queue.rows("SELECT facts FROM events WHERE facts LIKE '%later films%'"))
    assert '"group": 2' in event


def test_a_film_without_a_study_and_one_of_a_node_that_groups_no_more_are_not_held(
    studies: Studies, phantom: Path, tmp_path: Path
) -> None:
    studies.come(no_film(1, tmp_path))  # it has a study
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"no DICOM at all" * 50)
    studies.come(rubbish)
    assert films.next_film(studies.queue, []).id == 2
    grouping.let_all_go(studies.queue)
    assert films.next_film(studies.queue, [2]).id == 1


def refused(path: Path, error_id: str = "E-IMG-030") -> Any:
    failure = Failure(error_id, "the picture is far from a frontal chest radiograph", 4)
    return row_of(failure, "abc", path.name, "findings?", 1)


def worker(settings: Settings, place: spool.Spool, reader: Reader) -> Any:
    """As much of a Working as a refusal needs."""
    facts = {"settings": settings, "place": place, "reader": reader, "secret": place.secret()}
    facts["_kept"] = lambda *a: working.Working._kept(SimpleNamespace(**facts), *a)
    return SimpleNamespace(**facts)


@needs("dciodvfy")
def test_a_refused_film_gets_a_report_that_says_only_that_there_is_no_answer_where_this_is_wanted(
    queue: Database,
    place: spool.Spool,
    reader: Reader,
    phantom: Path,
    tmp_path: Path,
) -> None:
    name = place.keep_film(film(1, phantom, tmp_path).read_bytes())
    sha256 = spool.file_hash((place.films / name).read_bytes())
    row, kept = refused(place.films / name), films.Film(1, sha256, name, "xr", 0.0, "")
    quiet, said = small(tmp_path), small(tmp_path, 'on_refusal = "report"')
    assert working.Working._refusals(worker(quiet, place, reader), kept, row) == []
    (made,) = working.Working._refusals(worker(said, place, reader), kept, row)
    report = pydicom.dcmread(place.results / made.file)
    assert (report.Modality, report.PatientID, report.VerificationFlag) == ("SR", "ID1", "UNVERIFIED")
    texts = [item.TextValue for section in report.ContentSequence[-1:] for item in section.ContentSequence]
    assert texts[0].startswith("No answer was given. E-IMG-030: the picture is far from")
    assert len(texts) == 2
    assert "Not for diagnosis" in texts[1]
    assert dcm_errors(place.results / made.file) == []
    again = results.refusal(row, identity_in(reader, place.films, row.file, sha256), report_time())
    assert again.sop_instance_uid == report.SOPInstanceUID, "sent twice, it is one object"
    own = refused(place.films / name, "E-DCM-002")
    assert working.Working._refusals(worker(said, place, reader), kept, own) == []
    other = replace(kept, sha256="0" * 64)
    assert working.Working._refusals(worker(said, place, reader), other, row) == [], "never about other bytes"


def report_time() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 1, 1, tzinfo=UTC)


def test_a_page_of_ours_is_known_by_its_header_whatever_its_uid_and_a_drawn_phantom_is_no_page(
    reader: Reader, phantom: Path
) -> None:
    reader.read(phantom)
    capture = "1.2.840.10008.5.1.4.1.1.7"
    ours = {"Manufacturer": PRODUCT, "DeviceSerialNumber": "ab12"}
    page = dataset(chest(), SOPClassUID=capture, Modality="OT", **ours)
    with pytest.raises(InputRefused) as raised:
        reader.read(as_bytes(page))
    assert (raised.value.error_id, raised.value.why) == (
        "E-DCM-002",
        "it is: a page of text that this program made",
    )
    reader.read(as_bytes(dataset(chest(), Manufacturer="Siemens", DeviceSerialNumber="1")))


def loop(settings: Settings, place: spool.Spool, failing: OutputError, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a loop does that meets a failing disk in its first round, and is ended in its third."""
    done: list[str] = []
    monkeypatch.setattr("xraygpt_edge.node.running.NO_ROOM_S", 0.0)

    def work(_: _Loop) -> None:
        done.append("work")
        if len([each for each in done if each == "work"]) == 3:
            raise KeyboardInterrupt
        raise failing

    monkeypatch.setattr(_Loop, "_work", work)
    busy = SimpleNamespace(forget=lambda: done.append("forget"))
    with pytest.raises((KeyboardInterrupt, OutputError)):
        _Loop(settings, None, place, None, [], busy, None, None, None).go()
    return done


def test_a_full_disk_stops_the_answers_and_any_other_fault_of_the_disk_the_node(
    queue: Database,
    place: spool.Spool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, fault = small(tmp_path), OutputError("E-OUT-002", "No space left on device")
    assert loop(settings, place, fault, monkeypatch) == ["work"], "there is room, so it is something else"
    monkeypatch.setattr(spool.Spool, "free_bytes", lambda _: 0)
    assert loop(settings, place, fault, monkeypatch) == ["work", "forget", "work", "forget", "work"]


def test_the_trail_stays_a_chain_when_the_disk_was_full_in_the_middle_of_a_line(
    queue: Database,
    place: spool.Spool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trail = audit.Trail(place.root)
    for event in ("a", "b"):
        with queue.change() as cursor:
            note(cursor, event)
    line = audit._line
    with monkeypatch.context() as full:
        full.setattr(audit, "_line", lambda facts: line(facts)[:20])  # what a full disk leaves of it
        full.setattr(audit.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OutputError):
            trail.copy(queue)
    trail.copy(queue)
    assert audit.verify(place.root) is None
    assert [each["event"] for each in map(audit._parsed, audit._lines(place.root / audit.TRAIL))] == ["a", "b"]


def test_a_queue_of_the_version_before_is_taken_over_with_everything_in_it(place: spool.Spool) -> None:
    place.make()
    path = place.root / QUEUE
    added = [line.split("ADD COLUMN ")[1].split()[0] for line in database.LATER[1].splitlines() if "ADD COLUMN" in line]
    kept = [
        line
        for line in database.SCHEMA.splitlines()
        if line.split()[:1] not in [[name] for name in added] and "films_study" not in line and "_request" not in line
    ]
    before = "\n".join(kept).replace("copies INTEGER NOT NULL DEFAULT 0,  ", "copies INTEGER NOT NULL DEFAULT 0  ")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(before)
        connection.execute("PRAGMA user_version = 1")
        connection.execute(
            "INSERT INTO films (sha256, instance, file, bytes, peer, priority, received_s, state)"
            " VALUES ('ab', 'cd', 'x.dcm', 1, 'xr', 1, 1.0, 'waiting')"
        )
        connection.execute(
            "INSERT INTO deliveries (film, destination, kind, file, instance, made_s, due_s)"
            " VALUES (1, 'pacs', 'dicom-sr', 'r.dcm', 'ef', 1.0, 1.0)"
        )
        connection.commit()
        columns = {row[1] for row in connection.execute("PRAGMA table_info(films)")}
    assert not columns & set(added)
    with Database.open(place.root) as found:
        assert found.value("PRAGMA user_version") == database.VERSION
        assert films.next_film(found, []).sha256 == "ab"
        assert [each.file for each in deliveries.due(found, "pacs", 9)] == ["r.dcm"]
    with Database.open(place.root) as again, Database.open(place.root.parent / "data") as fresh:
        assert again.value("SELECT count(*) FROM films") == fresh.value("SELECT count(*) FROM films") == 1
