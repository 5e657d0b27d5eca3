"""SIGINT and SIGTERM: an orderly end with its own exit code, and an end in any case."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import TracebackType
from typing import Any, NoReturn, Self

from xraygpt_edge.errors import ExitCode

CODES = {int(signal.SIGINT): ExitCode.INTERRUPTED, int(signal.SIGTERM): ExitCode.TERMINATED}
GRACE_S = 1.5
"""Time to end in an orderly way. What counts is on disk already, so the limit of two seconds comes first."""
_grace_s = GRACE_S


class Ended(BaseException):
    """A signal asked for the end."""


class SignalHandlers:
    """Those of SIGINT and SIGTERM, as long as a command runs; a context manager."""

    def __init__(self) -> None:
        self.heard: ExitCode | None = None
        """Exit code of the first signal. A library may turn the exception into one of its own, or drop it."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # What is ignored from the start stays so: a shell lets its background jobs ignore Ctrl-C.
        wanted = [number for number in CODES if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._end) for number in wanted}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _end(self, number: int, _frame: Any) -> NoReturn:
        self.heard = self.heard or CODES[number]
        raise Ended


def end_in_any_case() -> None:
    """End the process a while after a signal, should it still be there.

    Python raises the exception wherever it happens to be, and drops what is raised inside a callback of a library or
    while an object is destroyed: then the program would go on as if nothing had been said.
    """
    if os.name == "nt":
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_end_late, args=(heard,), daemon=True).start()


def give_grace(seconds: float) -> None:
    """Let this process end later than GRACE_S: what others are sending it just now should arrive whole."""
    global _grace_s  # noqa: PLW0603 - a fact about this process, set once by the command that needs it
    _grace_s = seconds


def _end_late(heard: int) -> None:
    while True:
        code = CODES.get(os.read(heard, 1)[0])
        if code is not None:
            time.sleep(_grace_s)
            os._exit(code)
