"""Waiting for native code so that Ctrl-C and deadlines are heard."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from xraygpt_edge.errors import OutOfTime
from xraygpt_edge.native import Deadline, NativeThread


def test_a_call_returns_its_result_and_its_errors() -> None:
    thread = NativeThread("test")
    assert thread.call(lambda: 6 * 7) == 42
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 / 0)


def test_a_timeout_error_of_the_call_itself_is_not_taken_for_a_deadline() -> None:
    def fails() -> None:
        raise TimeoutError("the disk")

    with pytest.raises(TimeoutError, match="the disk"):
        NativeThread("test").call(fails, Deadline(5.0))


def test_a_passed_deadline_cancels_the_call_and_says_how_long_it_was() -> None:
    cancelled = threading.Event()
    with pytest.raises(OutOfTime, match=r"0\.05 s"):
        NativeThread("test").call(lambda: cancelled.wait(10), Deadline(0.05), cancel=cancelled.set)
    assert cancelled.is_set()


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to oneself on Windows")
def test_ctrl_c_is_heard_while_a_call_runs() -> None:
    cancelled = threading.Event()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    began_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        NativeThread("test").call(lambda: cancelled.wait(10), cancel=cancelled.set)
    assert time.monotonic() - began_s < 2


def test_without_a_timeout_there_is_no_end() -> None:
    assert Deadline().remaining_s() == float("inf")
    Deadline().check()
