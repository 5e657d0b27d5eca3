"""The model in a process that may die: who asks gets every answer or its reason, whatever happens to the process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import psutil
import pytest
from msgspec.structs import replace

from tests.soak.driver import FAKE
from tests.tiny import write_bundle
from xraygpt_edge import Sampling, XrayGPT
from xraygpt_edge.errors import WorkerCrashed, XrayGPTError
from xraygpt_edge.generation.prompt import Turn
from xraygpt_edge.host import (
    Cancelled,
    Event,
    Fatal,
    Heartbeat,
    Load,
    ModelHost,
    Ready,
    Record,
    Room,
    StageTimes,
    Started,
    Task,
    Text,
    process,
    supervisor,
)
from xraygpt_edge.host.messages import Asking, Cancel, Command, Garbled, Stop, View, packed, unpacked
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.loading import LoadOptions
from xraygpt_edge.records import Failure, ReadWarning, Source

QUESTION, OTHER = "findings?", "Is the heart enlarged?"
LOAD = Load("bundle", (QUESTION,))
WAIT_S = 60.0


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "COMMAND", FAKE)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    return folder


def film(films: Path, content: bytes = b"OK") -> str:
    path = films / f"{len(list(films.iterdir())):03d}.png"
    path.write_bytes(content + b" %d" % len(list(films.iterdir())))
    return str(path)


def texts(events: Iterator[Event]) -> list[str]:
    return [event.answer.text for event in events if isinstance(event, Record) and event.answer]


class Listener:
    """The events of some tasks, as a client hears them."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[Event] = SimpleQueue()
        self.heard: list[Event] = []

    def until(self, kind: type[Event], task: int | None = None) -> Any:
        """The next event of a kind; those before it are kept in `heard`."""
        while True:
            event = self.queue.get(timeout=WAIT_S)
            self.heard.append(event)
            if isinstance(event, kind) and task in (None, getattr(event, "task", None)):
                return event


# What goes over the pipes


@pytest.mark.parametrize(
    "message",
    [
        Load(
            "b",
            (QUESTION,),
            LoadOptions("cpu", 2),
            "train",
            Sampling(0.5, seed=3),
            ReadOptions("display", 2, force=True),
            4,
            9,
        ),
        Task(7, os.fsdecode(b"/caf\xe9_\xff\n.dcm"), (QUESTION, os.fsdecode(b"h\xe9?")), wants_text=True),
        Cancel(7),
        Stop(7),
        Task(
            8,
            "",
            (QUESTION,),
            view=View(
                bytes(range(256)), Source("0" * 64, "png", warnings=(ReadWarning("W-IMG-001", "doubtful"),)), 0.5
            ),
            asking=Asking(Sampling(0.5, seed=3), (Turn(OTHER, "No.\x07"),), ("###",)),
        ),
    ],
)
def test_a_command_comes_over_the_pipe_as_it_was_lone_surrogates_too(message: Command) -> None:
    line = packed(message)
    assert line.count(b"\n") == 1
    assert unpacked(line, Command) == message


@pytest.mark.parametrize(
    "message",
    [
        Ready(3, "cuda", 4),
        Started(1),
        Text(1, QUESTION, "The lungs\nare"),
        Record.of(1, QUESTION, Failure("E-IMG-002", "what\u2028it is", 4)),
        Cancelled(1),
        Heartbeat(StageTimes(1.25, 0.1, 0.2, 0.3, 0.4, 17)),
        Fatal("E-RUN-015", "no memory", 15),
    ],
)
def test_an_event_comes_over_the_pipe_as_it_was(message: Event) -> None:
    line = packed(message)
    assert line.count(b"\n") == 1
    assert unpacked(line, Event) == message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        packed(Started(1))[:-1],
        packed(Started(1))[:-5],
        b"{}\n",
        b"[]\n",
        b"ggml: warning\n",
        b'{"type":"started"}\n',
        b'{"type":"started","task":"1"}\n',
        b'{"type":"task","number":1}\n',
        b"[" * 5000 + b"\n",
        b"\xff\n",
    ],
)
def test_a_line_that_is_cut_off_or_no_message_is_never_taken_for_one(line: bytes) -> None:
    with pytest.raises(Garbled):
        unpacked(line, Event)


def test_an_error_that_ends_the_process_is_the_same_error_for_who_waits() -> None:
    error = Fatal.of(WorkerCrashed("E-BAT-019", "why")).error
    assert isinstance(error, WorkerCrashed)
    assert (error.error_id, error.why) == ("E-BAT-019", "why")


# The host, with a process that needs no model


@pytest.mark.usefixtures("fake")
def test_every_task_gets_its_records_whatever_the_order(films: Path) -> None:
    tasks = [Task(number, film(films), (QUESTION, OTHER)) for number in range(1, 12)]
    with ModelHost(LOAD) as host:
        records = [event for event in host.answer_all(tasks) if isinstance(event, Record)]
    assert {(record.task, record.question) for record in records} == {
        (task.number, question) for task in tasks for question in task.questions
    }
    assert len(records) == 22
    assert host.ready == Ready(3)


@pytest.mark.usefixtures("fake")
def test_many_threads_share_a_host_and_each_hears_of_its_own_task_alone(films: Path) -> None:
    heard: dict[int, list[Event]] = {}

    def ask(host: ModelHost, task: Task) -> None:
        heard[task.number] = list(host.stream(task))

    tasks = [Task(number, film(films), (QUESTION,)) for number in range(12)]
    with ModelHost(LOAD) as host:
        threads = [threading.Thread(target=ask, args=(host, task)) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
    assert {number: {event.task for event in events} for number, events in heard.items()} == {n: {n} for n in range(12)}
    assert [len([e for e in events if isinstance(e, Record)]) for events in heard.values()] == [1] * 12


@pytest.mark.usefixtures("fake")
def test_a_task_that_waits_is_gone_at_once_and_the_others_are_answered(
    films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DELAY_S", "0.2")
    listener = Listener()
    with ModelHost(LOAD) as host:
        for number in range(20):  # the process takes seven at a time
            host.submit(Task(number, film(films), (QUESTION,)), listener.queue.put)
        listener.until(Started)
        host.cancel(19)
        listener.until(Cancelled)
        assert not [event for event in listener.heard if isinstance(event, Record) and event.task > 3]
        while sum(isinstance(event, Record) for event in listener.heard) < 19:
            listener.until(Record)
    assert {event.task for event in listener.heard if isinstance(event, Record)} == set(range(19))


@pytest.mark.usefixtures("fake")
def test_a_crash_is_survived_and_the_attempts_are_counted(films: Path) -> None:
    tasks = [Task(number, film(films, b"ONCE" if number == 2 else b"OK"), (QUESTION,)) for number in range(5)]
    with ModelHost(LOAD) as host:
        records = {event.task: event for event in host.answer_all(tasks) if isinstance(event, Record)}
    assert all(record.answer for record in records.values())
    assert records[2].attempt == 2
    assert host.restarts == 1


@pytest.mark.usefixtures("fake")
def test_a_radiograph_that_kills_the_process_twice_is_a_failure_and_the_others_are_answered(films: Path) -> None:
    tasks = [Task(number, film(films, b"CRASH" if number == 2 else b"OK"), (QUESTION,)) for number in range(5)]
    with ModelHost(LOAD) as host:
        records = {event.task: event for event in host.answer_all(tasks) if isinstance(event, Record)}
    assert {number for number, record in records.items() if record.failure} == {2}
    assert (records[2].failure.error_id, records[2].attempt) == ("E-BAT-020", 2)


@pytest.mark.usefixtures("fake")
def test_a_cancelled_task_whose_process_dies_is_not_tried_again(films: Path) -> None:
    listener = Listener()
    with ModelHost(LOAD) as host:
        host.submit(Task(1, film(films, b"HANG"), (QUESTION,)), listener.queue.put)
        listener.until(Started)
        host.cancel(1)
        host.cancel(1)  # an impatient client
        psutil.Process(host._process.pid).kill()
        listener.until(Cancelled)
        assert texts(host.stream(Task(2, film(films), (QUESTION,))))
    assert [type(event) for event in listener.heard] == [Started, Cancelled]


@pytest.mark.usefixtures("fake")
def test_a_process_that_is_silent_is_given_up(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SILENCE_MAX_S", 1.0)
    with ModelHost(LOAD) as host:
        (record,) = [e for e in host.stream(Task(1, film(films, b"HANG"), (QUESTION,))) if isinstance(e, Record)]
    assert "silent" in record.failure.message


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise SystemExit(5)", "exit code 5"),
        ("print('hello', flush=True); input(); input()", "no message"),
        ('import os; os.write(1, b\'{"type":"rea\'); os.abort()', "ended by signal 6"),
        ("import os, time; os.close(1); time.sleep(1000)", "closed its pipe"),
    ],
)
def test_three_deaths_with_nothing_finished_end_the_host_for_every_task_now_and_later(
    films: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(process, "LAST_WORDS_S", 0.2)
    first, second = Listener(), Listener()
    with ModelHost(LOAD) as host:
        host.submit(Task(1, film(films), (QUESTION,)), first.queue.put)
        assert first.until(Fatal).error_id == "E-BAT-019"
        host.submit(Task(2, film(films), (QUESTION,)), second.queue.put)
        assert why in second.until(Fatal).error.message
        with pytest.raises(WorkerCrashed):
            list(host.stream(Task(3, film(films), (QUESTION,))))
    assert host.restarts == 3


@pytest.mark.usefixtures("fake")
def test_who_waits_when_the_host_closes_is_told_and_no_process_is_left(films: Path) -> None:
    waiting, late = Listener(), Listener()
    with ModelHost(LOAD) as host:
        host.submit(Task(1, film(films, b"HANG"), (QUESTION,)), waiting.queue.put)
        host.submit(Task(2, film(films, b"HANG"), (QUESTION,)), waiting.queue.put)
        waiting.until(Started, 1)
        child = psutil.Process(host._process.pid)
    assert {waiting.until(Cancelled).task for _ in range(2)} == {1, 2}
    assert not child.is_running()
    host.submit(Task(3, film(films), (QUESTION,)), late.queue.put)
    assert late.until(Cancelled).task == 3


@pytest.mark.usefixtures("fake")
def test_tasks_are_taken_only_as_fast_as_they_are_answered(films: Path) -> None:
    path, taken, most = film(films), 0, 0

    def tasks() -> Iterator[Task]:
        nonlocal taken
        for number in range(300):
            taken += 1
            yield Task(number, path, (QUESTION,))

    answered = 0
    with ModelHost(LOAD) as host:
        for event in host.answer_all(tasks()):
            answered += isinstance(event, Record)
            most = max(most, taken - answered)
    assert answered == 300
    assert most <= supervisor.OPEN_MAX


def test_a_task_without_a_question_is_our_mistake(films: Path) -> None:
    with pytest.raises(ValueError, match="never end"):
        ModelHost(LOAD).submit(Task(1, "a.png", ()), print)


# The real process


@pytest.fixture(scope="module")
def examples(root: Path) -> list[Path]:
    return sorted((root / "examples").glob("*.dcm"))


def demo_load(demo: Path, **more: Any) -> Load:
    facts = {"options": LoadOptions("cpu"), "sampling": Sampling(max_tokens=40), **more}
    return Load(str(demo), (QUESTION, OTHER), **facts)


def test_text_comes_in_pieces_that_make_the_answer_that_ask_gives(demo: Path, examples: list[Path]) -> None:
    with ModelHost(demo_load(demo, slots=1)) as host:
        for number in (1, 2):  # the second time from the result cache
            events = list(host.stream(Task(number, str(examples[0]), (QUESTION,), wants_text=True)))
            pieces = [event.text for event in events if isinstance(event, Text)]
            (answer,) = [event.answer for event in events if isinstance(event, Record)]
            assert "".join(pieces).strip() == answer.text
            assert isinstance(events[-1], Record)
            assert len(pieces) > 5 or number == 2
    with XrayGPT.load(demo, "cpu") as model:
        assert model.ask(examples[0], QUESTION, sampling=Sampling(max_tokens=40)).token_ids == answer.token_ids


def test_room_is_made_while_the_process_lives_and_again_when_it_has_died(
    tmp_path: Path, phantom: Path, examples: list[Path]
) -> None:
    load = Load(str(write_bundle(tmp_path / "tiny")), (), LoadOptions("cpu"), sampling=Sampling(max_tokens=8), slots=1)
    ready, told = SimpleQueue[Ready | Fatal](), []
    tasks = [Task(n, str(film), (QUESTION,)) for n, film in enumerate(examples[:3], 1)]
    with ModelHost(load, watch=ready.put) as host:
        told += texts(host.answer_all(tasks))
        host.make_room(Room((QUESTION,), 3))
        assert [ready.get(timeout=WAIT_S).slots for _ in range(2)] == [1, 3]
        told += texts(host.answer_all([replace(task, number=task.number + 3) for task in tasks]))
        host.make_room(Room(("too long " * 500,), None, 2))  # cannot be had: what there is goes on
        assert ready.get(timeout=WAIT_S).slots == 3
        host.make_room(Room((QUESTION,), 2))
        assert ready.get(timeout=WAIT_S).slots == 2
        host._process.kill()
        assert [ready.get(timeout=WAIT_S).slots for _ in range(2)] == [1, 2]
        host.make_room(Room(slots=1))
        told += texts(host.answer_all([replace(task, number=task.number + 6) for task in tasks]))
    assert sorted(told) == sorted(told[:3] * 3)


def test_no_text_comes_unasked(demo: Path, examples: list[Path]) -> None:
    with ModelHost(demo_load(demo)) as host:
        kinds = {type(event) for event in host.stream(Task(1, str(examples[0]), (QUESTION, OTHER)))}
    assert kinds == {Started, Record}


def test_a_task_cancelled_in_its_answer_ends_and_who_asks_the_same_is_answered(
    demo: Path, examples: list[Path]
) -> None:
    alone, crowd = {}, Listener()
    with ModelHost(demo_load(demo, slots=1)) as host:
        for event in host.answer_all(Task(n, str(path), (QUESTION,)) for n, path in enumerate(examples[:3])):
            if isinstance(event, Record):
                alone[event.task] = event.answer.token_ids
    with ModelHost(demo_load(demo, slots=4)) as host:
        for number, path in enumerate(examples[:3]):
            host.submit(Task(number, str(path), (QUESTION,), wants_text=True), crowd.queue.put)
        host.submit(Task(10, str(examples[0]), (QUESTION,)), crowd.queue.put)  # the same as task 0
        crowd.until(Text, 0)
        host.cancel(0)
        host.cancel(1)
        while len({event.task for event in crowd.heard if isinstance(event, Record | Cancelled)}) < 4:
            crowd.until(Event)
    ends = {event.task: event for event in crowd.heard if isinstance(event, Record | Cancelled)}
    assert isinstance(ends[0], Cancelled)
    assert isinstance(ends[1], Cancelled)
    assert ends[10].answer.token_ids == alone[0]
    assert ends[2].answer.token_ids == alone[2]
    for number in (0, 1):
        end = crowd.heard.index(ends[number])
        assert [event for event in crowd.heard[end + 1 :] if getattr(event, "task", None) == number] == []


def test_who_stops_listening_makes_room_for_the_next(tmp_path: Path, phantom: Path, examples: list[Path]) -> None:
    tiny = write_bundle(tmp_path / "tiny")  # its answers never end
    load = Load(str(tiny), (QUESTION,), LoadOptions("cpu"), sampling=Sampling(max_tokens=400), slots=1)
    with ModelHost(load) as host:
        stream = host.stream(Task(1, str(phantom), (QUESTION,), wants_text=True))
        next(event for event in stream if isinstance(event, Text))
        stream.close()
        listener = Listener()
        host.submit(Task(2, str(examples[1]), (QUESTION,)), listener.queue.put)
        host.cancel(2)  # being read, waiting or in work: whichever it is
        listener.until(Cancelled)
        (last,) = [e for e in host.stream(Task(3, str(examples[2]), (QUESTION,))) if isinstance(e, Record)]
    assert len(last.answer.token_ids) == 400
    assert host.times.tokens < 400 + 300  # the first answer was not computed to its end


def test_a_stopped_answer_is_what_it_has_said_and_makes_room_for_the_next(tmp_path: Path, phantom: Path) -> None:
    tiny = write_bundle(tmp_path / "tiny")  # its answers never end
    load = Load(str(tiny), (QUESTION,), LoadOptions("cpu"), sampling=Sampling(max_tokens=400), slots=1)
    with ModelHost(load) as host:
        listener = Listener()
        host.submit(Task(1, str(phantom), (QUESTION,), wants_text=True), listener.queue.put)
        listener.until(Text)
        host.stop(1)
        answer = listener.until(Record).answer
        assert answer.finish_reason == "cancelled"
        assert 0 < len(answer.token_ids) < 400
        host.stop(1)  # has ended: nothing happens
        (after,) = [e for e in host.stream(Task(2, str(phantom), (QUESTION,))) if isinstance(e, Record)]
    assert after.answer.token_ids[: len(answer.token_ids)] == answer.token_ids


def test_a_question_that_is_longer_than_the_model_takes_fails_alone(demo: Path, examples: list[Path]) -> None:
    with ModelHost(demo_load(demo)) as host:
        task = Task(1, str(examples[0]), ("findings? " * 2000, QUESTION))
        records = {event.question: event for event in host.stream(task) if isinstance(event, Record)}
    assert records["findings? " * 2000].failure.error_id == "E-USE-008"
    assert records[QUESTION].answer


def test_what_cannot_be_loaded_is_told_as_the_error_that_it_is(tmp_path: Path, examples: list[Path]) -> None:
    with ModelHost(Load(str(tmp_path / "nowhere"), (QUESTION,))) as host, pytest.raises(XrayGPTError) as caught:
        list(host.stream(Task(1, str(examples[0]), (QUESTION,))))
    assert int(caught.value.code) == 10


def test_a_file_name_that_is_not_utf8_reaches_the_reader(demo: Path, films: Path, examples: list[Path]) -> None:
    name = os.fsencode(films) + b"/caf\xe9_\xff\n.dcm"
    shutil.copy(examples[0], name)
    with ModelHost(demo_load(demo)) as host:
        assert texts(host.stream(Task(1, os.fsdecode(name), (QUESTION,))))


@pytest.mark.parametrize("last_words", [b"", b'{"type":"task","num'])
def test_the_process_ends_with_its_host_and_prints_nothing_but_events(demo: Path, last_words: bytes) -> None:
    child = subprocess.Popen(process.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdin.write(packed(demo_load(demo)))
    child.stdin.flush()
    line = child.stdout.readline()
    assert isinstance(unpacked(line, Event), Ready)
    began_s = time.monotonic()
    said, complaints = child.communicate(last_words, timeout=WAIT_S)
    assert time.monotonic() - began_s < 5
    assert all(isinstance(unpacked(line, Event), Heartbeat) for line in said.splitlines(keepends=True))
    assert (child.returncode, b"Traceback" in complaints) == (0, False)
