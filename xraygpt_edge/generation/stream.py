"""An answer as its caller sees it: pieces of text as they come, and the whole at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Self

from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.request import Piece
from xraygpt_edge.generation.sequence import AnswerSequence, Event
from xraygpt_edge.native import POLL_S
from xraygpt_edge.records import FinishReason


class Stream(Iterator[Piece]):
    """Pieces of one answer; a context manager that cancels what is left. One thread reads it, any may cancel it.

    The answer is computed whether or not it is read. Reading raises what ended it, each time: UsageError when it does
    not fit the context, OutOfTime before the first token, UnusableOutput.
    """

    def __init__(
        self,
        sequence: AnswerSequence,
        events: SimpleQueue[Event],
        stop: Callable[[AnswerSequence, FinishReason], None],
        settled: Callable[[], None],
    ) -> None:
        self._sequence, self._events, self._stop, self._settled = sequence, events, stop, settled
        self._last: Generation | BaseException | None = None

    def __next__(self) -> Piece:
        """Wait for the next piece; a passed deadline ends the answer with what there is."""
        while self._last is None:
            try:
                event = self._events.get(timeout=min(POLL_S, self._sequence.deadline.remaining_s() or POLL_S))
            except Empty:
                if self._sequence.deadline.remaining_s() == 0.0:
                    self._stop(self._sequence, "timeout")
                continue
            if isinstance(event, Piece):
                return event
            self._last = event
        if isinstance(self._last, BaseException):
            raise self._last
        raise StopIteration

    def result(self) -> Generation:
        """Wait for the end and return the whole answer."""
        for _ in self:
            pass
        if not isinstance(self._last, Generation):
            raise TypeError("a stream ended without an answer")
        return self._last

    def kept(self) -> Prefix | None:
        """Return what was computed, as a prefix for the next request; None unless it was to be kept."""
        self._settled()
        return self._sequence.keeps

    def cancel(self) -> None:
        """End it at the next border of a step; what there is by then is the answer."""
        self._stop(self._sequence, "cancelled")

    def close(self) -> None:
        """Cancel it unless it has ended."""
        if self._last is None:
            self.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
