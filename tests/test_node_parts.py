"""The parts of a node, each alone: settings, the queue, retries, the audit trail, the door."""

from __future__ import annotations

import json
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest

from xraygpt_edge.cli.app import run as command
from xraygpt_edge.errors import BundleIncompatible, OutputError, UsageError
from xraygpt_edge.node import audit, deliveries, films, part10, settings
from xraygpt_edge.node.database import QUEUE, VERSION, Database, note
from xraygpt_edge.node.door import ANYBODY, TOO_MANY, WRONG_CALLED, WRONG_CALLING, Door, NotARequest
from xraygpt_edge.node.films import Arrival, Made, State, Taken
from xraygpt_edge.node.retries import GIVE_UP_S, HELD_S, Outcome, Result, next_try_s, outcome_of
from xraygpt_edge.node.settings import Destination
from xraygpt_edge.node.spool import Spool, file_hash, keyed_hash

MINIMAL = """
[node]
ae = "XRAYGPT"
dir = "data"
bundle = "tiny"
[[result]]
name = "pacs"
ae = "ARCHIVE"
address = "127.0.0.1:104"
"""
PEER = '[[peer]]\nname = "xr"\nae = "DX1"\naddress = "192.168.7.20"\n'


def read(folder: Path, text: str) -> settings.Settings:
    path = folder / "node.toml"
    path.write_text(text, "utf-8")
    return settings.read(path)


def test_settings_need_a_title_a_folder_a_model_and_a_place_for_answers_and_nothing_else(tmp_path: Path) -> None:
    found = read(tmp_path, MINIMAL)
    assert found.root == tmp_path / "data"
    assert (found.reserve_bytes, found.alarm_s, found.keep_films_s) == (5 * 10**9, 1800, 0)
    assert settings.unpacked(settings.packed(found)) == found


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ('ae = "XRAYGPT"', 'ae = "XRAYGPT"\nlisten_on = "127.0.0.1:104"', 4, "listen_on"),
        ('ae = "XRAYGPT"', 'ae = "A title that is too long"', 3, "16 characters"),
        ('ae = "XRAYGPT"', 'ae = "back\\\\slash"', 3, "16 characters"),
        ('ae = "XRAYGPT"', "ae = 5", 3, "str"),
        ('address = "127.0.0.1:104"', 'address = "archive.clinic:104"', 9, "in numbers"),
        ('address = "127.0.0.1:104"', 'address = "127.0.0.1"', 9, "port"),
        ('address = "127.0.0.1:104"', 'address = "127.0.0.1:104"\nas = ["fhir"]', 10, "an archive takes"),
        ('address = "127.0.0.1:104"', 'address = "127.0.0.1:104"\nfolder = "out"', 10, "either"),
        ('bundle = "tiny"', 'bundle = "tiny"\nreserve = "much"', 6, "a number"),
        ('bundle = "tiny"', 'bundle = "tiny"\nquestions = []', 6, "at least one"),
        ('bundle = "tiny"', 'bundle = "tiny"\nwatch = { folder = "nowhere" }', 6, "not there"),
        ('bundle = "tiny"', 'bundle = "tiny"\nlisten = "0.0.0.0:104"', 6, "[[peer]]"),
        ('name = "pacs"', 'name = "../pacs"', 7, "letters"),
        ("[[result]]", "[[result]", 6, "line 6"),
    ],
)
def test_what_is_wrong_in_the_settings_is_named_with_its_line(
    tmp_path: Path, before: str, after: str, line: int, words: str
) -> None:
    with pytest.raises(UsageError) as raised:
        read(tmp_path, MINIMAL.replace(before, after))
    assert raised.value.error_id == "E-NOD-001"
    assert f"line {line}" in raised.value.why
    assert words in raised.value.why


def test_a_command_with_wrong_settings_ends_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "node.toml").write_text("[node]\n")
    assert command(["node", "run", str(tmp_path / "node.toml")]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "E-NOD-001" in said.err


@pytest.fixture
def place(tmp_path: Path) -> Spool:
    found = Spool(tmp_path / "data")
    found.make()
    return found


@pytest.fixture
def queue(place: Spool):
    with Database.open(place.root) as database:
        deliveries.introduce(database, [Destination("pacs")])
        yield database


def arrival(number: int, priority: str = "normal", **more: object) -> Arrival:
    rank = films.PRIORITIES.index(priority)
    facts = {"instance": f"{number:016x}", "file": f"{number}.dcm", "n_bytes": 100, "peer": "xr", "priority": rank}
    return Arrival(file_hash(b"%d" % number), **{**facts, **more})


def answered(queue: Database, number: int = 1) -> None:
    films.take(queue, arrival(number))
    film = films.next_film(queue, [])
    films.settle(queue, film, State.ANSWERED, [Made("pacs", "dicom-sr", f"{number}-sr.dcm", f"{number:016d}")])


def test_an_urgent_film_is_next_and_waiting_lifts_a_film_so_that_none_starves(
    queue: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    for number, priority in enumerate(["low", *["normal"] * 50, "high"], 1):
        films.take(queue, arrival(number, priority))
    order: list[int] = []
    for _ in range(52):
        order.append(films.next_film(queue, order).id)
    assert (order[0], order[1:51], order[51]) == (52, list(range(2, 52)), 1)
    now += films.AGEING_S
    films.take(queue, arrival(53, "normal"))
    assert films.next_film(queue, [52, *range(2, 52)]).id == 1  # low, lifted to normal, and older
    now += films.AGEING_S
    films.take(queue, arrival(54, "high"))
    assert films.next_film(queue, [52, *range(2, 52)]).id == 1  # low, lifted to high


def test_the_same_object_is_one_row_and_its_dead_results_are_sent_again(queue: Database) -> None:
    answered(queue)
    (delivery,) = deliveries.due(queue, "pacs", 10)
    for _ in range(2):
        deliveries.settle(queue, delivery, Result(Outcome.REFUSED, status=0xA900))
        (delivery,) = deliveries.due(queue, "pacs", 10) or [delivery]
        queue.rows("UPDATE deliveries SET due_s = 0")
        (delivery,) = deliveries.due(queue, "pacs", 10) or [delivery]
    assert queue.value("SELECT state FROM deliveries") == "dead"
    assert films.take(queue, arrival(1)) is Taken.AGAIN
    assert queue.value("SELECT count(*) FROM films") == 1
    assert [each.tries for each in deliveries.due(queue, "pacs", 10)] == [0]
    assert films.n_waiting(queue) == 0


def test_a_film_that_has_failed_is_answered_again_when_it_comes_again(queue: Database) -> None:
    films.take(queue, arrival(1))
    films.settle(queue, films.next_film(queue, []), State.FAILED, error_id="E-BAT-020")
    assert films.take(queue, arrival(1, file="new.dcm")) is Taken.NEW
    assert films.next_film(queue, []).file == "new.dcm"


def test_a_film_is_settled_once(queue: Database) -> None:
    films.take(queue, arrival(1))
    film = films.next_film(queue, [])
    made = [Made("pacs", "dicom-sr", "sr.dcm", "a")]
    films.settle(queue, film, State.ANSWERED, made)
    films.settle(queue, film, State.FAILED, error_id="E-BAT-020")
    assert queue.value("SELECT state FROM films") == "answered"
    assert queue.value("SELECT count(*) FROM deliveries") == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x0000, Outcome.STORED), (0xB000, Outcome.WARNED), (0xB007, Outcome.WARNED), (0xBFFF, Outcome.WARNED),
        (0xA700, Outcome.MISSED), (0xA7FF, Outcome.MISSED), (0xA900, Outcome.REFUSED), (0xC000, Outcome.REFUSED),
        (0x0122, Outcome.REFUSED), (0x0110, Outcome.REFUSED), (None, Outcome.MISSED),
    ],
)  # fmt: skip
def test_every_status_means_stored_or_later_or_never(status: int | None, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome


def test_a_result_is_sent_again_after_1_2_5_15_60_minutes_then_hourly_for_72_hours(
    queue: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, tried = 1_000_000.0, []
    monkeypatch.setattr("time.time", lambda: now)
    answered(queue)
    made_s = now
    while due := deliveries.due(queue, "pacs", 10):
        tried.append(now - made_s)
        deliveries.settle(queue, due[0], Result(Outcome.MISSED, status=0xA700))
        now = queue.value("SELECT due_s FROM deliveries")
    minutes = [round(each / 60) for each in tried]
    assert minutes[:7] == [0, 1, 3, 8, 23, 83, 143]
    assert {b - a for a, b in pairwise(minutes[6:])} == {60}
    assert GIVE_UP_S <= tried[-1] < GIVE_UP_S + 3600
    assert queue.value("SELECT state FROM deliveries") == "dead"


def test_a_refused_object_is_tried_once_more_and_a_missed_one_before_does_not_count() -> None:
    assert next_try_s(Outcome.REFUSED, 1, 0, Outcome.MISSED) == 3600
    assert next_try_s(Outcome.REFUSED, 9, 0, Outcome.MISSED) == 3600
    assert next_try_s(Outcome.REFUSED, 2, 0, Outcome.REFUSED) is None


def test_a_destination_that_refuses_us_is_held_and_one_that_answers_is_used_at_once(
    queue: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    deliveries.missed(queue, "pacs", Result(Outcome.BARRED, "title"))
    standing = deliveries.standing(queue, "pacs")
    assert (standing.held, standing.due_s) == (True, now + HELD_S)
    deliveries.reached(queue, "pacs")
    standing = deliveries.standing(queue, "pacs")
    assert (standing.held, standing.due_s, standing.tries) == (False, 0, 0)


def test_a_newer_queue_is_refused_untouched_and_a_damaged_one_is_named(place: Spool) -> None:
    path = place.root / QUEUE
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(BundleIncompatible) as raised:
        Database.open(place.root)
    assert (raised.value.error_id, int(raised.value.code)) == ("E-NOD-006", 13)
    assert path.read_bytes() == before
    path.write_bytes(b"no database" * 100)
    with pytest.raises(OutputError) as raised:
        Database.open(place.root)
    assert raised.value.error_id == "E-NOD-011"


def say(queue: Database, *events: str) -> None:
    for event in events:
        with queue.change() as cursor:
            note(cursor, event, film="ab12")


def test_the_trail_is_a_chain_and_any_changed_missing_or_moved_line_is_found(queue: Database, place: Spool) -> None:
    trail = audit.Trail(place.root)
    say(queue, *map(str, range(10)))
    trail.copy(queue)
    assert audit.verify(place.root) is None
    path = place.root / audit.TRAIL
    lines = path.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["event"] for line in lines] == list(map(str, range(10)))
    edited = {
        5: [*lines[:3], lines[3].replace(b"ab12", b"ab13"), *lines[4:]],
        4: [*lines[:3], *lines[4:]],
        3: [*lines[:2], lines[3], lines[2], *lines[4:]],
    }
    for number, changed in edited.items():
        path.write_bytes(b"".join(changed))
        assert audit.verify(place.root) == audit.Broken(audit.TRAIL, number)


def test_the_trail_goes_on_after_a_crash_with_each_event_once(queue: Database, place: Spool) -> None:
    say(queue, "a", "b")
    kept = queue.rows("SELECT * FROM events")
    audit.Trail(place.root).copy(queue)
    with queue.change() as cursor:  # as if the crash had come before they were deleted from the queue
        cursor.executemany("INSERT INTO events VALUES (?, ?)", [tuple(row) for row in kept])
    path = place.root / audit.TRAIL
    path.write_bytes(path.read_bytes() + b'{"seq": 3, "half')
    trail = audit.Trail(place.root)
    say(queue, "c")
    trail.copy(queue)
    assert [json.loads(line)["event"] for line in path.read_bytes().splitlines()] == ["a", "b", "c"]
    assert audit.verify(place.root) is None


def test_the_trail_is_rotated_by_month_kept_for_a_year_and_still_one_chain(queue: Database, place: Spool) -> None:
    trail = audit.Trail(place.root)
    for month in range(1, 16):
        year, of_year = 2026 + (month - 1) // 12, (month - 1) % 12 + 1
        with queue.change() as cursor:
            facts = json.dumps({"at": f"{year}-{of_year:02}-05T10:00:00.000Z", "event": str(month)})
            cursor.execute("INSERT INTO events (facts) VALUES (?)", (facts,))
        trail.copy(queue)
    assert len(list(place.root.glob("audit-*.jsonl"))) == 12
    assert audit.verify(place.root) is None


def request(called: bytes = b"XRAYGPT", calling: bytes = b"DX1") -> bytes:
    return b"\1\0\0\0\0\x80\0\1\0\0" + called.ljust(16) + calling.ljust(16) + bytes(100)


def test_who_may_come_in_is_decided_by_address_and_titles(tmp_path: Path) -> None:
    door = Door(read(tmp_path, MINIMAL + PEER))
    assert not door.enter("192.168.7.21")
    assert door.enter("192.168.7.20")
    assert door.judge("192.168.7.20", request()).name == "xr"
    assert door.judge("192.168.7.20", request(called=b"OTHER")) is WRONG_CALLED
    assert door.judge("192.168.7.20", request(calling=b"DX2")) is WRONG_CALLING
    assert door.judge("192.168.7.21", request()) is WRONG_CALLING
    for odd in (b"", b"\0", request()[:73], b"\4" + request()[1:], b"GET / HTTP/1.1\r\n" * 9):
        with pytest.raises(NotARequest):
            door.judge("192.168.7.20", odd)
    assert door.turned_away()["192.168.7.21", "address"] == 1
    assert not door.turned_away()


def test_without_peers_only_this_computer_may_come_in(tmp_path: Path) -> None:
    door = Door(read(tmp_path, MINIMAL))
    assert not door.enter("192.168.7.20")
    assert door.enter("127.0.0.7")
    assert door.judge("127.0.0.7", request(calling=b"ANY TITLE")) is ANYBODY


def test_a_peer_has_four_associations_and_all_together_eight(tmp_path: Path) -> None:
    more = "".join(PEER.replace("xr", f"xr{n}").replace(".20", f".3{n}") for n in range(3))
    door = Door(read(tmp_path, MINIMAL + more))
    peers = [door.judge(f"192.168.7.3{n}", request()) for n in range(3)]
    held = [door.association("", peer) for peer in (*[peers[0]] * 5, *[peers[1]] * 4, peers[2])]
    assert [each.__enter__() for each in held] == [None] * 4 + [TOO_MANY] + [None] * 4 + [TOO_MANY]
    held[0].__exit__(None, None, None)
    with door.association("", peers[2]) as rejected:
        assert rejected is None


def test_a_films_head_depends_on_what_was_sent_alone_and_is_read_as_dicom() -> None:
    import io

    import pydicom

    head = part10.head("1.2.840.10008.5.1.4.1.1.1.1", "1.2.3.4.55", "1.2.840.10008.1.2.1")
    assert file_hash(head) == "608ba48a4253aa20306d067dc443984796efc23d6ce0b491f0c8e19b5b597055"
    assert part10.named_in(head) == ("1.2.840.10008.5.1.4.1.1.1.1", "1.2.3.4.55")
    meta = pydicom.dcmread(io.BytesIO(head)).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.4.55"
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert meta.FileMetaInformationGroupLength == len(head) - 132 - 12


def test_what_stands_for_a_uid_is_of_no_use_without_the_key(place: Spool) -> None:
    assert keyed_hash(place.secret(), "1.2.3") == keyed_hash(place.secret(), "1.2.3")
    assert keyed_hash(bytes(32), "1.2.3") != keyed_hash(place.secret(), "1.2.3")
    assert (place.root / "secret.key").stat().st_mode & 0o777 == 0o600
