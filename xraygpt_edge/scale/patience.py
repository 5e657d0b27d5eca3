"""An end to waiting: where a cluster's head does not answer, some of Ray's calls do not come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from xraygpt_edge.errors import XrayGPTError

POLL_S = 0.2


@dataclass(slots=True)
class Patience:
    """Calls give_up with the error that was named last, once its time is over; one thread may set it.

    give_up: ends the process, from a thread of its own; what waits in native code cannot be interrupted.
    """

    give_up: Callable[[XrayGPTError], None]
    _limit: tuple[float, XrayGPTError] | None = field(default=None, init=False)

    def at_most(self, limit_s: float, error: XrayGPTError) -> None:
        """From now on, until this is called again."""
        first, self._limit = self._limit is None, (time.monotonic() + limit_s, error)
        if first:
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self._limit is not None:
            until_s, error = self._limit
            if time.monotonic() > until_s:
                self.give_up(error)
                return
            time.sleep(POLL_S)
