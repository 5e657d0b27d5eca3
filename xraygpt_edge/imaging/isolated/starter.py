"""One thread that starts processes and lives as long as this process does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

from xraygpt_edge.native import wait

Result = TypeVar("Result")


class Starter(Generic[Result]):
    """Runs functions on a thread of its own that never ends; safe to share.

    Linux kills a child that asked for it (`dies_with_parent`) when the *thread* that started it ends. A child
    that many threads use must therefore belong to none of them.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[tuple[Callable[[], Result], Future[Result]]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def call(self, function: Callable[[], Result]) -> Result:
        """Run the function there; gives its result or raises its error."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # none yet, or this process was forked
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        future: Future[Result] = Future()
        self._calls.put((function, future))
        return wait(future)

    def _run(self) -> None:
        while True:
            _fulfil(*self._calls.get())


def _fulfil(function: Callable[[], Result], future: Future[Result]) -> None:
    """Run in a frame of its own, so that the thread keeps nothing alive while it waits."""
    try:
        future.set_result(function())
    except BaseException as error:  # noqa: BLE001 - raised where it was called for
        future.set_exception(error)
