"""Token bytes into text that may be shown."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class Detokenizer:
    """Turns token bytes into text: no half character, nothing of a stop string.

    A stop string counts however it is tokenised, also across token borders.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._shown = 0
        self.text = ""
        """Everything that was generated so far, whole characters only."""
        self.stopped = False
        """A stop string has been generated."""

    def push(self, piece: bytes) -> str:
        """Take the bytes of one token; return what can now be shown."""
        self.text += self._decoder.decode(piece)
        return self._release(self._held_back())

    def finish(self) -> str:
        """The generation is over: return what was held back and is no stop string."""
        return self._release(0)

    def _release(self, held_back: int) -> str:
        end = len(self.text) - held_back
        for mark in self._stop:
            found = self.text.find(mark)
            if found >= 0:
                self.stopped, end = True, min(end, found)
        shown, self._shown = self.text[self._shown : end], max(self._shown, end)
        return shown

    def _held_back(self) -> int:
        """How many characters at the end may be the beginning of a stop string."""
        longest = max((len(mark) for mark in self._stop), default=0)
        for length in range(min(longest - 1, len(self.text)), 0, -1):
            if any(mark.startswith(self.text[-length:]) for mark in self._stop):
                return length
        return 0
